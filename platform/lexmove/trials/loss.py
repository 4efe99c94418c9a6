"""The loss: cross entropy over classes, endings or separate labels; smoothed, weighted by class."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from lexmove.trials.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loss:
    """Mean over a batch.

    `weights` are those of the classes, (C,), or of every label's absence and presence, (2, C);
    None where all count the same. `smoothing` moves that share of a target to the other classes.
    """

    smoothing: float
    weights: Tensor | None

    @classmethod
    def of(
        cls, recipe: Recipe, labels: NDArray[np.int64], *, num_labels: int, device: torch.device
    ) -> Self:
        """The loss that a recipe asks for; weights balance what `labels` hold."""
        weights = None
        if recipe.class_weighting == "balanced":
            balanced = balanced_weights(labels, num_labels)
            weights = torch.tensor(balanced, dtype=torch.float32, device=device)
        return cls(smoothing=recipe.label_smoothing, weights=weights)

    def __call__(self, logits_BC: Tensor, labels: Tensor) -> Tensor:
        """The loss of logits under labels (B,), or under indicators (B, C) of several labels."""
        if labels.ndim == 1:
            if self.weights is None:
                return cross_entropy(logits_BC, labels, label_smoothing=self.smoothing)
            # By example: torch's own weights would count the smoothed shares, too, so that every
            # text teaches the rarest class.
            losses_B = cross_entropy(
                logits_BC, labels, label_smoothing=self.smoothing, reduction="none"
            )
            weights_B = self.weights[labels]
            return (losses_B * weights_B).sum() / weights_B.sum()
        # Smoothed as for one class among two: each decision is one of its own.
        targets_BC = labels * (1 - self.smoothing) + self.smoothing / 2
        weights_BC = None
        if self.weights is not None:
            weights_BC = torch.where(labels.bool(), self.weights[1], self.weights[0])
        return binary_cross_entropy_with_logits(logits_BC, targets_BC, weight=weights_BC)

    def share(self, part: Tensor, whole: Tensor) -> Tensor | float:
        """What the loss of some labels of a batch weighs in the mean over all of it, up to 1."""
        if self.weights is None or whole.ndim == 2:
            return len(part) / len(whole)
        return self.weights[part].sum() / self.weights[whole].sum()


def balanced_weights(labels: NDArray[np.int64], num_labels: int) -> NDArray[np.float64]:
    """Weights n / (classes · n_c), scikit-learn's `balanced`: (C,), or (2, C) of several labels."""
    if labels.ndim == 1:
        counts = np.bincount(labels, minlength=num_labels)
    else:
        given = labels.sum(axis=0)
        counts = np.stack([len(labels) - given, given])
    weights: NDArray[np.float64] = len(labels) / (len(counts) * np.maximum(counts, 1))
    return weights
