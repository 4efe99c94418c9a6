"""Examples: the texts and labels of a split, and how a split is cut down or divided by class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """N texts with their class indices, (N,) int64."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: NDArray[np.int64]) -> "Examples":
        """The examples at these positions, in their order."""
        return Examples(texts=tuple(self.texts[i] for i in index), labels=self.labels[index])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """What a source of data yields: class names, and the examples of each split."""

    labels: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples


def stratified_sample(
    labels: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of a random sample that keeps the class proportions, ascending, (size,).

    Class sizes are rounded by largest remainder; every class keeps an example where `size`
    leaves room for one each.
    """
    counts = np.bincount(labels)
    quota = _quota(counts, min(size, len(labels)))
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:take] for label, take in enumerate(quota)
    ]
    return np.sort(np.concatenate(chosen))


def _quota(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """How many of each class: proportional, at least one where that is possible."""
    exact = counts * (size / counts.sum())
    quota: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    for index in np.argsort(-(exact - quota), kind="stable")[: size - quota.sum()]:
        quota[index] += 1
    if size >= np.count_nonzero(counts):
        for index in np.flatnonzero((quota == 0) & (counts > 0)):
            quota[np.argmax(quota)] -= 1
            quota[index] += 1
    return quota


def cut(examples: Examples, size: int | None, *, seed: int) -> Examples:
    """At most `size` examples, stratified; the same seed gives the same ones."""
    if size is None or size >= len(examples):
        return examples
    return examples.take(stratified_sample(examples.labels, size, np.random.default_rng(seed)))
