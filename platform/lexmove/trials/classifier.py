"""The classifier: encoder, pooling and head as one transformers model, which loads without lexmove.

`save_pretrained` puts a copy of this file beside the weights; `AutoModelForSequenceClassification`
(or `AutoModelForMultipleChoice`) then loads it with `trust_remote_code=True`. So it imports torch
and transformers alone. The stock heads are left out on purpose: their [CLS] pooler keeps a sentence
encoder near chance at small learning rates, where masked mean pooling learns.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

_SEGMENT_LAYERS = 2
"""Layers of the transformer over segments (Chalkidis et al. 2022, arXiv 2110.00976, §4)."""


class TextClassifierConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """What a `TextClassifier` is made of.

    `encoder` is the pretrained model's own config. `pooling` is `mean` or `cls`. `shape` says what
    an example is: `flat` one sequence, `choices` several of which one is right, `segments` the
    parts of a long document, at most `max_segments`. Logits are divided by `calibration`, a
    temperature that makes probabilities honest and changes no decision between classes; a label of
    a multi-label task is meant to be given above the probability `threshold`.
    """

    model_type = "lexmove_text_classifier"
    sub_configs: ClassVar = {"encoder": AutoConfig}

    def __init__(
        self,
        encoder: Any = None,
        pooling: str = "mean",
        shape: str = "flat",
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
        self.classifier_dropout = classifier_dropout
        self.max_segments = max_segments
        self.calibration = calibration
        self.threshold = threshold
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Features of a token."""
        return int(self.encoder.hidden_size)


class TextClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Encoder → one vector per example → dropout → linear head.

    Inputs are (B, L), or (B, K, L) with K choices or segments, where a sequence without a single
    attended token is padding. The pooled vectors of segments go through a small transformer and
    the maximum over them is the document's.
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
        num_outputs = 1 if config.shape == "choices" else int(config.num_labels or 2)
        self.head = nn.Linear(config.hidden_size, num_outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
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
        """Logits (B, C) of token ids, their attention mask and, of pairs, their types."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if self.config.shape != "flat" and input_ids.ndim == 2:  # one document, or one question
            input_ids, attention_mask = input_ids[None], attention_mask[None]
            token_type_ids = None if token_type_ids is None else token_type_ids[None]
        is_real = attention_mask.any(dim=-1)
        if token_type_ids is not None:
            token_type_ids = token_type_ids[is_real]
        pooled_SH = self._pooled(input_ids[is_real], attention_mask[is_real], token_type_ids)
        if self.segments is not None:
            pooled_SH = self.segments(pooled_SH, is_real)
        logits = self.head(self.dropout(pooled_SH))
        if self.config.shape == "choices":
            logits_BK = logits.new_full(is_real.shape, -math.inf)
            logits = logits_BK.masked_scatter(is_real, logits[:, 0])
        return SequenceClassifierOutput(logits=logits / self.config.calibration)

    def _pooled(self, ids_SL: Tensor, mask_SL: Tensor, types_SL: Tensor | None) -> Tensor:
        more = {} if types_SL is None else {"token_type_ids": types_SL}
        hidden_SLH = self.encoder(
            input_ids=ids_SL, attention_mask=mask_SL, **more
        ).last_hidden_state
        return pool(hidden_SLH, mask_SL, self.config.pooling)


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
        vectors_BKH = pooled_SH.new_zeros((*is_real_BK.shape, pooled_SH.shape[-1]))
        vectors_BKH = vectors_BKH.masked_scatter(is_real_BK.unsqueeze(-1), pooled_SH)
        places_K = torch.arange(is_real_BK.shape[1], device=pooled_SH.device)
        vectors_BKH = vectors_BKH + self.positions(places_K).to(vectors_BKH.dtype)
        encoded_BKH = self.layers(vectors_BKH, src_key_padding_mask=~is_real_BK)
        lowest = torch.finfo(encoded_BKH.dtype).min
        encoded_BKH = encoded_BKH.masked_fill(~is_real_BK.unsqueeze(-1), lowest)
        highest_BH: Tensor = encoded_BKH.amax(dim=1)
        return highest_BH


def pool(hidden_BLH: Tensor, mask_BL: Tensor, pooling: str) -> Tensor:
    """One vector per sequence, (B, H): the first token's, or the mean over the real ones."""
    if pooling == "cls":
        return hidden_BLH[:, 0]
    weight_BL1 = mask_BL.unsqueeze(-1).to(hidden_BLH.dtype)
    return (hidden_BLH * weight_BL1).sum(dim=1) / weight_BL1.sum(dim=1)


TextClassifierConfig.register_for_auto_class()  # type: ignore[no-untyped-call]
