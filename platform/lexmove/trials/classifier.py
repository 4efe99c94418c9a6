"""The classifier: encoder, pooling and head as one transformers model, which loads without lexmove.

`save_pretrained` puts a copy of this file beside the weights; `AutoModelForSequenceClassification`
(or `AutoModelForMultipleChoice`) then loads it with `trust_remote_code=True`. So it imports torch
and transformers alone. The stock heads are left out on purpose: their [CLS] pooler keeps a sentence
encoder near chance at small learning rates, where masked mean pooling learns.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize
from transformers import (
    AutoConfig,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
    TextClassificationPipeline,
)
from transformers.modeling_outputs import SequenceClassifierOutput

_SEGMENT_LAYERS = 2
"""Layers of the transformer over segments (Chalkidis et al. 2022, arXiv 2110.00976, §4)."""

_BLANK_LINES = re.compile(r"\n\s*\n")


class TextClassifierConfig(PreTrainedConfig):  # type: ignore[no-untyped-call] # its base's
    """What a `TextClassifier` is made of.

    `encoder` is the pretrained model's own config. `pooling` is `mean` or `cls`. `shape` says what
    an example is: `flat` one sequence, `choices` several of which one is right, `segments` the
    parts of a long document, at most `max_segments`; in `matched_pairs` and `matched_choices` a
    first text and then its second one, or its endings, are sequences of their own. Logits are
    divided by `calibration`, a temperature that makes probabilities honest and changes no decision
    between classes; a label of a multi-label task is meant to be given above the probability
    `threshold`.
    """

    model_type = "lexmove_text_classifier"
    sub_configs: ClassVar = {"encoder": AutoConfig}

    def __init__(
        self,
        encoder: Any = None,
        pooling: str = "mean",
        shape: str = "flat",
        matching: str = "vectors",
        classifier_dropout: float = 0.1,
        max_segments: int = 0,
        calibration: float = 1.0,
        threshold: float = 0.5,
        **kwargs: Any,
    ) -> None:
        if isinstance(encoder, dict):
            rest = {name: value for name, value in encoder.items() if name != "model_type"}
            encoder = AutoConfig.for_model(encoder["model_type"], **rest)
        self.encoder = encoder
        self.pooling = pooling
        self.shape = shape
        self.matching = matching
        self.classifier_dropout = classifier_dropout
        self.max_segments = max_segments
        self.calibration = calibration
        self.threshold = threshold
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Features of a token."""
        return int(self.encoder.hidden_size)

    @property
    def custom_pipelines(self) -> dict[str, Any]:
        """Where `transformers.pipeline` finds the one for texts that are several sequences each."""
        if self.shape not in ("segments", "matched_pairs"):
            return {}
        model = "AutoModelForSequenceClassification"
        return {"text-classification": {"impl": "classifier.SequencesPipeline", "pt": [model]}}


class TextClassifier(PreTrainedModel):  # type: ignore[no-untyped-call] # its base's
    """Encoder → one vector per example → dropout → linear head.

    Inputs are (B, L), or (B, K, L) with K choices, segments or texts to be matched, where a
    sequence without a single attended token is padding. The pooled vectors of segments go through a
    small transformer and the maximum over them is the document's.
    """

    config_class = TextClassifierConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: TextClassifierConfig, encoder: nn.Module | None = None) -> None:
        super().__init__(config)
        build: Any = AutoModel.from_config
        self.encoder: Any = build(config.encoder) if encoder is None else encoder
        if isinstance(getattr(self.encoder, "pooler", None), nn.Module):
            self.encoder.pooler = None
        self.segments = SegmentEncoder(config) if config.shape == "segments" else None
        self.dropout = nn.Dropout(config.classifier_dropout)
        is_choice = config.shape in ("choices", "matched_choices")
        num_outputs = 1 if is_choice else int(config.num_labels or 2)
        if config.shape.startswith("matched"):
            self.head: nn.Module = MatchHead(config.hidden_size, num_outputs, config.matching)
        else:
            self.head = linear(config.hidden_size, num_outputs)
        self.all_tied_weights_keys: dict[str, str] = {}

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the constructor has done it, and loading replaces all of it."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Logits (B, C) of token ids, their attention mask and, of pairs, their types.

        Raises:
            ValueError: rows of ids where an example is several: how many, nobody could tell.
        """
        if self.config.shape != "flat" and input_ids.ndim != 3:
            raise ValueError(
                f"this classifier reads examples as several sequences each ({self.config.shape}),"
                f" so that input_ids need three dimensions: (examples, sequences, tokens), not"
                f" {tuple(input_ids.shape)}; the README.md in its folder shows how"
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        is_real = attention_mask.any(dim=-1)
        if token_type_ids is not None:
            token_type_ids = token_type_ids[is_real]
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        mask_SL = attention_mask[is_real]
        hidden_SLH = self.encoder(
            input_ids=input_ids[is_real], attention_mask=mask_SL, **more
        ).last_hidden_state
        decide = self._matched if self.config.shape.startswith("matched") else self._decided
        logits = decide(hidden_SLH, mask_SL, is_real)
        return SequenceClassifierOutput(logits=logits / self.config.calibration)

    def _decided(self, hidden_SLH: Tensor, mask_SL: Tensor, is_real: Tensor) -> Tensor:
        """Logits (B, C) of all real sequences, in the order of `is_real`."""
        pooled_SH = pool(hidden_SLH, mask_SL, self.config.pooling)
        if self.segments is not None:
            pooled_SH = self.segments(pooled_SH, is_real)
        logits: Tensor = self.head(self.dropout(pooled_SH))
        if self.config.shape == "choices":
            return spread(logits, is_real)[..., 0].masked_fill(~is_real, -math.inf)
        return logits

    def _matched(self, hidden_SLH: Tensor, mask_SL: Tensor, is_real: Tensor) -> Tensor:
        """Logits (B, C) of each first text beside its second one, or its C endings."""
        pooled_SH = pool(hidden_SLH, mask_SL, self.config.pooling)
        vectors_BKH = self.dropout(spread(pooled_SH, is_real))
        logits_BKC: Tensor = self.head(
            vectors_BKH, spread(hidden_SLH, is_real), spread(mask_SL, is_real).bool()
        )
        if self.config.shape == "matched_pairs":
            return logits_BKC[:, 0]
        return logits_BKC[..., 0].masked_fill(~is_real[:, 1:], -math.inf)


class SequencesPipeline(TextClassificationPipeline):
    """transformers' text classification, of texts that are read as several sequences each.

    A long document is a text with blank lines between its paragraphs; of a pair,
    `{"text": …, "text_pair": …}`, each text is a sequence. All are cut at the length of the
    training, which is the tokenizer's `model_max_length`. What comes out, and `top_k`, `batch_size`
    and `function_to_apply`, are as transformers has them.
    """

    def check_model_type(self, supported_models: Any) -> None:
        """Nothing: transformers knows its own classes alone."""

    def preprocess(  # type: ignore[override] # transformers' own classes name it in two ways
        self, inputs: Any, **tokenizer_kwargs: Any
    ) -> dict[str, Any]:
        """The sequences of one text, or of one pair, as a tuple of lists of ids.

        Raises:
            ValueError: not the text, or the pair, that the model reads; or an option of the
                tokenizer, whose options are those of the training.
        """
        if more := sorted(tokenizer_kwargs.keys() - {"truncation", "padding"}):
            raise ValueError(f"leave out {', '.join(more)}: texts are read as in training")
        tokenizer: Any = self.tokenizer
        length, most = tokenizer.model_max_length, self.model.config.max_segments
        given = inputs if isinstance(inputs, Mapping) else {"text": inputs}
        names = ("text",) if self.model.config.shape == "segments" else ("text", "text_pair")
        texts = [given[name] for name in names if isinstance(given.get(name), str)]
        if len(texts) < len(names) or len(given) > len(names):
            form = "a text" if len(names) == 1 else 'a pair, {"text": "…", "text_pair": "…"}'
            raise ValueError(f"this classifier reads {form}, or a list of such; got {inputs!r:.80}")
        if len(texts) == 1:
            rows = segments_of(texts[0], tokenizer, max_length=length, max_segments=most)
        else:
            rows = tokenizer(texts, truncation=True, max_length=length)["input_ids"]
        return {"sequences": tuple(rows)}

    def _forward(  # type: ignore[override] # transformers' own classes name it in two ways
        self, model_inputs: Any
    ) -> Any:
        """Logits of one text, or of a list of them: transformers' batches of what is no tensor."""
        given, tokenizer = model_inputs["sequences"], cast("Any", self.tokenizer)
        texts = given if isinstance(given, list) else [given]
        return self.model(**padded(texts, tokenizer.pad_token_id, self.model.device))


class SegmentEncoder(nn.Module):
    """A two-layer transformer over the vectors of a document's segments, then their maximum.

    Its residual branches start at zero, so that it starts as the plain maximum: with random ones a
    small encoder's rates (1e-3) leave it at chance.
    """

    def __init__(self, config: TextClassifierConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.positions = nn.Embedding(config.max_segments, size)
        nn.init.normal_(self.positions.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            d_model=size,
            nhead=config.encoder.num_attention_heads,
            dim_feedforward=getattr(config.encoder, "intermediate_size", 4 * size),
            dropout=config.classifier_dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        for branch in (layer.self_attn.out_proj, layer.linear2):
            nn.init.zeros_(branch.weight)
            nn.init.zeros_(branch.bias)
        self.layers = nn.TransformerEncoder(layer, _SEGMENT_LAYERS, enable_nested_tensor=False)

    def forward(self, pooled_SH: Tensor, is_real_BK: Tensor) -> Tensor:
        """One vector per document, (B, H), of its real segments' vectors, in their order."""
        vectors_BKH = spread(pooled_SH, is_real_BK)
        places_K = torch.arange(is_real_BK.shape[1], device=pooled_SH.device)
        vectors_BKH = vectors_BKH + self.positions(places_K).to(vectors_BKH.dtype)
        encoded_BKH = self.layers(vectors_BKH, src_key_padding_mask=~is_real_BK)
        lowest = torch.finfo(encoded_BKH.dtype).min
        encoded_BKH = encoded_BKH.masked_fill(~is_real_BK.unsqueeze(-1), lowest)
        highest_BH: Tensor = encoded_BKH.amax(dim=1)
        return highest_BH


class MatchHead(nn.Module):
    """Scores two texts by their vectors, the difference and product of these, and by how alike.

    The features are those of Reimers & Gurevych 2019 (arXiv 1908.10084) with the product. Where one
    output is asked for (an ending is right), it starts as the likeness, which a sentence encoder
    was trained for: the cosine of the vectors, or late interaction; its weight is learned.
    """

    def __init__(self, hidden_size: int, num_outputs: int, matching: str) -> None:
        super().__init__()
        self.linear = linear(4 * hidden_size, num_outputs)
        self.late = LateInteraction(hidden_size) if matching == "tokens" else None
        self.likeness_weight: nn.Parameter | None = None
        if num_outputs == 1:
            self.likeness_weight = nn.Parameter(torch.full((1,), 20.0))
        elif self.late is not None:
            self.likeness_weight = nn.Parameter(torch.zeros(num_outputs))

    def forward(self, vectors_BKH: Tensor, hidden_BKLH: Tensor, is_token_BKL: Tensor) -> Tensor:
        """Outputs (B, K - 1, C) of each of K texts but the first one, beside that."""
        second_BKH = vectors_BKH[:, 1:]
        first_BKH = vectors_BKH[:, :1].expand_as(second_BKH)
        features = (first_BKH, second_BKH, (first_BKH - second_BKH).abs(), first_BKH * second_BKH)
        outputs: Tensor = self.linear(torch.cat(features, dim=-1))
        if self.likeness_weight is not None:
            if self.late is None:
                alike_BK = cosine_similarity(first_BKH, second_BKH, dim=-1)
            else:
                alike_BK = self.late(hidden_BKLH, is_token_BKL)
            outputs = outputs + alike_BK.unsqueeze(-1) * self.likeness_weight
        return outputs


class LateInteraction(nn.Module):
    """How alike two texts are, token by token, in [-1, 1].

    Each token of the one is worth its highest cosine to any token of the other: late interaction
    (Khattab & Zaharia 2020, arXiv 2004.12832, equation 3), here as a mean, since texts differ in
    length, and from both sides (Zhang et al. 2020, arXiv 1904.09675, without the harmonic mean).
    Tokens start with equal weights and learn others, as a word's rarity would give.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.importance = nn.Linear(hidden_size, 1, bias=False)
        nn.init.zeros_(self.importance.weight)

    def forward(self, hidden_BKLH: Tensor, is_token_BKL: Tensor) -> Tensor:
        """Likeness (B, K - 1) of the first of K texts and each of the others."""
        raw_BKL = self.importance(hidden_BKLH)[..., 0]
        lowest = torch.finfo(raw_BKL.dtype).min
        weights_BKL = raw_BKL.masked_fill(~is_token_BKL, lowest).softmax(dim=-1)
        unit_BKLH = normalize(hidden_BKLH, dim=-1)
        cosines_BKLM = torch.einsum("blh,bkmh->bklm", unit_BKLH[:, 0], unit_BKLH[:, 1:])
        is_first, is_second = is_token_BKL[:, :1, :, None], is_token_BKL[:, 1:, None, :]
        of_first_BKL = cosines_BKLM.masked_fill(~is_second, -1.0).amax(dim=-1)
        of_second_BKM = cosines_BKLM.masked_fill(~is_first, -1.0).amax(dim=-2)
        recall_BK: Tensor = (of_first_BKL * weights_BKL[:, :1]).sum(dim=-1)
        precision_BK: Tensor = (of_second_BKM * weights_BKL[:, 1:]).sum(dim=-1)
        return (recall_BK + precision_BK) / 2


def segments_of(
    text: str, tokenizer: Any, *, max_length: int, max_segments: int
) -> list[list[int]]:
    """Ids of a document's segments: paragraphs in a row, as many as fit in a sequence.

    Blank lines divide paragraphs. One that is longer than a sequence goes on in the next.
    """
    # As `tokens` does for whole splits: this file goes where lexmove is not (a test compares them).
    paragraphs = [part for part in _BLANK_LINES.split(text) if part.strip()] or [text]
    lengths = [len(ids) for ids in tokenizer(paragraphs, add_special_tokens=False)["input_ids"]]
    room = max_length - tokenizer.num_special_tokens_to_add()
    segments, left = list[str](), 0
    for paragraph, length in zip(paragraphs, lengths, strict=True):
        if segments and length <= left:
            segments[-1] += f"\n\n{paragraph}"
            left -= length
        else:
            segments.append(paragraph)
            left = room - length
    cut = {"truncation": True, "max_length": max_length, "return_overflowing_tokens": True}
    return list(tokenizer(segments[:max_segments], **cut)["input_ids"][:max_segments])


def padded(
    texts: Sequence[Sequence[Sequence[int]]], pad_id: int, device: torch.device
) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask`, (B, K, L), of B texts of up to K sequences of L tokens."""
    depth = max(len(text) for text in texts)
    width = max(len(row) for text in texts for row in text)
    ids_BKL = torch.full((len(texts), depth, width), pad_id)
    mask_BKL = torch.zeros_like(ids_BKL)
    for b, text in enumerate(texts):
        for k, row in enumerate(text):
            ids_BKL[b, k, : len(row)], mask_BKL[b, k, : len(row)] = torch.tensor(row), 1
    return {"input_ids": ids_BKL.to(device), "attention_mask": mask_BKL.to(device)}


def linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    """A fresh layer of small weights, as transformers' own heads start."""
    layer = nn.Linear(num_inputs, num_outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def spread(rows: Tensor, is_real_BK: Tensor) -> Tensor:
    """The S rows at their places, (B, K, ...); zeros where nothing is."""
    places = rows.new_zeros((*is_real_BK.shape, *rows.shape[1:]))
    return places.index_put((is_real_BK,), rows)


def pool(hidden_BLH: Tensor, mask_BL: Tensor, pooling: str) -> Tensor:
    """One vector per sequence, (B, H): the first token's, or the mean over the real ones."""
    if pooling == "cls":
        return hidden_BLH[:, 0]
    weight_BL1 = mask_BL.unsqueeze(-1).to(hidden_BLH.dtype)
    return (hidden_BLH * weight_BL1).sum(dim=-2) / weight_BL1.sum(dim=-2)


TextClassifierConfig.register_for_auto_class()  # type: ignore[no-untyped-call] # its base's
