"""Four functions like an F1 score: three configs in ten fail, and every measurement is noisy.

A config fails always or never. The regions are of four kinds: beyond a boundary close to the
optimum, beyond several at once, by combinations of categories, and on scattered islands.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np

from benchmarks.search.function_objective import Function, Score, space_of
from benchmarks.search.task import SearchTask
from lexmove.space.domain import Categorical, Float, Integer, Ordinal, Value
from lexmove.space.search_space import SearchSpace

FAMILY = "crash_noise"

Values = Mapping[str, Value]

NOISE_STD = 0.01
CRASH_SHARE = 0.3


def tasks() -> dict[str, Callable[[], SearchTask]]:
    """Every task by name; the scale of its regret is found when first called."""
    return {
        f"{FAMILY}-{name}": cache(partial(function.task, f"{FAMILY}-{name}", FAMILY))
        for name, function in _FUNCTIONS.items()
    }


def _log10(config: Values, name: str) -> float:
    return math.log10(float(config[name]))


def _log2(config: Values, name: str) -> float:
    return math.log2(float(config[name]))


def _rate(config: Values) -> float:
    """Diverges just above the best learning rate; warm-up and clipping move the boundary."""
    excess = _log10(config, "learning_rate") + 4.2 - 0.15 * (_log2(config, "batch_size") - 4)
    bound = 0.485 + 1.5 * float(config["warm_up"]) - 0.25 * _log10(config, "clip_norm")
    if excess > bound:
        return math.nan
    loss = 0.12 * (excess - 0.2) ** 2 + 0.5 * (float(config["dropout"]) - 0.1) ** 2
    loss += 2.0 * (float(config["warm_up"]) - 0.12) ** 2
    loss += 0.008 * (_log10(config, "weight_decay") + 2) ** 2
    loss += 0.01 * abs(_log10(config, "clip_norm"))
    return 0.3 + 0.58 * math.exp(-2 * loss)


def _memory(config: Values) -> float:
    """More layers, rank, length and batch are better, until they no longer fit together."""
    layers, rank = int(config["layers"]), _log2(config, "rank")
    length, batch = _log2(config, "length"), _log2(config, "batch_size")
    memory = 0.14 * layers + 0.25 * rank + 1.1 * length + batch
    memory -= 1.2 * bool(config["recompute"])
    if memory > 14.6:
        return math.nan
    excess = _log10(config, "learning_rate") + 3.6 - 0.1 * (batch - 4)
    loss = 0.15 * excess**2 + 0.02 * (9 - length) ** 1.3 + 0.012 * (5 - batch) ** 2
    loss += 0.15 * math.exp(-layers / 3) + 0.015 * (6 - rank)
    loss += 0.4 * (float(config["dropout"]) - 0.2) ** 2
    return 0.25 + 0.65 * math.exp(-2 * loss)


_PRECISIONS = {"float32": -1.2, "bfloat16": 0.0, "float16": 1.3}
_OPTIMIZERS = {"adamw": 0.0, "adafactor": -0.5, "lion": 0.6, "sgd": -0.3}
_FITS = {"adamw": -4.0, "adafactor": -3.4, "lion": -4.9, "sgd": -1.8}


def _mixed(config: Values) -> float:
    """Whether rate, precision, optimizer and epsilon go together; the fastest do not."""
    optimizer, precision = str(config["optimizer"]), str(config["precision"])
    excess = _log10(config, "learning_rate") - _FITS[optimizer]
    strain = 0.5 * excess + _PRECISIONS[precision] + _OPTIMIZERS[optimizer]
    strain -= 0.15 * (_log10(config, "epsilon") + 8) + 0.3 * bool(config["clip"])
    if strain > 0.557:
        return math.nan
    loss = 0.08 * excess**2 + {"float32": 0.06, "bfloat16": 0.02, "float16": 0.0}[precision]
    loss += {"adamw": 0.02, "adafactor": 0.05, "lion": 0.0, "sgd": 0.12}[optimizer]
    loss += 0.004 * (_log10(config, "epsilon") + 7) ** 2
    loss += 0.6 * (float(config["dropout"]) - 0.15) ** 2 + 0.02 * bool(config["clip"])
    loss += 0.01 * (_log2(config, "batch_size") - 5) ** 2
    loss += 0.3 * (float(config["label_smoothing"]) - 0.05) ** 2
    return 0.2 + 0.72 * math.exp(-2.2 * loss)


_rng = np.random.default_rng(106)
_BEST = _rng.uniform(0.2, 0.8, 5)
_WEIGHTS = np.array([1.0, 0.7, 0.5, 0.2, 0.05])
_ISLANDS = _rng.random((14, 5))
# No island covers the optimum; two of them are close to it.
_ISLANDS[:2] = _BEST + np.array([[0.36, 0, -0.05, 0.05, 0], [-0.05, -0.36, 0, 0.1, 0.1]])
del _rng
_RADIUS = 0.3125


def _islands(config: Values) -> float:
    """Fails on islands of a cube: what is next to a failure need not fail."""
    units_D = np.array([*config.values()], dtype=float)
    # The last dimension stretches no island: it tells nothing about where it fails.
    apart = np.linalg.norm((_ISLANDS - units_D)[:, :4], axis=1)
    if float(apart.min()) < _RADIUS:
        return math.nan
    away_D = units_D - _BEST
    ripple = 0.04 * (1 - math.cos(5 * math.pi * float(away_D[0] + away_D[1])))
    return 0.3 + 0.6 * math.exp(-3 * float(_WEIGHTS @ away_D**2)) - ripple


def _function(score: Score, space: SearchSpace) -> Function:
    return Function(score=score, space=space, noise_std=NOISE_STD, crash_share=CRASH_SHARE)


_FUNCTIONS: Mapping[str, Function] = {
    "rate": _function(
        _rate,
        space_of(
            learning_rate=Float(low=1e-7, high=1e-2, log=True),
            batch_size=Ordinal(values=(4, 8, 16, 32, 64)),
            warm_up=Float(low=0.0, high=0.3),
            clip_norm=Float(low=0.1, high=10.0, log=True),
            dropout=Float(low=0.0, high=0.5),
            weight_decay=Float(low=1e-5, high=1.0, log=True),
        ),
    ),
    "memory": _function(
        _memory,
        space_of(
            learning_rate=Float(low=1e-6, high=1e-2, log=True),
            layers=Integer(low=1, high=12),
            rank=Ordinal(values=(2, 4, 8, 16, 32, 64)),
            length=Ordinal(values=(64, 128, 256, 512)),
            batch_size=Ordinal(values=(4, 8, 16, 32, 64)),
            recompute=Categorical(values=(False, True)),
            dropout=Float(low=0.0, high=0.5),
        ),
    ),
    "mixed": _function(
        _mixed,
        space_of(
            optimizer=Categorical(values=tuple(_OPTIMIZERS)),
            precision=Categorical(values=tuple(_PRECISIONS)),
            learning_rate=Float(low=1e-6, high=1e-1, log=True),
            epsilon=Float(low=1e-10, high=1e-4, log=True),
            clip=Categorical(values=(False, True)),
            batch_size=Ordinal(values=(8, 16, 32, 64, 128)),
            dropout=Float(low=0.0, high=0.5),
            label_smoothing=Float(low=0.0, high=0.3),
        ),
    ),
    "islands": _function(
        _islands, space_of(**{f"x{i}": Float(low=0.0, high=1.0) for i in range(5)})
    ),
}
