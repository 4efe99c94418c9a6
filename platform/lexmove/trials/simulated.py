"""The simulated objective: a seeded landscape over any search space, with curves, noise and faults.

The cheap twin of fine-tuning: the same protocol, no torch, microseconds per evaluation, and a
known optimum. It stands in for trials in tests and as the environment that a policy learns in.
"""

import json
import math
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.space.domain import Value
from lexmove.space.move import apply_move, legal_moves
from lexmove.space.search_space import Config, SearchSpace
from lexmove.study.fidelity import Fidelity
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment

Fault = Literal["nan", "raise", "fail", "hang", "memory", "kill", "kill_once"]
"""nan: a NaN is reported · raise: an exception of no known kind · fail: `TrialFailedError` ·
hang: nothing more happens · memory: `InfeasibleError` · kill: the process kills itself, each time
or only the first time."""

_NUM_PROBES = 2048
"""Random configs from which the search for the optimum starts."""

_KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Landscape:
    """The parameters of a landscape over D searched dimensions: (D,) arrays, `pairs` (D, D).

    `optimum` is the best place of each ordered dimension; `offsets` are the distances of the
    levels of the others from their best. `weights` say how much a dimension matters (they sum
    to 1, some are 0); `pairs` how strongly two interact (upper triangle).
    """

    optimum: NDArray[np.float64]
    offsets: tuple[NDArray[np.float64] | None, ...]
    weights: NDArray[np.float64]
    widths: NDArray[np.float64]
    pairs: NDArray[np.float64]
    speed: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SimulatedObjective:
    """Evaluates a config on a landscape that `seed` draws over `space` (an `Objective`).

    The value of a config grows with fidelity towards its height in [floor, top], which it reaches
    at `max_fidelity`; how fast depends on the config, so curves cross. Higher is better.

    `noise_std` is the standard deviation of the noise of one measurement, seeded by the segment
    and the fidelity. `epoch_s` is slept per unit of fidelity. `faults` maps trial ids to what
    goes wrong at fidelity `fault_at`, before it is reported. `write_checkpoints` says whether a
    small file is written per fidelity, from which the trial can be continued.
    """

    space: SearchSpace
    seed: int = 0
    max_fidelity: Fidelity = 1
    metric: str = "value"
    floor: float = 0.1
    top: float = 0.9
    noise_std: float = 0.01
    epoch_s: float = 0.0
    faults: Mapping[int, Fault] = field(default_factory=dict)
    fault_at: Fidelity = 1
    write_checkpoints: bool = False

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        if segment.after > 0:
            _check_checkpoint(segment)
        for fidelity in range(segment.after + 1, segment.until + 1):
            since = time.monotonic()
            if self.epoch_s > 0:
                time.sleep(self.epoch_s)
            value = self.measure(segment.config, fidelity, seed=segment.seed)
            if fidelity == self.fault_at and segment.trial_id in self.faults:
                value = _strike(self.faults[segment.trial_id], value, trial_dir)
            folder = trial_dir / f"epoch_{fidelity}"
            if self.write_checkpoints:
                _write_checkpoint(folder, segment, fidelity)
            report(
                Measurement(
                    fidelity=fidelity,
                    metrics={self.metric: value},
                    duration_s=time.monotonic() - since,
                    checkpoint=str(folder) if self.write_checkpoints else None,
                )
            )

    def measure(self, config: Mapping[str, Value], fidelity: Fidelity, *, seed: int) -> float:
        """The value with the noise of one measurement; the same arguments give the same."""
        rng = np.random.default_rng([self.seed, seed, fidelity])
        return self.value(config, fidelity) + self.noise_std * float(rng.standard_normal())

    def value(self, config: Mapping[str, Value], fidelity: Fidelity | None = None) -> float:
        """The value without noise, at the full fidelity unless another is given."""
        units_D = self.space.to_unit(config)
        height = self._height(units_D)
        if fidelity is None or fidelity >= self.max_fidelity:
            return height
        speed = 1.5 + 4.5 / (1 + math.exp(-float(self._landscape.speed @ (units_D - 0.5))))
        reached = -math.expm1(-speed * fidelity / self.max_fidelity) / -math.expm1(-speed)
        return self.floor + (height - self.floor) * reached

    def _height(self, units_D: NDArray[np.float64]) -> float:
        """Smooth, with a shallow ripple in what matters, and valleys across pairs."""
        land = self._landscape
        apart_D = np.array(
            [
                unit - best if levels is None else levels[_level(unit, len(levels))]
                for unit, best, levels in zip(units_D, land.optimum, land.offsets, strict=True)
            ]
        )
        scaled_D = apart_D / land.widths
        smooth_D = scaled_D**2 / (1 + np.abs(scaled_D))
        ripple_D = 0.1 * (1 - np.cos(6 * np.pi * apart_D))
        distance = float(land.weights @ (smooth_D + ripple_D))
        distance += float(scaled_D @ land.pairs @ scaled_D)
        return self.floor + (self.top - self.floor) * math.exp(-distance)

    @cached_property
    def _landscape(self) -> _Landscape:
        rng = np.random.default_rng([self.seed, 0x1A7D])
        domains = [item.domain for item in self.space.searched]
        size = len(domains)
        optimum_D = rng.uniform(0.15, 0.85, size)
        offsets = tuple(
            None if domain.is_ordered else _offsets(domain.num_levels or 1, rng)
            for domain in domains
        )
        # A few dimensions carry most of the effect, as the learning rate does in fine-tuning.
        weights_D = rng.dirichlet(np.full(size, 0.5)) if size > 1 else np.ones(1)
        relevant = weights_D >= 0.02
        weights_D = np.where(relevant, weights_D, 0.0) / weights_D[relevant].sum()
        widths_D = rng.uniform(0.1, 0.3, size)
        factors = rng.normal(0.0, 0.15, (min(2, size), size)) * relevant
        # A sum of squares, so that nothing lies above the optimum.
        pairs_DD = factors.T @ factors * np.sqrt(np.outer(weights_D, weights_D))
        speed_D = rng.normal(0.0, 2.0, size)
        return _Landscape(
            optimum=optimum_D,
            offsets=offsets,
            weights=weights_D,
            widths=widths_D,
            pairs=pairs_DD,
            speed=speed_D,
        )

    @cached_property
    def optimum(self) -> tuple[Config, float]:
        """The best config found by a thorough search, and its value without noise.

        No config is above `top`; without discrete dimensions and rules the value is `top`.
        """
        rng = np.random.default_rng([self.seed, 0x0B7])
        probes = [self.space.sample(rng) for _ in range(_NUM_PROBES)]
        ideal = self.space.from_unit(self._ideal())
        if not self.space.is_forbidden(ideal):
            probes.append(ideal)
        best = max(probes, key=self.value)
        while True:
            moves = legal_moves(self.space, best, origin=None)
            nearby = [apply_move(self.space, best, move) for move in moves]
            better = max([best, *nearby], key=self.value)
            if self.value(better) <= self.value(best):
                return best, self.value(best)
            best = better

    def _ideal(self) -> NDArray[np.float64]:
        """The best place of every dimension, (D,), as a point of the unit cube."""
        land = self._landscape
        return np.array(
            [
                best if levels is None else (int(np.argmin(levels)) + 0.5) / len(levels)
                for best, levels in zip(land.optimum, land.offsets, strict=True)
            ]
        )


def _offsets(num_levels: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Distance of every level from the best one, which has none."""
    offsets = rng.uniform(0.1, 0.5, num_levels)
    offsets[rng.integers(num_levels)] = 0.0
    return offsets


def _level(unit: float, num_levels: int) -> int:
    return min(num_levels - 1, int(unit * num_levels))


def _strike(fault: Fault, value: float, trial_dir: Path) -> float:
    """What goes wrong; returns the value to report where the trial survives it."""
    if fault == "nan":
        return math.nan
    if fault == "raise":
        raise RuntimeError("simulated: an exception of no known kind")
    if fault == "fail":
        raise TrialFailedError("simulated: the trial failed")
    if fault == "memory":
        raise InfeasibleError("out of memory: simulated")
    marker = trial_dir / _KILLED
    if fault == "hang":
        while True:
            time.sleep(60)
    if fault == "kill" or not marker.exists():
        trial_dir.mkdir(parents=True, exist_ok=True)
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def _write_checkpoint(folder: Path, segment: Segment, fidelity: Fidelity) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {"fidelity": fidelity, "seed": segment.seed, "config": dict(segment.config)}
    aside = folder / ".state.json"
    aside.write_text(json.dumps(state), encoding="utf-8")
    aside.replace(folder / "state.json")


def _check_checkpoint(segment: Segment) -> None:
    """A checkpoint of this config at this fidelity, or the trial fails.

    Raises:
        TrialFailedError: it is missing, damaged, or of another trial.
    """
    if segment.resume_from is None:
        raise TrialFailedError(f"cannot continue after fidelity {segment.after}: no checkpoint")
    try:
        text = (Path(segment.resume_from) / "state.json").read_text(encoding="utf-8")
        state = json.loads(text)
    except FileNotFoundError:
        raise TrialFailedError(
            f"cannot continue: checkpoint {segment.resume_from} is missing"
        ) from None
    except (OSError, ValueError) as error:
        raise TrialFailedError(
            f"cannot continue: checkpoint {segment.resume_from} is damaged ({error})"
        ) from None
    wanted = {"fidelity": segment.after, "seed": segment.seed, "config": dict(segment.config)}
    if state != wanted:
        raise TrialFailedError(
            f"cannot continue: checkpoint {segment.resume_from} is of another trial or fidelity"
        )
