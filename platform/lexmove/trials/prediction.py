"""Predictions: from logits to probabilities and decisions, calibrated on validation where asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

Labels = NDArray[np.int64]
Logits = NDArray[np.floating[Any]]
Probabilities = NDArray[np.float64]

_TEMPERATURES = (0.05, 20.0)
_NUM_THRESHOLDS = 99
_LEAST = 1e-6
"""The least distance of a threshold from 0 and 1: at 1 no label is ever given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRule:
    """How logits (N, C) become decisions.

    Of one class among several the likeliest is taken. With `is_multi_label` every label above the
    probability `threshold` is given. Logits are divided by `temperature` before all that.
    """

    is_multi_label: bool
    threshold: float = 0.5
    temperature: float = 1.0

    def probabilities(self, logits: Logits) -> Probabilities:
        """Of every class, (N, C): rows add up to 1, or each label has its own."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        probabilities: Probabilities = (
            expit(scaled) if self.is_multi_label else softmax(scaled, axis=1)
        )
        return probabilities

    def decide(self, probabilities: Probabilities) -> Labels:
        """Classes (N,), or 0 and 1 per label, (N, C)."""
        if self.is_multi_label:
            return (probabilities > self.threshold).astype(np.int64)
        likeliest: Labels = probabilities.argmax(axis=1)
        return likeliest

    def with_temperature(self, logits: Logits, labels: Labels) -> Self:
        """The same decisions from probabilities that are calibrated on these examples.

        One temperature that minimises the negative log-likelihood (Guo et al. 2017,
        arXiv 1706.04599).
        """
        temperature = fitted_temperature(logits, labels)
        raw = np.log(self.threshold / (1 - self.threshold)) * self.temperature
        threshold = float(np.clip(expit(raw / temperature), _LEAST, 1 - _LEAST))
        return type(self)(
            is_multi_label=self.is_multi_label, threshold=threshold, temperature=temperature
        )

    def with_threshold(self, logits: Logits, score: Callable[[Labels], float]) -> Self:
        """The threshold at which the decisions on these examples score most; nearest to .5 of ties.

        One for all labels: a threshold of its own for each rare label fits noise.
        """
        probabilities = self.probabilities(logits)
        candidates = np.linspace(0, 1, _NUM_THRESHOLDS + 2)[1:-1]
        candidates = candidates[np.argsort(np.abs(candidates - 0.5), kind="stable")]
        scores = [score((probabilities > threshold).astype(np.int64)) for threshold in candidates]
        best = float(candidates[int(np.argmax(scores))])
        return type(self)(
            is_multi_label=self.is_multi_label, threshold=best, temperature=self.temperature
        )


def fitted_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature under which these labels are likeliest, and a few others possible.

    One more example of each answer is thought of (as Platt 1999 smooths targets): labels that the
    logits separate perfectly would otherwise call for certainty.
    """
    logits = np.asarray(logits, dtype=np.float64)
    share = 1 / (len(labels) + 2)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        told = negative_log_likelihood(scaled, labels)
        return (1 - share) * told + share * _mean_negative_log(scaled, labels.ndim)

    low, high = np.log(_TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def _mean_negative_log(logits: Logits, ndim: int) -> float:
    """Of all classes alike; of each label given and not given."""
    if ndim == 1:
        return float(-log_softmax(logits, axis=1).mean())
    return float(-(log_expit(logits) + log_expit(-logits)).mean() / 2)


def negative_log_likelihood(logits: Logits, labels: Labels) -> float:
    """Mean over examples of labels (N,), over all decisions of labels (N, C); in nats."""
    if labels.ndim == 1:
        return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())
    return float(-np.where(labels == 1, log_expit(logits), log_expit(-logits)).mean())


def expected_calibration_error(
    probabilities: Probabilities, labels: Labels, *, num_bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Naeini et al. 2015), 0 to 1.

    Of one class: the confidence of the predicted one. Of several labels: of every decision.
    """
    if labels.ndim == 1:
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    else:
        confidence = np.maximum(probabilities, 1 - probabilities).ravel()
        right = ((probabilities > 0.5) == (labels == 1)).ravel()
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    weight = np.bincount(bins, minlength=num_bins)
    gap = np.bincount(bins, weights=right - confidence, minlength=num_bins)
    return float(np.abs(gap).sum() / weight.sum())
