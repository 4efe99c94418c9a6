"""`resources: auto`: how trials share what there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.app.checking import within_room
from lexmove.app.sizing import most_demanding, shared, with_resources
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import UsageError
from lexmove.job.loading import job_from_json, job_to_json
from lexmove.job.spec import JobSpec, ResourcesSpec
from lexmove.space.loading import space_from_mapping
from lexmove.trials.gpu_demand import GpuDemand

SPACE = {
    "parameters": {
        "learning_rate": {"min": 1e-5, "max": 1e-3, "log": True, "default": 1e-4},
        "per_device_train_batch_size": {"values": [8, 16, 32], "ordered": True, "default": 8},
        "model.max_length": {"values": [128, 256], "ordered": True, "default": 128},
    }
}


def job(resources="auto", parallel=2):
    return JobSpec.model_validate(
        {
            "name": "s",
            "task": {"name": "license_category"},
            "space": SPACE,
            "resources": resources,
            "budget": {"trials": 8, "parallel": parallel},
        }
    )


@given(
    num_cpus=st.integers(1, 256),
    num_gpus=st.integers(0, 16),
    parallel=st.integers(1, 64),
    trials_per_gpu=st.integers(1, 8),
)
def test_what_runs_at_once_fits(num_cpus, num_gpus, parallel, trials_per_gpu):
    found = shared(
        num_cpus=num_cpus, num_gpus=num_gpus, parallel=parallel, trials_per_gpu=trials_per_gpu
    )
    at_once = min(parallel, num_gpus * trials_per_gpu) if num_gpus else parallel
    assert found.cpu == 1 or at_once * found.cpu <= num_cpus
    assert found.gpu * trials_per_gpu <= (1 if num_gpus else 0)
    assert bool(found.gpu) is bool(num_gpus)


@pytest.mark.parametrize(
    ("peak_gib", "busy", "trials"),
    [
        (2, 0.2, 5),  # time for five, room for thirty
        (30, 0.1, 2),  # room for two
        (79, 0.1, 1),
        (100, 1.0, 1),  # it was measured in halves, on another GPU
        (1, 0.95, 1),  # alone it keeps the device busy
        (1, 0.0, 8),
    ],
)
def test_trials_share_a_gpu_by_memory_and_time(peak_gib, busy, trials):
    demand = GpuDemand(peak_bytes=peak_gib * 2**30, total_bytes=80 * 2**30, busy=busy)
    assert demand.trials_per_gpu == trials


def test_the_most_demanding_config_has_the_largest_batches_and_longest_texts():
    found = most_demanding(space_from_mapping(SPACE))
    assert found["per_device_train_batch_size"] == 32
    assert found["model.max_length"] == 256
    assert found["learning_rate"] == 1e-4


def test_it_is_settled_once_for_a_study(tmp_path):
    study_dir = StudyDir(tmp_path / "s")
    study_dir.create()
    space = space_from_mapping(SPACE)
    first = with_resources(job(), space, study_dir, num_cpus=8, num_gpus=0)
    assert first.resources == ResourcesSpec(cpu=4, gpu=0)
    again = with_resources(job(), space, study_dir, num_cpus=2, num_gpus=0)
    assert again.resources == first.resources, "a resumed study goes on as it began"
    given = job({"cpu": 2})
    assert with_resources(given, space, study_dir, num_cpus=8, num_gpus=0) is given


def test_auto_stands_alone_and_travels():
    assert job_from_json(job_to_json(job())).resources.auto
    with pytest.raises((UsageError, ValueError), match="leave them out"):
        job({"auto": True, "cpu": 3})


@pytest.mark.parametrize(
    ("resources", "room", "at_once"),
    [
        ({"cpu": 1}, {"num_cpus": 2, "num_gpus": 0}, 2),
        ({"cpu": 2}, {"num_cpus": 8, "num_gpus": 0}, 4),
        ({"cpu": 1, "gpu": 0.5}, {"num_cpus": 8, "num_gpus": 1}, 2),
        ({"cpu": 1, "gpu": 1}, {"num_cpus": 2, "num_gpus": 8}, 2),
    ],
)
def test_no_more_trials_run_at_once_than_have_room(resources, room, at_once) -> None:
    asked = job(resources, parallel=4)
    found = within_room(asked, **room)
    assert found.budget.parallel == at_once
    rest = {"budget": asked.budget}
    assert found.model_copy(update=rest) == asked, "nothing else is changed"


def test_no_room_for_one_trial_is_an_error() -> None:
    with pytest.raises(UsageError):
        within_room(job({"cpu": 4}), num_cpus=2, num_gpus=0)
