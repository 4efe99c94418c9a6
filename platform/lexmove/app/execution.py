"""Runs what a coordinator assigns, on the Ray that this process is connected to."""

from collections.abc import Callable

from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.study_dir import StudyDir
from lexmove.job.spec import JobSpec
from lexmove.study.protocols import Objective
from lexmove.study.study import Study

Progress = Callable[[str, Study | None], None]
"""Called with the phase in words and, while trials run, the study after each event."""


def execute(
    coordinator: Coordinator,
    objective: Objective,
    job: JobSpec,
    study_dir: StudyDir,
    on_change: Callable[[Study], None],
) -> None:
    """Runs a study to its end, in the slots that the job asks for.

    Raises:
        KeyboardInterrupt: interrupted; what ran is preempted and can be resumed.
    """
    from lexmove.coordinator.tune import Slots, run_study

    coordinator.recover()
    finished = run_study(
        coordinator,
        objective,
        slots=Slots(
            parallel=job.budget.parallel,
            cpu=job.resources.cpu,
            gpu=job.resources.gpu,
            segment_limit_s=job.budget.trial,
        ),
        study_dir=study_dir,
        on_change=on_change,
    )
    if not finished:
        coordinator.recover()
        raise KeyboardInterrupt
