"""`resources: auto`: what one trial takes, from what there is and what a few steps demand."""

import math

from lexmove.app.inputs import bring_inputs
from lexmove.coordinator.study_dir import StudyDir
from lexmove.job.spec import JobSpec, ResourcesSpec
from lexmove.space.search_space import Config, SearchSpace

_MOST_CPUS = 4
"""Of one trial: small batches gain nothing from more threads."""

_DEMANDING = ("per_device_train_batch_size", "model.max_length", "model.max_segments")


def with_resources(
    job: JobSpec, space: SearchSpace, study_dir: StudyDir, *, num_cpus: float, num_gpus: float
) -> JobSpec:
    """The job with `resources: auto` settled, once for a study; any other job as it is.

    With GPUs, a trial of the most demanding config is measured on one of them and as many trials
    share a GPU as have room and find time on it. Without, the trials that run at once share the
    CPUs. Ray must run, unless there is no GPU.
    """
    if not job.resources.auto:
        return job
    kept = study_dir.read_json("resources")
    if kept is None:
        per_gpu = _measured_trials_per_gpu(job, space, study_dir) if num_gpus else 0
        settled = shared(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            parallel=job.budget.parallel,
            trials_per_gpu=per_gpu,
        )
        kept = {"cpu": settled.cpu, "gpu": settled.gpu}
        study_dir.write_json("resources", kept)
    return job.model_copy(update={"resources": ResourcesSpec(**kept)})


def shared(
    *, num_cpus: float, num_gpus: float, parallel: int, trials_per_gpu: int
) -> ResourcesSpec:
    """What each of the trials that run at once takes: at most `parallel`, at least one CPU each."""
    at_once = parallel
    if num_gpus:
        at_once = min(parallel, int(num_gpus * trials_per_gpu))
    cpu = max(1, min(_MOST_CPUS, int(num_cpus // max(1, at_once))))
    # Rounded down: the shares of a GPU must not add up to more than one.
    gpu = math.floor(1e4 / trials_per_gpu) / 1e4 if num_gpus else 0.0
    return ResourcesSpec(cpu=cpu, gpu=gpu)


def most_demanding(space: SearchSpace) -> Config:
    """The default config with the largest batches and the longest texts that may be tried."""
    largest = {
        item.name: item.domain.from_unit(1.0)
        for item in space.hyperparameters
        if item.name in _DEMANDING and item.name in space.default
    }
    return space.config({**space.default, **largest})


def _measured_trials_per_gpu(job: JobSpec, space: SearchSpace, study_dir: StudyDir) -> int:
    import ray

    from lexmove.trials.gpu_demand import measure_gpu_demand

    config, data = dict(most_demanding(space)), study_dir.read_json("data") or ""

    def measure() -> int:
        bring_inputs(job)
        return measure_gpu_demand(job.task, job.model, config, data=data).trials_per_gpu

    answer: int = ray.get(ray.remote(num_cpus=1, num_gpus=1)(measure).remote())
    return answer
