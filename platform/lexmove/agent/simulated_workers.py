"""Simulated workers: segments of a study on a clock of their own, so that trials overlap.

Events are those that a coordinator writes; only the preemption of workers is left out.
"""

import heapq
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.protocols import Report
from lexmove.study.study import Study, StudySpec, carried_out
from lexmove.study.trial import (
    Ended,
    Event,
    Measured,
    Measurement,
    Segment,
    Suggestion,
    TrialStatus,
)


class KnownObjective(Protocol):
    """An objective whose truth is known: `study.protocols.Objective` and its noiseless value."""

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None: ...

    def value(self, config: Config, fidelity: Fidelity) -> float:
        """The objective at one fidelity without noise, higher is better; NaN where it fails."""
        ...


class SimulatedWorkers:
    """Runs the segments of one study on a simulated clock, `parallel` at a time.

    A segment is evaluated when it starts; its measurements and its end become events when the
    clock reaches them, by `Measurement.duration_s`.
    """

    def __init__(self, spec: StudySpec, objective: KnownObjective) -> None:
        self.study = Study(spec=spec)
        self._objective = objective
        self._now_s = 0.0
        # (time, order of being scheduled, kind of event, its fields)
        self._due: list[tuple[float, int, Callable[..., Event], dict[str, Any]]] = []
        self._num_scheduled = 0

    @property
    def has_free_worker(self) -> bool:
        """Whether another segment may start now."""
        return len(self.study.running) < self.study.spec.parallel

    @property
    def now_s(self) -> float:
        """The simulated clock, in seconds since the start."""
        return self._now_s

    @property
    def is_idle(self) -> bool:
        """Whether no segment runs."""
        return not self._due

    def start(self, suggestion: Suggestion) -> None:
        """Starts or continues a trial, with the events and the seed a coordinator would write."""
        event = carried_out(self.study, suggestion, at_s=self._now_s)
        self.study = self.study.with_event(event)
        self._evaluate(self.study.trials[event.trial_id].segment)

    def advance(self) -> None:
        """Moves the clock to the next event and records it."""
        self._now_s, _, kind, fields = heapq.heappop(self._due)
        self._record(kind, **fields)

    def _evaluate(self, segment: Segment) -> None:
        at_s = self._now_s
        measurements: list[Measurement] = []
        status, reason = _end_of(segment, self.study.spec.fidelity), None
        try:
            # A simulation keeps nothing on disk; its checkpoints are names.
            self._objective(segment, trial_dir=Path(), report=measurements.append)
        except TrialFailedError as error:
            status, reason = TrialStatus.FAILED, error.reason
        except InfeasibleError as error:
            status, reason = TrialStatus.INFEASIBLE, error.reason
        for measurement in measurements:
            at_s += measurement.duration_s
            self._schedule(at_s, Measured, trial_id=segment.trial_id, measurement=measurement)
            value = measurement.metrics.get(self.study.spec.metric, math.nan)
            if not math.isfinite(value):
                status = TrialStatus.FAILED
                reason = f"{self.study.spec.metric} is {value} at {measurement.fidelity}"
                break
        self._schedule(at_s, Ended, trial_id=segment.trial_id, status=status, reason=reason)

    def _schedule(self, at_s: float, kind: Callable[..., Event], **fields: Any) -> None:
        heapq.heappush(self._due, (at_s, self._num_scheduled, kind, fields))
        self._num_scheduled += 1

    def _record(self, kind: Callable[..., Event], **fields: Any) -> None:
        event = kind(seq=self.study.num_events, at_s=self._now_s, **fields)
        self.study = self.study.with_event(event)


def _end_of(segment: Segment, plan: FidelityPlan) -> TrialStatus:
    is_full = segment.until >= plan.maximum
    return TrialStatus.COMPLETED if is_full else TrialStatus.PAUSED
