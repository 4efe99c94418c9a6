"""Architectures: tiny models of the kinds that users bring train, adapt, save and load alike."""

import copy

import numpy as np
import pytest
import torch
import transformers

from lexmove.job.spec import ModelSpec
from lexmove.trials.adapters import adapters_of
from lexmove.trials.effects import verify
from lexmove.trials.fine_tuning import FineTuning, Plan
from lexmove.trials.model import check_model, load_pretrained, load_tokenizer
from lexmove.trials.prediction import DecisionRule
from lexmove.trials.recipe import Recipe
from lexmove.trials.saved_model import save_model
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData
from lexmove.trials.tokens import tokenized

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
}
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "the", "lease", "ends", "tax", "is", "due"]
TEXTS = ("the lease ends", "tax is due", "lease the lease ends", "the tax is due") * 4


def folder_of(kind, path):
    """A random model of that kind, and a tokenizer of words, as a user's folder."""
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
    config = getattr(transformers, f"{kind}Config")(**(SIZES | KINDS[kind]))
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(path)
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [False, True])
def test_it_trains_pauses_saves_and_loads(kind, lora, tmp_path):
    name = folder_of(kind, tmp_path / "model")
    check_model(ModelSpec(name=name, max_length=16))
    split = Examples(texts=TEXTS, labels=np.arange(len(TEXTS)) % 2)
    recipe = Recipe(
        max_length=16,
        learning_rate=3e-3,
        batch_size=8,
        layer_lr_decay=0.9,
        weight_decay=0.01,
        use_lora=lora,
        freeze_layers=0 if lora or kind == "Albert" else 1,
        max_segments=2,
    )
    tokens = tokenized(split, load_tokenizer(name), max_length=16, max_segments=2)
    plan = Plan(recipe=recipe, num_labels=2, max_epochs=40, seed=0, precision="fp32")
    training = FineTuning(load_pretrained(name), tokens, plan)
    verify(training)
    assert bool(adapters_of(training.model)) == lora
    losses = [training.train_epoch(epoch) for epoch in range(1, 21)]
    assert min(losses) < 0.5 * losses[0], "four sentences are soon known by heart"
    again = FineTuning(load_pretrained(name), tokens, plan)
    again.restore(*copy.deepcopy((training.weights(), training.training_state())))
    verify(again)
    assert again.train_epoch(21) == pytest.approx(training.train_epoch(21), rel=1e-5)
    said = training.logits(tokens)
    task = TaskData(name="t", labels=("a", "b"), train=split, validation=split, test=split)
    save_model(
        tmp_path / "saved",
        training.weights(),
        model_name=name,
        recipe=recipe,
        task=task,
        rule=DecisionRule(is_multi_label=False),
    )
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "saved", trust_remote_code=True
    ).eval()
    batch = tokens.batch(np.arange(len(split)))
    with torch.inference_mode():
        logits = loaded(torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)).logits
    assert logits.numpy() == pytest.approx(said, abs=1e-4)
    for each in (training, again):
        each.close()
