"""Evaluates one segment: every way in which an objective can end becomes an outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lexmove.coordinator.coordinator import Coordinator
from lexmove.errors import InfeasibleError, StorageError, TrialError
from lexmove.study.protocols import Objective, Report
from lexmove.study.trial import Segment, TrialStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOutcome:
    """How a segment ended: `failure` is FAILED, INFEASIBLE, or None where all went well.

    PREEMPTED stands for what is no trial's fault and would befall the next one, too.
    """

    failure: TrialStatus | None = None
    reason: str = ""

    @property
    def stops_study(self) -> bool:
        """Whether it makes no sense to go on."""
        return self.failure is TrialStatus.PREEMPTED

    def record(self, coordinator: Coordinator, trial_id: int) -> None:
        """Tells the coordinator."""
        match self.failure:
            case TrialStatus.FAILED:
                coordinator.failed(trial_id, self.reason)
            case TrialStatus.INFEASIBLE:
                coordinator.infeasible(trial_id, self.reason)
            case TrialStatus.PREEMPTED:
                coordinator.preempted(trial_id, self.reason, blames_trial=False)
            case _:
                coordinator.segment_ended(trial_id)


def evaluate(
    objective: Objective,
    segment: Segment,
    *,
    trial_dir: Path,
    report: Report,
    on_error: Callable[[Exception], object] | None = None,
) -> SegmentOutcome:
    """Runs the objective; whatever it raises is the trial's outcome, in one line.

    `on_error` is called with what it raises, which knows more than one line.
    """
    try:
        objective(segment, trial_dir=trial_dir, report=report)
    except Exception as error:  # noqa: BLE001 - an objective may raise anything
        if on_error is not None:
            on_error(error)
        return _outcome_of(error)
    return SegmentOutcome()


def _outcome_of(error: Exception) -> SegmentOutcome:
    match error:
        case MemoryError():
            reason = f"out of memory: {error}".rstrip(": ")
            return SegmentOutcome(failure=TrialStatus.INFEASIBLE, reason=reason)
        case InfeasibleError():
            return SegmentOutcome(failure=TrialStatus.INFEASIBLE, reason=error.reason)
        case StorageError():
            return SegmentOutcome(failure=TrialStatus.PREEMPTED, reason=error.reason)
        case TrialError():
            return SegmentOutcome(failure=TrialStatus.FAILED, reason=error.reason)
    first_line = (str(error).splitlines() or [""])[0]
    reason = f"{type(error).__name__}: {first_line}".rstrip(": ")
    return SegmentOutcome(failure=TrialStatus.FAILED, reason=reason)
