"""Evaluates one segment: every way in which an objective can end becomes an outcome."""

from dataclasses import dataclass
from pathlib import Path

from lexmove.coordinator.coordinator import Coordinator
from lexmove.errors import InfeasibleError, TrialError
from lexmove.study.protocols import Objective, Report
from lexmove.study.trial import Segment, TrialStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOutcome:
    """How a segment ended: `failure` is FAILED, INFEASIBLE, or None where all went well."""

    failure: TrialStatus | None = None
    reason: str = ""

    def record(self, coordinator: Coordinator, trial_id: int) -> None:
        """Tells the coordinator."""
        match self.failure:
            case TrialStatus.FAILED:
                coordinator.failed(trial_id, self.reason)
            case TrialStatus.INFEASIBLE:
                coordinator.infeasible(trial_id, self.reason)
            case _:
                coordinator.segment_ended(trial_id)


def evaluate(
    objective: Objective, segment: Segment, *, trial_dir: Path, report: Report
) -> SegmentOutcome:
    """Runs the objective; whatever it raises is the trial's outcome, in one line."""
    try:
        objective(segment, trial_dir=trial_dir, report=report)
    except MemoryError as error:
        return SegmentOutcome(
            failure=TrialStatus.INFEASIBLE, reason=f"out of memory: {error}".rstrip(": ")
        )
    except InfeasibleError as error:
        return SegmentOutcome(failure=TrialStatus.INFEASIBLE, reason=error.reason)
    except TrialError as error:
        return SegmentOutcome(failure=TrialStatus.FAILED, reason=error.reason)
    except Exception as error:  # noqa: BLE001 - an objective may raise anything
        first_line = (str(error).splitlines() or [""])[0]
        reason = f"{type(error).__name__}: {first_line}".rstrip(": ")
        return SegmentOutcome(failure=TrialStatus.FAILED, reason=reason)
    return SegmentOutcome()
