"""Statistics of the comparison: interquartile means, stratified bootstraps, pairs, ranks.

The estimators are rliable's (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the
Statistical Precipice, arXiv 2108.13264): interquartile mean, bootstrap stratified by task,
probability of improvement. Lower is better throughout: scores are regrets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

NUM_RESAMPLES = 2000

_LEVEL = 0.95
_SEED = 20_211_210

Array = NDArray[np.float64]
Pair = tuple[str, int]
"""A task's name and a seed."""

Scores = Mapping[Pair, float]
"""One arm's regret by pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure and its 95 % interval; `num_pairs` counts the pairs of task and seed behind it."""

    value: float
    low: float
    high: float
    num_pairs: int


def interquartile_mean(values: Array) -> Array:
    """Means (...) along the last axis without the lowest and the highest quarter.

    A quarter of the number of values, rounded down, falls away on either side.
    """
    ordered = np.sort(values, axis=-1)
    num_values = ordered.shape[-1]
    quarter = num_values // 4
    kept: Array = ordered[..., quarter : num_values - quarter].mean(axis=-1)
    return kept


def shared(*scores: Scores) -> tuple[Pair, ...]:
    """The pairs that all arms have, sorted."""
    return tuple(sorted(set(scores[0]).intersection(*scores[1:])))


def on(scores: Scores, pairs: Sequence[Pair]) -> Array:
    """The scores (N,) of some pairs."""
    return np.array([scores[pair] for pair in pairs])


def iqm(scores: Scores, pairs: Sequence[Pair]) -> Estimate:
    """The interquartile mean of one arm; the bootstrap draws seeds within each task."""
    values = on(scores, pairs)
    drawn = interquartile_mean(values[_within_tasks(pairs, np.random.default_rng(_SEED))])
    return _estimate(float(interquartile_mean(values)), drawn, len(pairs))


def iqm_difference(ours: Scores, theirs: Scores) -> Estimate:
    """Our interquartile mean less theirs on the pairs of both; below 0 is better.

    Each resample draws tasks, then seeds within each, the same ones for both arms: so the interval
    speaks of tasks like these, not of these tasks alone.
    """
    pairs = shared(ours, theirs)
    a, b = on(ours, pairs), on(theirs, pairs)
    drawn = _tasks_and_seeds(pairs, np.random.default_rng(_SEED))
    differences = interquartile_mean(a[drawn]) - interquartile_mean(b[drawn])
    value = float(interquartile_mean(a) - interquartile_mean(b))
    return _estimate(value, differences, len(pairs))


def mean_difference(ours: Scores, theirs: Scores) -> Estimate:
    """The mean of our regret less theirs over the pairs of both; resampled as `iqm_difference`."""
    pairs = shared(ours, theirs)
    gaps = on(ours, pairs) - on(theirs, pairs)
    drawn = _tasks_and_seeds(pairs, np.random.default_rng(_SEED))
    return _estimate(float(gaps.mean()), gaps[drawn].mean(axis=1), len(pairs))


def probability_of_improvement(ours: Scores, theirs: Scores) -> Estimate:
    """How likely a study of ours ends below one of theirs on a task drawn at random; ties half.

    Per task the Mann-Whitney statistic over all pairs of seeds, then the mean over tasks
    (arXiv 2108.13264, section 4.3); the bootstrap draws the seeds of both arms independently.
    """
    pairs = shared(ours, theirs)
    rng = np.random.default_rng(_SEED)
    values, drawn = [], []
    for rows in _rows_by_task(pairs):
        a = on(ours, [pairs[row] for row in rows])
        b = on(theirs, [pairs[row] for row in rows])
        wins = (a[:, None] < b) + 0.5 * (a[:, None] == b)
        values.append(wins.mean())
        first, second = rng.integers(len(rows), size=(2, NUM_RESAMPLES, len(rows)))
        drawn.append(wins[first[:, :, None], second[:, None, :]].mean(axis=(1, 2)))
    return _estimate(float(np.mean(values)), np.mean(drawn, axis=0), len(pairs))


def average_ranks(scores: Mapping[str, Scores]) -> dict[str, float]:
    """Each arm's mean rank over the pairs that all arms have, 1 the best, ties averaged.

    Empty where there is no such pair.
    """
    if not scores or not (pairs := shared(*scores.values())):
        return {}
    table = np.array([on(of_arm, pairs) for of_arm in scores.values()])
    return dict(zip(scores, rankdata(table, axis=0).mean(axis=1).tolist(), strict=True))


def _estimate(value: float, drawn: Array, num_pairs: int) -> Estimate:
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high), num_pairs=num_pairs)


def _rows_by_task(pairs: Sequence[Pair]) -> list[list[int]]:
    rows: dict[str, list[int]] = {}
    for row, (task, _) in enumerate(pairs):
        rows.setdefault(task, []).append(row)
    return list(rows.values())


def _within_tasks(pairs: Sequence[Pair], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows (R, N) of R resamples: as many of each task as there are, drawn from its own."""
    blocks = []
    for rows in _rows_by_task(pairs):
        blocks.append(np.array(rows)[rng.integers(len(rows), size=(NUM_RESAMPLES, len(rows)))])
    return np.concatenate(blocks, axis=1)


def _tasks_and_seeds(pairs: Sequence[Pair], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows (R, T × S) of R resamples: T of the T tasks, of each S of its own seeds.

    S is the largest number of seeds that a task has.
    """
    by_task = _rows_by_task(pairs)
    counts = np.array([len(rows) for rows in by_task])
    table = np.zeros((len(by_task), counts.max()), dtype=np.intp)
    for task, rows in enumerate(by_task):
        table[task, : len(rows)] = rows
    tasks = rng.integers(len(by_task), size=(NUM_RESAMPLES, len(by_task)))
    uniform = rng.random((NUM_RESAMPLES, len(by_task), int(counts.max())))
    seeds = (uniform * counts[tasks][:, :, None]).astype(np.intp)
    drawn: NDArray[np.intp] = table[tasks[:, :, None], seeds].reshape(NUM_RESAMPLES, -1)
    return drawn
