"""Trackers in a job: one name, or a list of them, each that of one."""

import pytest

from lexmove.job.loading import job_from_json, job_to_json
from lexmove.job.spec import JobSpec

LEAST = {
    "name": "s",
    "task": {"name": "license_role"},
    "space": {"parameters": {"learning_rate": {"min": 1e-5, "max": 1e-2}}},
}


def tracking(track: object) -> JobSpec:
    return JobSpec.model_validate({**LEAST, "track": track})


def test_one_name_needs_no_list_and_a_name_counts_once() -> None:
    job = tracking("tensorboard")
    assert job.track == ("tensorboard",)
    assert job_from_json(job_to_json(job)) == job
    assert tracking(["mlflow", "wandb", "mlflow"]).track == ("mlflow", "wandb")
    assert JobSpec.model_validate(LEAST).track == ()


@pytest.mark.parametrize("track", ["mlfow", ["mlflow", "mlfow"]])
def test_an_unknown_name_is_refused_with_the_nearest_one(track: object) -> None:
    with pytest.raises(ValueError, match="no tracker 'mlfow'; did you mean 'mlflow'"):
        tracking(track)


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="write one of mlflow, tensorboard, wandb, or a list"):
        tracking(3)
