"""Synthetic objectives: a response surface with noise, crashes, learning curves and run times."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.agent.pretraining.response_surfaces import Surface
from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment

METRIC = "value"
"""The name under which synthetic objectives report; higher is better."""

_NUM_PROBES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashRegion:
    """Where trials fail: beyond a threshold of a random function of the point.

    `level` is the function; failing points are those above `threshold`. `is_memory` says that
    they do not fit (`InfeasibleError`), else they diverge (`TrialFailedError`).
    """

    level: Surface
    threshold: float
    is_memory: bool

    def __call__(self, units_ND: Array) -> Mask:
        """Which points fail, (N,)."""
        failing: Mask = self.level(units_ND) > self.threshold
        return failing


def crash_region(
    level: Surface, rng: np.random.Generator, encoding: Encoding, *, share: float
) -> CrashRegion:
    """The region in which `share` of random points fails, measured; the default never does."""
    units = encoding.snap(rng.random((_NUM_PROBES, encoding.num_dims)))
    threshold = float(np.quantile(level(units), 1.0 - share))
    at_default = float(level(encoding.default[None])[0])
    return CrashRegion(
        level=level,
        threshold=max(threshold, at_default),
        is_memory=bool(rng.random() < 0.5),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Learning curves that rise, cross and overfit, their shape depending on the config.

    After the prior of FT-PFN (Rakotoarison et al. 2024, arXiv 2404.16795), reduced: a curve is a
    mix of a power law and of a late sigmoid from `start` to the config's final score, and the
    configs above `hump_from` of `hump_level` pass a peak before the end. `rate`, `lateness` and
    `hump_level` are functions of the point, about standard normal.
    """

    start: float
    spread: float
    rate: Surface
    lateness: Surface
    hump_level: Surface
    hump_from: float = np.inf
    hump_height: float = 0.0
    base_rate: float = 10.0

    def __call__(self, finals_N: Array, units_ND: Array, share: float | Array) -> Array:
        """Scores (N,) after a share in (0, 1] of the full training; the final ones at 1.

        Of one point, the shares may be many (S,), and so are the scores.
        """
        if np.min(share) >= 1.0:
            return finals_N
        speed = self.base_rate * np.exp(self.rate(units_ND))
        power = np.log1p(speed * share) / np.log1p(speed)
        lateness = self.lateness(units_ND)
        middle = 0.5 / (1.0 + np.exp(-lateness))
        late = _sigmoid(share, middle) / _sigmoid(1.0, middle)
        progress = np.where(lateness > 0.5, late, power)
        hump = np.maximum(self.hump_level(units_ND) - self.hump_from, 0.0)
        over = self.hump_height * self.spread * np.minimum(hump, 2.0) * 4.0 * share * (1.0 - share)
        scores: Array = self.start + (finals_N - self.start) * progress + over
        return np.where(np.asarray(share) >= 1.0, finals_N, scores)


def _sigmoid(share: float | Array, middle_N: Array) -> Array:
    """A rise around `middle`, 0 at share 0."""
    at_share = 1.0 / (1.0 + np.exp(-12.0 * (share - middle_N)))
    at_zero = 1.0 / (1.0 + np.exp(12.0 * middle_N))
    risen: Array = at_share - at_zero
    return risen


@dataclass(frozen=True, kw_only=True)
class SyntheticObjective:
    """A `KnownObjective` that also tells many points at once.

    `noise` is the standard deviation of a measurement. A measurement takes `seconds` times
    exp(`cost`(point)), with a random factor. `max_fidelity` is the full training, 1 without
    `curves`. `luck` is the probability that a trial fails for no reason of its config.
    """

    family: str
    encoding: Encoding
    surface: Surface
    cost: Surface
    noise: float = 0.0
    seconds: float = 60.0
    crash: CrashRegion | None = None
    curves: Curves | None = None
    max_fidelity: Fidelity = 1
    luck: float = 0.0
    seed: int = 0

    def values(self, units_ND: Array, fidelity: Fidelity) -> Array:
        """Noiseless scores (N,) of snapped points; NaN where they fail."""
        scores = self._scores(units_ND, min(1.0, fidelity / self.max_fidelity))
        if self.crash is not None:
            scores = np.where(self.crash(units_ND), np.nan, scores)
        return scores

    def _scores(self, units_ND: Array, share: float | Array) -> Array:
        """Noiseless scores as if nothing failed; see `Curves` for the shapes."""
        finals = self.surface(units_ND)
        return finals if self.curves is None else self.curves(finals, units_ND, share)

    def value(self, config: Config, fidelity: Fidelity) -> float:
        """The noiseless score of a config; NaN where it fails."""
        return float(self.values(self._units(config), fidelity)[0])

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        """Runs a segment: the same trial seed gives the same noise, in one segment or in many.

        Raises:
            InfeasibleError: the config does not fit.
            TrialFailedError: it diverges.
        """
        units = self._units(segment.config)
        if self.crash is not None and self.crash(units)[0]:
            if self.crash.is_memory:
                raise InfeasibleError("out of memory")
            raise TrialFailedError("the loss is NaN")
        if self.luck and np.random.default_rng([self.seed, segment.seed]).random() < self.luck:
            raise TrialFailedError("the worker was lost")
        pace = self.seconds * float(np.exp(self.cost(units)[0]))
        fidelities = np.arange(segment.after + 1, segment.until + 1)
        scores = self._scores(units, np.minimum(1.0, fidelities / self.max_fidelity))
        scores = np.broadcast_to(scores, len(fidelities))
        for fidelity, score in zip(fidelities.tolist(), scores.tolist(), strict=True):
            rng = np.random.default_rng([self.seed, segment.seed, fidelity])
            noise, jitter = rng.normal(size=2)
            report(
                Measurement(
                    fidelity=fidelity,
                    metrics={METRIC: score + self.noise * noise},
                    duration_s=pace * float(np.exp(0.1 * jitter)),
                    checkpoint=f"trial_{segment.trial_id}/{fidelity}",
                )
            )

    def _units(self, config: Config) -> Array:
        return self.encoding.space.to_unit(config)[None]
