"""Runs stages: on the Ray that this process is connected to, or right here, as it is told."""

from collections.abc import Callable, Generator, Mapping

from lexmove.coordinator.stage import Stage, Work
from lexmove.coordinator.study_dir import StudyDir
from lexmove.job.spec import JobSpec
from lexmove.study.study import Study

Progress = Callable[[str, Study | None], None]
"""Called with the phase in words and, while trials run, the study after each event."""

Stages = Generator[Stage, None, None]
"""Stages in their order; what follows a `yield` happens when that stage has ended."""


def execute(
    stages: Stages, works: Mapping[str, Work], job: JobSpec, study_dir: StudyDir, *, on_ray: bool
) -> None:
    """Runs all stages to their end, in the slots that the job asks for.

    Without Ray (`IN_PROCESS`) one segment after the other runs in this process, also where a Ray
    is connected that somebody else uses.

    Raises:
        KeyboardInterrupt: interrupted; what ran is preempted and can be resumed.
    """
    recovered = _Recovered(stages)
    try:
        if not on_ray:
            from lexmove.coordinator.in_process import run_in_process

            for stage in recovered:
                run_in_process(stage, works[stage.name].objective)
            return
        from lexmove.coordinator.run import run_stages
        from lexmove.coordinator.tune import Slots

        resources = job.resources
        slots = Slots(parallel=job.budget.parallel, cpu=resources.cpu, gpu=resources.gpu)
        run_stages(recovered, works, name=job.name, slots=slots, tune_dir=study_dir.tune)
    except KeyboardInterrupt:
        recovered.recover()
        raise
    finally:
        stages.close()


class _Recovered:
    """The same stages; what an earlier process left running in one is preempted when it begins."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._current: Stage | None = None

    def __iter__(self) -> "_Recovered":
        return self

    def __next__(self) -> Stage:
        self._current = next(self._stages)
        self.recover()
        return self._current

    def recover(self) -> None:
        """Preempts what is running in the stage that is on."""
        if self._current is not None:
            self._current.coordinator.recover()
