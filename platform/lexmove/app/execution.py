"""Runs what a coordinator assigns: on the Ray that this process is connected to, or right here."""

import sys
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
    *,
    kept_best: int = 3,
) -> None:
    """Runs a study to its end, in the slots that the job asks for.

    Without Ray (`IN_PROCESS`) one segment after the other runs in this process. Checkpoints of the
    `kept_best` best trials stay.

    Raises:
        KeyboardInterrupt: interrupted; what ran is preempted and can be resumed.
    """
    coordinator.recover()
    if not _ray_is_here():
        from lexmove.coordinator.in_process import run_in_process

        run_in_process(coordinator, objective, study_dir=study_dir, on_change=on_change)
        return
    from lexmove.coordinator.tune import Slots, run_study

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
        kept_best=kept_best,
    )
    if not finished:
        coordinator.recover()
        raise KeyboardInterrupt


def _ray_is_here() -> bool:
    """Whether this process is connected; a Ray that was never imported is not."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
