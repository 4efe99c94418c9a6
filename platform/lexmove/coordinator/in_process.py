"""Runs a study in this process, one segment after the other: Tune's cheap twin."""

from collections.abc import Callable

from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.evaluation import evaluate
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import LexmoveError
from lexmove.study.protocols import Objective
from lexmove.study.study import Study
from lexmove.study.trial import Measurement


def run_in_process(
    coordinator: Coordinator,
    objective: Objective,
    *,
    study_dir: StudyDir,
    on_change: Callable[[Study], None] = lambda _: None,
) -> None:
    """Runs until the coordinator has nothing left, and closes the study.

    There is no worker to lose and no time limit, and all checkpoints stay; all else is as
    `tune.run_study`.

    Raises:
        LexmoveError: whatever the coordinator, its proposer or its store raised.
    """
    errors: list[LexmoveError] = []
    while (segment := coordinator.assign()) is not None:
        trial_id = segment.trial_id
        trial_dir = study_dir.trial(trial_id)
        trial_dir.mkdir(parents=True, exist_ok=True)

        def report(measurement: Measurement, trial_id: int = trial_id) -> None:
            try:
                coordinator.measured(trial_id, measurement)
                on_change(coordinator.study)
            except LexmoveError as error:
                errors.append(error)
                raise

        outcome = evaluate(objective, segment, trial_dir=trial_dir, report=report)
        if errors:
            raise errors[0]  # the coordinator's failure, not the trial's
        outcome.record(coordinator, trial_id)
        on_change(coordinator.study)
    coordinator.close()
    on_change(coordinator.study)
