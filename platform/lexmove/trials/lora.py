"""Low-rank adapters beside the linear layers of an encoder, which itself stays frozen.

LoRA: Hu et al. 2022, arXiv 2106.09685. Small enough not to need the peft package; like it, all
attention projections are adapted and the output is scaled by alpha / r.
"""

import math

import torch
from torch import Tensor, nn

_ATTENTION = (
    "query",
    "key",
    "value",
    "q_lin",
    "k_lin",
    "v_lin",
    "q_proj",
    "k_proj",
    "v_proj",
    "Wqkv",
)
"""Names of the attention's input projections in BERT, DistilBERT, Llama and ModernBERT kinds."""


class LowRankLinear(nn.Module):
    """A frozen linear layer plus a trained product of two thin matrices, zero at the start."""

    def __init__(self, frozen: nn.Linear, *, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.frozen = frozen
        self.down = nn.Parameter(torch.empty(rank, frozen.in_features))
        self.up = nn.Parameter(torch.zeros(frozen.out_features, rank))
        self.dropout = nn.Dropout(dropout)
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Output (…, out) of an input (…, in)."""
        added = nn.functional.linear(nn.functional.linear(self.dropout(x), self.down), self.up)
        output: Tensor = self.frozen(x) + self.scale * added
        return output


def add_adapters(encoder: nn.Module, *, rank: int, alpha: float, dropout: float) -> int:
    """Freezes the encoder and puts adapters beside its attention projections; returns how many."""
    encoder.requires_grad_(requires_grad=False)
    found = [
        (parent, name, child)
        for parent in encoder.modules()
        for name, child in parent.named_children()
        if name in _ATTENTION and isinstance(child, nn.Linear)
    ]
    for parent, name, child in found:
        adapter = LowRankLinear(child, rank=rank, alpha=alpha, dropout=dropout)
        setattr(parent, name, adapter)
    return len(found)
