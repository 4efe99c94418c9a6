"""Paired bootstrap: how far apart two classifiers are, given few examples and few seeds.

Examples are drawn anew, the same for both sides (Koehn 2004), and so are the seeds that both were
trained with: the interval holds the noise of the split and that of the training.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]

_NUM_RESAMPLES = 400
_MIN_RESAMPLES = 50
"""Below that no interval is worth giving."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A classifier by its scores, more is better.

    `score(seed, index)` is that of one trained with a seed on the examples of `index`; NaN where
    these examples have none. Without `seeds` nothing is random, and `seed` does not matter.
    """

    name: str
    seeds: tuple[int, ...]
    score: Callable[[int, Index], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A difference with its 95 % interval, and over how many shared seeds it was taken."""

    mean: float
    low: float
    high: float
    num_seeds: int


def paired_interval(
    one: Contestant, other: Contestant, *, num_examples: int, limit_s: float = 20.0
) -> Interval | None:
    """How much more `one` scores; None where the two share no seed, or too few draws have a score.

    Of n seeds n − 1 are drawn, which makes the variance that of a mean of n (bootstrap draws
    of n are too narrow by n − 1 over n). Ends early after `limit_s` seconds.
    """
    seeds = _shared(one, other)
    if not seeds:
        return None
    rng, until = np.random.default_rng(0), time.monotonic() + limit_s
    drawn: list[float] = []
    for number in range(_NUM_RESAMPLES):
        if number >= _MIN_RESAMPLES and time.monotonic() > until:
            break
        index = rng.integers(num_examples, size=num_examples)
        picked = rng.choice(seeds, size=max(1, len(seeds) - 1)).tolist()
        drawn.append(_difference(one, other, picked, index))
    known = [value for value in drawn if math.isfinite(value)]
    if len(known) < _MIN_RESAMPLES:
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    mean = _difference(one, other, seeds, np.arange(num_examples))
    return Interval(mean=mean, low=float(low), high=float(high), num_seeds=len(seeds))


def _shared(one: Contestant, other: Contestant) -> list[int]:
    if not one.seeds or not other.seeds:
        return list(one.seeds or other.seeds or (0,))
    return [seed for seed in one.seeds if seed in other.seeds]


def _difference(one: Contestant, other: Contestant, seeds: Sequence[int], index: Index) -> float:
    @lru_cache
    def gap(seed: int) -> float:
        return one.score(seed, index) - other.score(seed, index)

    return math.fsum(map(gap, seeds)) / len(seeds)
