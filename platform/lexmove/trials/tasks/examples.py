"""Examples: the texts and labels of a split, and how a split is cut down or divided by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Named = str | tuple[str, ...]
"""The name of a text's one class, or the names of its labels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """N examples: texts with their labels, int64.

    Class indices (N,) where each example has one class; 0 and 1 per class, (N, C), where it has
    several or none. `pairs` are second texts, read together with the first ones. `endings` makes
    the examples a multiple choice: C ways each in which its text may go on, and the label is the
    position of the right one. Paragraphs of a text are divided by blank lines.
    """

    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    pairs: tuple[str, ...] | None = None
    endings: tuple[tuple[str, ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_multi_label(self) -> bool:
        """Whether a text has any number of labels."""
        return self.labels.ndim == 2

    @property
    def is_multiple_choice(self) -> bool:
        """Whether one of several endings is to be chosen."""
        return self.endings is not None

    def counts(self, num_labels: int) -> NDArray[np.int64]:
        """Examples of every class, (C,)."""
        if self.is_multi_label:
            counts: NDArray[np.int64] = self.labels.sum(axis=0)
            return counts
        return np.bincount(self.labels, minlength=num_labels)

    def take(self, index: NDArray[np.int64]) -> "Examples":
        """The examples at these positions, in their order."""
        return Examples(
            texts=tuple(self.texts[i] for i in index),
            labels=self.labels[index],
            pairs=None if self.pairs is None else tuple(self.pairs[i] for i in index),
            endings=None if self.endings is None else tuple(self.endings[i] for i in index),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """What a source of data yields: class names, and the examples of each split.

    All splits are of one kind. The classes of a multiple choice are its positions, "0" and so on.
    `no_label_column` measures texts without any label as a class of their own. `skipped` says, one
    place and reason each, which rows were left out.
    """

    labels: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples
    no_label_column: bool = False
    skipped: tuple[str, ...] = ()


def label_names(labels: Sequence[Named]) -> tuple[str, ...]:
    """All class names in use, sorted."""
    return tuple(
        sorted(
            {name for label in labels for name in ([label] if isinstance(label, str) else label)}
        )
    )


def coded_labels(labels: Sequence[Named], names: Sequence[str]) -> NDArray[np.int64]:
    """The labels of `Examples`: of one name each, or of several (or none) each."""
    if all(isinstance(label, str) for label in labels):
        index = {name: number for number, name in enumerate(names)}
        return np.array([index[str(label)] for label in labels], dtype=np.int64)
    return np.array([[name in label for name in names] for label in labels], dtype=np.int64)


def named_labels(examples: Examples, names: Sequence[str]) -> list[Named]:
    """What `coded_labels` codes: the name of every example's class, or the names of its labels."""
    if examples.is_multi_label:
        return [
            tuple(name for name, given in zip(names, row, strict=True) if given)
            for row in examples.labels
        ]
    return [names[label] for label in examples.labels]


def stratified_sample(
    labels: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of a random sample that keeps the class proportions, ascending, (size,).

    `labels` are those of `Examples`. Class sizes are rounded by largest remainder; every class
    keeps an example where `size` leaves room for one each.
    """
    if labels.ndim == 2:
        return _multi_label_sample(labels, min(size, len(labels)), rng)
    counts = np.bincount(labels)
    quota = _quota(counts, min(size, len(labels)))
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:take] for label, take in enumerate(quota)
    ]
    return np.sort(np.concatenate(chosen))


def _multi_label_sample(
    labels: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Iterative stratification into a sample and a rest (Sechidis et al., ECML 2011, algorithm 1).

    The rarest class first, each of its examples to the side that lacks most of the class.
    """
    classes = with_none(labels)
    counts = classes.sum(axis=0)
    share = size / len(labels)
    lacking = np.array([np.maximum(share * counts, counts > 0), (1 - share) * counts])
    room = np.array([size, len(labels) - size])
    side = np.full(len(labels), -1)
    while (side < 0).any():
        left = classes[side < 0].sum(axis=0)
        rarest = int(np.argmin(np.where(left > 0, left, len(labels) + 1)))
        for index in rng.permutation(np.flatnonzero((side < 0) & (classes[:, rarest] == 1))):
            to = max((0, 1), key=lambda at: (room[at] > 0, lacking[at, rarest], room[at]))
            side[index] = to
            room[to] -= 1
            lacking[to] -= classes[index]
    return np.flatnonzero(side == 0)


def with_none(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Multi-label indicators with a further column for texts without a label, (N, C + 1)."""
    return np.column_stack([labels, 1 - labels.any(axis=1)])


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
