"""Twelve functions of 2 to 12 hyperparameters: cliffs, plateaus, conditions, categories, noise.

None of them was used to tune anything. Scores lie in about [0, 1]. Rosenbrock, Styblinski-Tang and
Michalewicz are in Surjanovic and Bingham, Virtual Library of Simulation Experiments
(sfu.ca/~ssurjano); the others are this project's own, shaped like training where they can be.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import pairwise

import numpy as np

from benchmarks.search.function_objective import Function, space_of
from benchmarks.search.task import SearchTask
from lexmove.space.domain import Categorical, Float, Integer, Ordinal, Value

FAMILY = "functions"

Values = Mapping[str, Value]

_NOISE = 0.01
_FLAG = Categorical(values=(False, True))
_UNIT = Float(low=0.0, high=1.0)


def tasks() -> dict[str, Callable[[], SearchTask]]:
    """Every function by name; the scale of its regret is found when first called."""
    return {
        f"{FAMILY}-{name}": cache(partial(function.task, f"{FAMILY}-{name}", FAMILY))
        for name, function in _FUNCTIONS.items()
    }


def _number(config: Values, name: str) -> float:
    return float(config[name])


def _log10(config: Values, name: str) -> float:
    return math.log10(_number(config, name))


def _log2(config: Values, name: str) -> float:
    return math.log2(_number(config, name))


def _axes(config: Values, low: float, high: float) -> list[float]:
    """All values of a config of unit floats, stretched to [low, high]."""
    return [low + (high - low) * float(value) for value in config.values()]


def _ridge(config: Values) -> float:
    """The learning rate that fits grows with the root of the batch; just above it is chance."""
    doublings = _log2(config, "batch_size") - 6
    excess = _log10(config, "learning_rate") + 2.4 - 0.5 * doublings * math.log10(2)
    if excess > 0.35:
        return 0.1
    return max(
        0.1, 0.93 - 0.07 * excess**2 + 0.02 * excess - 0.004 * math.pow(abs(doublings + 1), 1.5)
    )


def _momentum(config: Values) -> float:
    """One effective rate out of three hyperparameters diverges where it is too high.

    Rate over friction over the root of the batch; the decay that fits is inverse to it.
    """
    effective = _log10(config, "learning_rate") - _log10(config, "friction")
    effective -= 0.5 * (_log10(config, "batch_size") - 2)
    if effective > 1.02:
        return math.nan
    shrinkage = effective + _log10(config, "weight_decay") + 4.5
    friction = _log10(config, "friction") + 1.2
    return 0.95 / (1 + 0.15 * (effective + 0.3) ** 2 + 0.06 * shrinkage**2 + 0.04 * friction**2)


def _plateau(config: Values) -> float:
    """Two classes at chance, 0.5, but for the configs that train at all.

    Depth narrows the range of initial scales and of learning rates, unless there are skips.
    """
    depth = _number(config, "depth")
    reach = 1.2 if config["skips"] else 2.5 / depth
    scale = abs(_log10(config, "init_scale") - 0.1) / reach
    rate = abs(_log10(config, "learning_rate") + 2.8 + 0.03 * depth) / (0.4 + 0.5 * reach)
    trained = max(0.0, 1 - scale**2) * max(0.0, 1 - rate**2)
    width = 1 - 0.05 * (9 - _log2(config, "width"))
    return 0.5 + 0.46 * math.sqrt(trained) * width * (1 - math.exp(-depth / 5))


def _rosenbrock(config: Values) -> float:
    """A curved valley in three of twelve dimensions; the nine others do nothing."""
    x = [4 * _number(config, name) - 2.5 for name in ("x2", "x5", "x9")]
    valley = sum(100 * (after - at**2) ** 2 + (1 - at) ** 2 for at, after in pairwise(x))
    return 1 / (1 + valley / 50)


def _styblinski_tang(config: Values) -> float:
    """Two wells in each of six dimensions, the deeper one at -2.9035."""
    wells = [(x**4 - 16 * x**2 + 5 * x) / 2 for x in _axes(config, -5, 5)]
    return 1 - (sum(wells) / len(wells) + 39.16617) / 164.16617


def _michalewicz(config: Values) -> float:
    """Narrow ravines on flat ground, steeper with every dimension (m = 10)."""
    axes = enumerate(_axes(config, 0, math.pi), start=1)
    return sum(math.sin(x) * math.sin(i * x**2 / math.pi) ** 20 for i, x in axes) / 4.6876582


def _optimizers(config: Values) -> float:
    """Three optimizers, each with hyperparameters of its own, on one batch size and dropout."""
    shared = 0.02 * (_log2(config, "batch_size") - 5) ** 2
    shared += 2 * (_number(config, "dropout") - 0.15) ** 2
    match config["optimizer"]:
        case "sgd":
            rate = _log10(config, "sgd_rate") - math.log10(1 - _number(config, "sgd_momentum"))
            own = 0.5 * (rate + 0.2) ** 2 + 0.02 * (not config["sgd_nesterov"])
            top = 0.86
        case "adam":
            own = 0.35 * (_log10(config, "adam_rate") + 3.1) ** 2
            own += 0.08 * (_log10(config, "adam_forgets") + 1.7) ** 2
            own += 0.01 * (_log10(config, "adam_epsilon") + 8) ** 2
            top = 0.9
        case _:
            # The best of the three, within a narrow range only.
            rate = _log10(config, "lion_rate") + 4.4
            own = 2.5 * rate**2 + 0.1 * (_log10(config, "lion_decay") + rate + 1) ** 2
            top = 0.94
    return top / (1 + shared + own)


def _adapters(config: Values) -> float:
    """All weights, or adapters of two kinds; long batches and high ranks need too much memory."""
    batch, length = _log2(config, "batch_size"), _log2(config, "length")
    method = config["method"]
    memory = batch + length
    loss = 0.03 * (9 - length) ** 1.5 + 0.015 * (batch - 4) ** 2
    if method == "full":
        memory += 1
        loss += 0.3 * (_log10(config, "full_rate") + 4.6 - 0.1 * (batch - 4)) ** 2
        loss += 0.6 * (_number(config, "layer_decay") - 0.9) ** 2
    elif method == "lora":
        rank = _log2(config, "rank")
        memory += rank / 8
        scale = _log10(config, "lora_rate") + 0.3 * (_log2(config, "alpha") - rank) * math.log10(2)
        loss += 0.25 * (scale + 3.5) ** 2 + 0.04 * abs(rank - 4)
        loss += {"q": 0.08, "q v": 0.02, "all": 0.0}[str(config["targets"])]
    else:
        memory += _number(config, "prefix_length") / 100
        loss += 0.1 + 0.2 * (_log10(config, "prefix_rate") + 2.3) ** 2
        loss += 0.01 * (_number(config, "prefix_length") - 40) ** 2 / 40
    return math.nan if memory > 13.05 else 0.92 * math.exp(-loss)


_SWITCHES = {"s0": 3, "s1": 4, "s2": 2, "s3": 5, "s4": 3, "s5": 6}
_PAIRS = (("s0", "s1"), ("s1", "s3"), ("s2", "s5"), ("s3", "s4"), ("s4", "s5"))
_TABLES = {
    pair: np.random.default_rng([5, index]).normal(0, 1, [_SWITCHES[name] for name in pair])
    for index, pair in enumerate(_PAIRS)
}


def _switches(config: Values) -> float:
    """What a category is worth depends on its neighbour's, and one float's best place too."""
    levels = {name: "abcdef".index(str(config[name])) for name in _SWITCHES}
    height = sum(float(table[levels[a], levels[b]]) for (a, b), table in _TABLES.items())
    place = 0.2 + 0.3 * levels["s0"]
    height -= 6 * (_number(config, "x0") - place) ** 2 + 2 * (_number(config, "x1") - 0.7) ** 2
    return 1 / (1 + math.exp(-0.6 * height))


def _stairs(config: Values) -> float:
    """Whole numbers on stairs: a step shows only when several of them are right together."""
    apart = [abs(int(config[f"n{i}"]) - best) / 20 for i, best in enumerate((3, 17, 9, 12, 6, 14))]
    climb = sum(weight * x for weight, x in zip((5, 4, 3, 2, 1.5, 1), apart, strict=True))
    climb += 3 * abs(apart[0] - apart[3])
    return 1 - min(16, math.floor(1.6 * climb)) / 16


_rng = np.random.default_rng(31)
_ROTATION = np.linalg.qr(_rng.standard_normal((8, 8)))[0]
_STRETCH = np.logspace(0, 1.5, 8)
_CENTRE = _rng.uniform(0.25, 0.75, 8)
_BUMPS = _rng.uniform(0.1, 0.9, 12)
del _rng


def _ellipsoid(config: Values) -> float:
    """A rotated bowl, its axes 1 : 32: no hyperparameter can be set by itself."""
    apart_D = _STRETCH * (_ROTATION @ (np.array([*config.values()], dtype=float) - _CENTRE))
    return 1 / (1 + 0.04 * float(apart_D @ apart_D))


def _additive(config: Values) -> float:
    """Twelve hyperparameters, each worth 3/4 of the one before, on bumps of different widths."""
    loss = 0.0
    for index, (value, best) in enumerate(zip(config.values(), _BUMPS.tolist(), strict=True)):
        apart = (float(value) - best) / (0.15 + 0.03 * index)
        loss += 0.75**index * (1 - 1 / (1 + apart**2))
    return 1 - loss / 4


def _units(num_dims: int) -> dict[str, Float]:
    return {f"x{i}": _UNIT for i in range(num_dims)}


_FUNCTIONS: Mapping[str, Function] = {
    "ridge": Function(
        score=_ridge,
        space=space_of(
            learning_rate=Float(low=1e-5, high=1e-1, log=True),
            batch_size=Ordinal(values=(8, 16, 32, 64, 128, 256, 512, 1024, 2048)),
        ),
    ),
    "momentum": Function(
        score=_momentum,
        crash_share=0.3,
        space=space_of(
            learning_rate=Float(low=1e-4, high=10.0, log=True),
            friction=Float(low=1e-3, high=1.0, log=True),
            batch_size=Ordinal(values=(16, 32, 64, 128, 256, 512)),
            weight_decay=Float(low=1e-6, high=1e-1, log=True),
        ),
    ),
    "plateau": Function(
        score=_plateau,
        noise_std=_NOISE,
        space=space_of(
            learning_rate=Float(low=1e-6, high=1.0, log=True),
            depth=Integer(low=1, high=24),
            width=Ordinal(values=(32, 64, 128, 256, 512)),
            skips=_FLAG,
            init_scale=Float(low=0.01, high=100.0, log=True),
        ),
    ),
    "rosenbrock-irrelevant": Function(
        score=_rosenbrock,
        space=space_of(**_units(12)),
        peak={"x2": 0.875, "x5": 0.875, "x9": 0.875},
    ),
    "styblinski-tang": Function(
        score=_styblinski_tang,
        noise_std=_NOISE,
        space=space_of(**_units(6)),
        peak={f"x{i}": 0.2096466 for i in range(6)},
    ),
    "michalewicz": Function(
        score=_michalewicz,
        space=space_of(**_units(5)),
        peak={
            f"x{i}": x / math.pi
            for i, x in enumerate((2.202906, 1.570796, 1.284992, 1.923058, 1.720470))
        },
    ),
    "optimizers": Function(
        score=_optimizers,
        noise_std=_NOISE,
        space=space_of(
            {name: {"optimizer": ("sgd",)} for name in ("sgd_rate", "sgd_momentum", "sgd_nesterov")}
            | {
                name: {"optimizer": ("adam",)}
                for name in ("adam_rate", "adam_forgets", "adam_epsilon")
            }
            | {name: {"optimizer": ("lion",)} for name in ("lion_rate", "lion_decay")},
            optimizer=Categorical(values=("sgd", "adam", "lion")),
            sgd_rate=Float(low=1e-4, high=1.0, log=True),
            sgd_momentum=Float(low=0.0, high=0.99),
            sgd_nesterov=_FLAG,
            adam_rate=Float(low=1e-6, high=1e-1, log=True),
            adam_forgets=Float(low=1e-3, high=0.3, log=True),
            adam_epsilon=Float(low=1e-10, high=1e-4, log=True),
            lion_rate=Float(low=1e-7, high=1e-2, log=True),
            lion_decay=Float(low=1e-3, high=10.0, log=True),
            batch_size=Ordinal(values=(8, 16, 32, 64, 128)),
            dropout=Float(low=0.0, high=0.5),
        ),
    ),
    "adapters": Function(
        score=_adapters,
        crash_share=0.3,
        space=space_of(
            {name: {"method": ("full",)} for name in ("full_rate", "layer_decay")}
            | {name: {"method": ("lora",)} for name in ("lora_rate", "rank", "alpha", "targets")}
            | {name: {"method": ("prefix",)} for name in ("prefix_rate", "prefix_length")},
            method=Categorical(values=("full", "lora", "prefix")),
            full_rate=Float(low=1e-6, high=1e-3, log=True),
            layer_decay=Float(low=0.6, high=1.0),
            lora_rate=Float(low=1e-5, high=1e-2, log=True),
            rank=Ordinal(values=(2, 4, 8, 16, 32, 64)),
            alpha=Ordinal(values=(4, 8, 16, 32, 64)),
            targets=Categorical(values=("q", "q v", "all")),
            prefix_rate=Float(low=1e-4, high=1e-1, log=True),
            prefix_length=Integer(low=1, high=100),
            batch_size=Ordinal(values=(4, 8, 16, 32, 64)),
            length=Ordinal(values=(64, 128, 256, 512)),
        ),
    ),
    "switches": Function(
        score=_switches,
        noise_std=_NOISE,
        space=space_of(
            **{
                name: Categorical(values=tuple("abcdef"[:count]))
                for name, count in _SWITCHES.items()
            },
            **_units(2),
        ),
    ),
    "stairs": Function(
        score=_stairs,
        space=space_of(**{f"n{i}": Integer(low=0, high=20) for i in range(6)}),
        peak={f"n{i}": best for i, best in enumerate((3, 17, 9, 12, 6, 14))},
    ),
    "ellipsoid": Function(
        score=_ellipsoid,
        noise_std=_NOISE,
        space=space_of(**_units(8)),
        peak={f"x{i}": best for i, best in enumerate(_CENTRE.tolist())},
    ),
    "additive": Function(
        score=_additive,
        noise_std=_NOISE,
        space=space_of(**_units(12)),
        peak={f"x{i}": best for i, best in enumerate(_BUMPS.tolist())},
    ),
}
