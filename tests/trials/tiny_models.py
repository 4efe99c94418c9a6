"""Tiny random models of the kinds that users bring, each a folder with a tokenizer of words."""

import torch
import transformers

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
KINDS = {
    "Bert": {},
    "Roberta": {"max_position_embeddings": 66},
    "XLMRoberta": {"max_position_embeddings": 66},
    "Electra": {"embedding_size": 16},
    "Albert": {"embedding_size": 8},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "DebertaV2": {},
    "ModernBert": {"cls_token_id": 1, "sep_token_id": 2, "eos_token_id": 2, "bos_token_id": 1},
    "MPNet": {"max_position_embeddings": 66},
    "Llama": {"num_key_value_heads": 2},
    "Longformer": {"attention_window": 8, "max_position_embeddings": 66},
}
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "the", "lease", "ends", "tax", "is", "due"]


def folder_of(kind, path, **fields):
    """A random model of that kind, and a tokenizer of words, as a user's folder.

    `fields` are of its config.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(path)
    config = getattr(transformers, f"{kind}Config")(**(SIZES | KINDS.get(kind, {}) | fields))
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(path)
    return str(path)
