"""Eight kinds of synthetic learning curves over a space shaped like fine-tuning.

Each config's curve is a mixture of three saturating shapes (power law, exponential, Hill), times
its distance from chance, less what overfitting takes. These are the shapes from which FT-PFN
draws its prior (Rakotoarison et al. 2024, arXiv 2404.16795); here the parameters are written down
rather than drawn, and follow from the config: a higher learning rate is faster and ends lower, so
curves cross. Epochs are the fidelity, not a hyperparameter.

The best checkpoint of a trial counts: `best` and `median` are taken over whole curves, which
matters where they fall again. A config that diverges is worse than any other.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.function_objective import best_and_median, seed_of, space_of
from benchmarks.search.task import METRIC, SearchTask
from lexmove.errors import TrialFailedError
from lexmove.space.domain import Categorical, Float, Ordinal, Value
from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment

FAMILY = "curves"

Array = NDArray[np.float64]
Values = Mapping[str, Value]

_SCHEDULERS = ("constant", "linear", "cosine")
_EPOCH_S = 30.0
_RUN_TIME_NOISE = 0.2
_EPOCH_TIME_NOISE = 0.03


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """How training goes: what tells one kind of curves from another.

    `epochs` is a full training. Scores rise from `chance` towards at most `ceiling`. `best_rate`
    is the decimal logarithm of the learning rate that fits a batch of 16, in `trade` scores are
    lost per squared decade above it, and `half_life` is the share of a full training in which a
    curve at it rises half of the way; `haste` decades of speed come with a decade of rate.
    `best_batch` (its binary logarithm), `best_dropout` and `best_decay` fit best, and
    `schedules` is what the constant, the linear and the cosine schedule cost: they differ
    between kinds, so that copying one's best config to another is not enough. So does
    `adapters_cost`, which training adapters instead of all weights costs at the best rank.
    `late` in [0, 1] is how much of the rise comes late, as an S. `overfit` is the score that as
    many epochs as a full training has would cost after the onset of overfitting. Above `limit`
    decades over the best rate training breaks: it fails if `fails`, else falls back to chance.

    `noise_std` is the noise of one measurement, `run_std` that of a whole run.
    """

    epochs: Fidelity
    chance: float = 0.2
    ceiling: float = 0.9
    best_rate: float = -4.5
    trade: float = 0.2
    half_life: float = 0.08
    haste: float = 0.7
    best_batch: int = 4
    best_dropout: float = 0.15
    best_decay: float = 0.1
    schedules: tuple[float, float, float] = (0.03, 0.006, 0.0)
    late: float = 0.0
    overfit: float = 0.0
    limit: float = 9.0
    fails: bool = True
    noise_std: float = 0.005
    run_std: float = 0.0
    adapters_cost: float = 0.0


SPACE = space_of(
    {"rank": {"adapters": (True,)}},
    learning_rate=Float(low=1e-6, high=3e-3, log=True),
    batch_size=Ordinal(values=(4, 8, 16, 32, 64, 128)),
    weight_decay=Float(low=0.0, high=0.5),
    warm_up=Float(low=0.0, high=0.4),
    scheduler=Categorical(values=_SCHEDULERS),
    dropout=Float(low=0.0, high=0.6),
    adapters=Categorical(values=(False, True)),
    rank=Ordinal(values=(2, 4, 8, 16, 32, 64)),
)
"""One for all kinds, so that there is something to remember from one to the next."""


def _excess(dynamics: Dynamics, config: Values) -> float:
    """Decades of learning rate above the best one for this batch size and these weights."""
    best = dynamics.best_rate + 0.12 * (math.log2(float(config["batch_size"])) - 4)
    best += 0.5 * bool(config["adapters"])
    return math.log10(float(config["learning_rate"])) - best


def _asymptote(dynamics: Dynamics, config: Values, excess: float) -> float:
    """Where the curve would end after endless training, overfitting left out."""
    # Smooth at 0; below the best rate little is lost but time.
    above = math.log1p(math.exp(6 * excess)) / 6
    loss = dynamics.trade * above**2 + 0.02 * min(0.0, excess + 0.5) ** 2
    loss += 0.35 * (float(config["dropout"]) - dynamics.best_dropout) ** 2
    loss += 0.12 * (float(config["weight_decay"]) - dynamics.best_decay) ** 2
    loss += 0.25 * (float(config["warm_up"]) - 0.1) ** 2
    loss += dynamics.schedules[_SCHEDULERS.index(str(config["scheduler"]))]
    loss += 0.005 * (math.log2(float(config["batch_size"])) - dynamics.best_batch) ** 2
    if config["adapters"]:
        loss += 0.012 * abs(math.log2(float(config["rank"])) - 4) + dynamics.adapters_cost
    return dynamics.chance + (dynamics.ceiling - dynamics.chance) * math.exp(-1.6 * loss)


def _progress(dynamics: Dynamics, config: Values, excess: float, at_T: Array) -> Array:
    """The share of the rise that is done, (T,): saturating shapes with one half-life."""
    half = dynamics.epochs * dynamics.half_life * 10 ** (-dynamics.haste * min(excess, 1.0))
    half *= 1 + float(config["warm_up"]) + float(config["dropout"])
    half *= (float(config["batch_size"]) / 16) ** 0.2
    power_T = 1 - (1 + at_T / half) ** -1.0
    exponential_T = 1 - 2 ** (-at_T / half)
    steep = 1.5 + 3 * dynamics.late
    hill_T = at_T**steep / (at_T**steep + half**steep)
    # A decay of the learning rate brings the last points late, no decay brings them early.
    late = max(dynamics.late, 0.25 * _SCHEDULERS.index(str(config["scheduler"])))
    risen_T: Array = late * hill_T + (1 - late) * (0.6 * exponential_T + 0.4 * power_T)
    return risen_T


def _overfitting(dynamics: Dynamics, config: Values, excess: float, at_T: Array) -> Array:
    """What overfitting has taken so far, (T,): it sets in early where nothing regularises."""
    regularised = float(config["dropout"]) / 0.6 + 0.7 * float(config["weight_decay"]) / 0.5
    onset = dynamics.epochs * (0.15 + 0.7 * regularised - 0.15 * max(-1.0, min(1.0, excess)))
    width = 0.06 * dynamics.epochs
    since_T = width * np.log1p(np.exp(np.minimum(50.0, (at_T - onset) / width)))
    return dynamics.overfit * since_T / dynamics.epochs


def _breaks_at(dynamics: Dynamics, config: Values, excess: float) -> float:
    """The epoch at which training breaks, earlier the further above the limit; else infinite."""
    over = excess - dynamics.limit - 1.5 * (float(config["warm_up"]) - 0.1)
    return dynamics.epochs / (1 + 6 * over) if over > 0 else math.inf


@dataclass(frozen=True, kw_only=True)
class CurveObjective:
    """Reports a config's curve epoch by epoch, with noise; `name` seeds it.

    The noise of an epoch is the same however a trial is cut into segments. A run's speed depends
    on the batch size and on luck.
    """

    name: str
    dynamics: Dynamics

    def curve(self, config: Values) -> Array:
        """The noiseless curve, (epochs,); NaN from where training fails."""
        dynamics = self.dynamics
        at_T = np.arange(1.0, dynamics.epochs + 1)
        excess = _excess(dynamics, config)
        height = _asymptote(dynamics, config, excess) - dynamics.chance
        rise_T = height * _progress(dynamics, config, excess, at_T)
        rise_T -= _overfitting(dynamics, config, excess, at_T)
        end = _breaks_at(dynamics, config, excess)
        if end <= dynamics.epochs:
            rise_T *= np.maximum(0.0, 1 - (at_T / end) ** 4)
            rise_T[at_T >= end] = math.nan if dynamics.fails else 0.0
        return dynamics.chance + np.maximum(0.0, rise_T)

    def value(self, config: Config, fidelity: Fidelity) -> float:
        return float(self.curve(config)[fidelity - 1])

    def best_checkpoint(self, config: Values) -> float:
        """The highest value of the curve; NaN where training fails."""
        return float(np.max(self.curve(config)))

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        dynamics = self.dynamics
        rng = np.random.default_rng([seed_of(self.name), segment.seed])
        run, slowness = rng.standard_normal(2)
        noises_T, jitters_T = rng.standard_normal((2, dynamics.epochs))
        epoch_s = _EPOCH_S * math.exp(_RUN_TIME_NOISE * slowness)
        epoch_s *= math.sqrt(16 / float(segment.config["batch_size"]))
        curve_T = self.curve(segment.config) + dynamics.run_std * run
        curve_T += dynamics.noise_std * noises_T
        for fidelity in range(segment.after + 1, segment.until + 1):
            if math.isnan(curve_T[fidelity - 1]):
                raise TrialFailedError("diverged")
            report(
                Measurement(
                    fidelity=fidelity,
                    metrics={METRIC: float(curve_T[fidelity - 1])},
                    duration_s=epoch_s * math.exp(_EPOCH_TIME_NOISE * jitters_T[fidelity - 1]),
                    checkpoint=f"epoch_{fidelity}",
                )
            )


_DYNAMICS: Mapping[str, Dynamics] = {
    "rising": Dynamics(
        adapters_cost=0.02, epochs=13, half_life=0.1, best_decay=0.3, noise_std=0.003
    ),
    "crossing": Dynamics(
        adapters_cost=-0.02,
        epochs=27,
        trade=0.35,
        half_life=0.12,
        haste=1.0,
        best_rate=-4.9,
        best_batch=3,
        schedules=(0.02, 0.0, 0.015),
    ),
    "noisy": Dynamics(
        adapters_cost=0.01,
        epochs=20,
        chance=0.5,
        ceiling=0.85,
        best_rate=-4.1,
        best_batch=6,
        best_dropout=0.05,
        noise_std=0.01,
        run_std=0.005,
    ),
    "overfitting": Dynamics(
        adapters_cost=-0.02,
        epochs=16,
        overfit=0.35,
        half_life=0.04,
        best_dropout=0.3,
        noise_std=0.004,
    ),
    "diverging": Dynamics(
        adapters_cost=0.03,
        epochs=26,
        limit=0.35,
        best_rate=-4.2,
        half_life=0.06,
        best_batch=5,
        best_decay=0.0,
        schedules=(0.04, 0.0, 0.03),
    ),
    "late": Dynamics(
        adapters_cost=0.04,
        epochs=52,
        late=1.0,
        half_life=0.18,
        chance=0.1,
        best_rate=-4.0,
        best_batch=7,
        schedules=(0.0, 0.01, 0.03),
        noise_std=0.003,
    ),
    "adapters": Dynamics(
        epochs=40,
        adapters_cost=-0.03,
        overfit=0.12,
        limit=1.2,
        best_rate=-4.8,
        best_batch=2,
        best_dropout=0.25,
        late=0.3,
    ),
    "collapsing": Dynamics(
        adapters_cost=-0.01,
        epochs=33,
        fails=False,
        limit=0.7,
        overfit=0.2,
        trade=0.1,
        haste=0.9,
        best_rate=-4.6,
        best_batch=3,
        best_dropout=0.0,
        best_decay=0.4,
        schedules=(0.01, 0.0, 0.04),
        noise_std=0.008,
    ),
}


def tasks() -> dict[str, Callable[[], SearchTask]]:
    """Every kind of curves by name; the scale of its regret is found when first called."""
    return {f"{FAMILY}-{name}": cache(partial(_task, name)) for name in _DYNAMICS}


def _task(name: str) -> SearchTask:
    dynamics = _DYNAMICS[name]
    objective = CurveObjective(name=name, dynamics=dynamics)
    best, median = best_and_median(SPACE, objective.best_checkpoint)
    return SearchTask(
        name=f"{FAMILY}-{name}",
        family=FAMILY,
        space=SPACE,
        objective=objective,
        best=best,
        median=median,
        max_fidelity=dynamics.epochs,
    )
