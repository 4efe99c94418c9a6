"""Runs a stage in this process, one segment after the other: Tune's cheap twin."""

from lexmove.coordinator.evaluation import evaluate
from lexmove.coordinator.lane import brought_here, handed_over
from lexmove.coordinator.stage import Stage
from lexmove.coordinator.store_rules import stopped
from lexmove.errors import LexmoveError, StorageError, StudyFailedError
from lexmove.study.protocols import Objective
from lexmove.study.trial import Measurement


def run_in_process(stage: Stage, objective: Objective) -> None:
    """Runs until the coordinator has nothing left, and closes the study.

    There is no worker to lose and no time limit, and all checkpoints stay; all else is as
    `tune.run_stages`.

    Raises:
        LexmoveError: whatever the coordinator, its proposer or its store raised.
        StudyFailedError: what a trial keeps cannot be written.
    """
    coordinator = stage.coordinator
    errors: list[LexmoveError] = []
    while (segment := coordinator.assign()) is not None:
        trial_id = segment.trial_id
        trial_dir = stage.study_dir.trial(trial_id)
        trial_dir.mkdir(parents=True, exist_ok=True)

        def report(measurement: Measurement, trial_id: int = trial_id) -> None:
            try:
                coordinator.measured(trial_id, handed_over(measurement, stage.study_dir))
                stage.on_change(coordinator.study)
            except StorageError:  # the trial's outcome, as in a lane
                raise
            except LexmoveError as error:
                errors.append(error)
                raise

        here = brought_here(segment, stage.study_dir)
        outcome = evaluate(objective, here, trial_dir=trial_dir, report=report)
        if errors:
            raise errors[0]  # the coordinator's failure, not the trial's
        outcome.record(coordinator, trial_id)
        if outcome.stops_study:
            raise StudyFailedError(stopped(coordinator.study.spec.name, outcome.reason))
        stage.on_change(coordinator.study)
    coordinator.close()
    stage.on_change(coordinator.study)
