"""What a split holds: counts per class, lengths, copies, and near-duplicates of training texts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.near_duplicates import DUPLICATE, Shingles, clusters, shingle

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of a split's texts, in words or tokens: the median, the 95th percentile, the most."""

    median: float
    p95: float
    longest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCard:
    """One split. Counts are of examples; `over_max_length` is a share between 0 and 1.

    `label_counts` are those of each class, in a multiple choice of each position; an example with
    several labels counts for each. `words` and `empty` are of the texts alone, without pairs and
    endings; everything below compares texts together with theirs. `duplicates` repeat an earlier
    example of the split word for word; `in_other_splits` stand word for word in another split;
    `near_train` have a near-duplicate in train, directly or by way of other texts (0 for train
    itself). `tokens` and `over_max_length` are None where nobody counted tokens.
    """

    name: str
    examples: int
    label_counts: Mapping[str, int]
    without_label: int
    words: Lengths
    tokens: Lengths | None
    over_max_length: float | None
    empty: int
    duplicates: int
    in_other_splits: int
    near_train: int


def split_cards(
    splits: Mapping[str, Examples],
    labels: Sequence[str],
    *,
    tokens: Mapping[str, NDArray[np.int64]] | None,
    max_length: int,
) -> tuple[SplitCard, ...]:
    """A card of each split. `tokens` counts those of every text, (N,), or of C endings, (N, C)."""
    keys = {name: compared(splits[name]) for name in SPLITS}
    copies = _copies_elsewhere(keys)
    near = _near_train(keys)
    return tuple(
        SplitCard(
            name=name,
            examples=len(splits[name]),
            label_counts=_label_counts(splits[name], labels),
            without_label=_without_label(splits[name]),
            words=_lengths(np.array([len(text.split()) for text in splits[name].texts])),
            tokens=None if tokens is None else _lengths(_longest(tokens[name])),
            over_max_length=None if tokens is None else _share_over(tokens[name], max_length),
            empty=sum(not text.strip() for text in splits[name].texts),
            duplicates=len(keys[name]) - len(set(keys[name])),
            in_other_splits=copies[name],
            near_train=near[name],
        )
        for name in SPLITS
    )


def near_train(splits: Mapping[str, Examples]) -> dict[str, int]:
    """Examples of each split that have a near-duplicate in train, by split; 0 for train itself."""
    return _near_train({name: compared(splits[name]) for name in SPLITS})


def label_conflicts(splits: Mapping[str, Examples]) -> int:
    """Examples of any split whose text, if it has one, stands elsewhere with another label."""
    labels = defaultdict[str, list[bytes]](list)
    for examples in splits.values():
        for key, label in zip(compared(examples), examples.labels, strict=True):
            labels[key].append(label.tobytes())
    labels.pop("", None)
    return sum(len(given) for given in labels.values() if len(set(given)) > 1)


def compared(examples: Examples) -> list[str]:
    """What is compared of every example: its text with its pair or endings.

    The pair comes first: near-duplicates are judged by their first words, and a long first text
    would hide it.
    """
    keys = list(examples.texts)
    if examples.pairs is not None:
        keys = [f"{pair}\n{text}" for pair, text in zip(examples.pairs, keys, strict=True)]
    if examples.endings is not None:
        keys = ["\n".join((key, *ways)) for key, ways in zip(keys, examples.endings, strict=True)]
    return [key.strip() for key in keys]


def _label_counts(examples: Examples, labels: Sequence[str]) -> dict[str, int]:
    return dict(zip(labels, map(int, examples.counts(len(labels))), strict=True))


def _without_label(examples: Examples) -> int:
    return int((~examples.labels.any(axis=1)).sum()) if examples.is_multi_label else 0


def _longest(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens of every example, (N,); with endings, of its longest one."""
    longest: NDArray[np.int64] = tokens.max(axis=1) if tokens.ndim == 2 else tokens
    return longest


def _share_over(tokens: NDArray[np.int64], max_length: int) -> float:
    return float((_longest(tokens) > max_length).mean())


def _lengths(counts: NDArray[np.int64]) -> Lengths:
    median, p95 = np.percentile(counts, [50, 95])
    return Lengths(median=float(median), p95=float(p95), longest=int(counts.max()))


def _copies_elsewhere(keys: Mapping[str, list[str]]) -> dict[str, int]:
    distinct = {name: set(keys[name]) for name in SPLITS}
    others = {
        name: set[str]().union(*(distinct[other] for other in SPLITS if other != name))
        for name in SPLITS
    }
    return {name: sum(key in others[name] for key in keys[name]) for name in SPLITS}


def _near_train(keys: Mapping[str, list[str]]) -> dict[str, int]:
    """Texts of each split in one cluster of near-duplicates with a training text; train's are 0."""
    texts = [key for name in SPLITS for key in keys[name]]
    side = np.repeat(np.arange(len(SPLITS)), [len(keys[name]) for name in SPLITS])
    shingles = shingle(texts)
    likely = np.flatnonzero(_may_repeat(shingles) & np.array([bool(text) for text in texts]))
    if len(likely) == 0:
        return dict.fromkeys(SPLITS, 0)
    cluster, side = clusters(shingles.take(likely), DUPLICATE), side[likely]
    beside_train = np.isin(cluster, cluster[side == 0]) & (side > 0)
    return {
        name: int((beside_train & (side == number)).sum()) for number, name in enumerate(SPLITS)
    }


def _may_repeat(shingles: Shingles) -> NDArray[np.bool_]:
    """Which texts can have a near-duplicate, (N,): others must hold most of their shingles.

    A similarity of .8 takes at least .8 of the shingles of either text; most texts are out.
    """
    _, index, counts = np.unique(shingles.ids, return_inverse=True, return_counts=True)
    is_shared = (counts > 1)[index.reshape(-1)]
    sizes = np.diff(shingles.offsets)
    shared: NDArray[np.int64] = np.add.reduceat(is_shared.astype(np.int64), shingles.offsets[:-1])
    may_repeat: NDArray[np.bool_] = shared >= DUPLICATE * sizes
    return may_repeat
