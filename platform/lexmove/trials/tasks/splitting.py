"""Splitting: which examples go to train, validation and test where these are not given."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lexmove.errors import TaskError
from lexmove.job.spec import TaskSpec
from lexmove.trials.tasks.cells import shown
from lexmove.trials.tasks.examples import Examples, with_none
from lexmove.trials.tasks.near_duplicates import RELATED, clusters, shingle, split_clusters
from lexmove.trials.tasks.split_card import SPLITS, compared

_MIN_PER_CLASS = 3
"""Examples that a class needs to be on all three sides."""


def completed(
    given: Mapping[str, Examples],
    spec: TaskSpec,
    *,
    groups: Sequence[str] | None,
    names: Sequence[str],
    place: str,
) -> dict[str, Examples]:
    """Train, validation and test; what is not given is split off train, in the job's shares.

    Args:
        given: Train, and what else there is.
        spec: Shares, near-duplicates and seed are read from it.
        groups: Of the training examples, whose groups stay together.
        names: Of the classes.
        place: Where train comes from, for messages.

    Raises:
        TaskError: too few examples, of a class or at all.
    """
    ratios = {name: getattr(spec.split, name) for name in SPLITS if name not in given}
    if not ratios:
        return dict(given)
    ratios = {"train": spec.split.train, **ratios}
    train, is_free = given["train"], not groups and spec.split.near_duplicates != "together"
    if is_free and not train.is_multiple_choice:
        _check_class_sizes(train, names, place)
    side = _sides_of(train, tuple(ratios.values()), spec, groups)
    made = {name: train.take(np.flatnonzero(side == at)) for at, name in enumerate(ratios)}
    for name, part in made.items():
        if len(part) == 0:
            units = "groups" if groups else "rows" if is_free else "unlike texts"
            raise TaskError(
                f"{place}: too few {units} to split off a {name} split; give one as"
                f" task.{'files' if spec.files else 'hub'}.{name}"
            )
    return {**given, **made}


def related(
    examples: Examples, groups: Sequence[str] | None, *, near_duplicates: bool
) -> NDArray[np.int64] | None:
    """Which of N examples must stay on one side: equal numbers, (N,); None if any may part.

    Examples of one group, and with `near_duplicates` those of nearly the same text (with its pair
    or endings), and all that hang together by way of others.
    """
    relations = [] if groups is None else [_numbered(groups)]
    if near_duplicates:
        relations.append(clusters(shingle(compared(examples)), RELATED))
    if not relations:
        return None
    joined = relations[0]
    for relation in relations[1:]:
        joined = _joined(joined, relation)
    return joined


def sides(
    labels: NDArray[np.int64],
    shares: tuple[float, ...],
    *,
    together: NDArray[np.int64] | None = None,
    max_together: float = 1.0,
    seed: int,
) -> NDArray[np.int64]:
    """The side of every example, (N,): 0 is train, then one for each further share.

    Each side has its share of every class, as nearly as `together` allows, and train has every
    class. The same input gives the same sides.

    Args:
        labels: Those of `Examples`, (N,) or (N, C).
        shares: Of the data, one for each side; they add up to 1.
        together: What `related` finds, (N,): examples of the same number stay on one side.
        max_together: Those that are over this share of all examples are trained, where that leaves
            anything for the other sides.
        seed: Of the order in which examples are dealt out.
    """
    if together is None and labels.ndim == 1:
        return _stratified_sides(labels, shares, np.random.default_rng(seed))
    units = np.arange(len(labels)) if together is None else _numbered(together)
    traits = _traits(labels)
    for limit in (max_together, 1.0):
        side = split_clusters(units, traits, ratios=shares, seed=seed, max_cluster_ratio=limit)
        side = _with_every_class_trained(side, units, labels)
        if len(np.unique(side)) == len(shares):
            break
    return side


def _sides_of(
    train: Examples, ratios: Sequence[float], spec: TaskSpec, groups: Sequence[str] | None
) -> NDArray[np.int64]:
    together = related(train, groups, near_duplicates=spec.split.near_duplicates == "together")
    shares = tuple(ratio / sum(ratios) for ratio in ratios)
    return sides(
        # A choice is not split by where its right ending stands.
        np.zeros_like(train.labels) if train.is_multiple_choice else train.labels,
        shares,
        together=together,
        # Groups may be large by nature; near-duplicates would be most of a held-out side.
        max_together=1.0 if groups else min(shares[1:]) / 2,
        seed=spec.seed,
    )


def _check_class_sizes(train: Examples, names: Sequence[str], place: str) -> None:
    """What a split by class needs."""
    counts = train.counts(len(names))
    rare = [(name, n) for name, n in zip(names, counts, strict=True) if n < _MIN_PER_CLASS]
    if not rare:
        return
    name, count = rare[0]
    others = len(rare) - 1
    more = f" (and {others} more class{'es' * (others > 1)})" if others else ""
    hint = ""
    if len(rare) > len(train) / 2:
        hint = f"; or is task.label another column? This one has {len(names)} different labels"
    raise TaskError(
        f"{place}: class {shown(name)} has {count} example{'s' if count > 1 else ''}, too few to"
        f" split{more}; a class needs {_MIN_PER_CLASS}, better 30: add some, merge classes, or give"
        f" the splits{hint}"
    )


def _numbered(values: Sequence[str] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Equal values as equal numbers from 0, in their order."""
    if isinstance(values, np.ndarray):
        numbers: NDArray[np.int64] = np.unique(values, return_inverse=True)[1].reshape(-1)
        return numbers
    # An array of texts would take as much for each as for the longest.
    index = {value: number for number, value in enumerate(sorted(set(values)))}
    return np.array([index[value] for value in values], dtype=np.int64)


def _traits(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """What each side needs its share of, as indicators: every class, no label, and examples."""
    single = labels.ndim == 1
    classes = np.unique(labels) == labels[:, None] if single else with_none(labels)
    return np.column_stack([classes, np.ones(len(labels))]).astype(np.int64)


def _joined(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The finest relation that holds both: components of the graph that has an edge per example."""
    left, right = _numbered(one), _numbered(other)
    num_left, num_right = left.max() + 1, right.max() + 1
    edges = coo_array(
        (np.ones(len(left)), (left, num_left + right)), shape=(num_left + num_right,) * 2
    )
    component: NDArray[np.int64] = connected_components(edges, directed=False)[1][left]
    return component


def _stratified_sides(
    labels: NDArray[np.int64], shares: tuple[float, ...], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Every class on every side, in proportion."""
    side = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        sizes = [max(1, round(share * len(members))) for share in shares[1:]]
        while sum(sizes) >= len(members):
            sizes[int(np.argmax(sizes))] -= 1
        taken = np.cumsum([0, *sizes])
        for number, (first, last) in enumerate(pairwise(taken), start=1):
            side[members[first:last]] = number
    return side


def _with_every_class_trained(
    side: NDArray[np.int64], units: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Moves the smallest unit of each class that train lacks to train."""
    side, sizes = side.copy(), np.bincount(units)
    classes = range(labels.shape[1]) if labels.ndim == 2 else np.unique(labels)
    for label in classes:
        holds = labels[:, label] == 1 if labels.ndim == 2 else labels == label
        if holds.any() and not (side[holds] == 0).any():
            candidates = np.unique(units[holds])
            smallest = candidates[np.argmin(sizes[candidates])]
            side[units == smallest] = 0
    return side
