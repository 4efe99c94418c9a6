"""A job that was edited since its study began is told apart, field by field."""

from pathlib import Path
from typing import Any

import pytest

from app.test_running import make_job, silent
from lexmove.app import running
from lexmove.app.job_changes import changed_since
from lexmove.app.preparing import settled, study_spec
from lexmove.coordinator.store import open_store
from lexmove.errors import UsageError
from lexmove.space.domain import Float
from lexmove.space.loading import space_from_mapping
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.study import Study

PLAIN = space_from_mapping({"parameters": {"learning_rate": {"min": 1e-5, "max": 1e-2}}})
WIDER = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="learning_rate", domain=Float(low=1e-5, high=1e-1, log=True)),
    )
)


def made(folder: Path, **fields: Any) -> Study:
    return Study(spec=study_spec(settled(make_job(folder, **fields)), PLAIN))


def test_the_same_job_has_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = made(tmp_path)
    assert changed_since(study, make_job(tmp_path), PLAIN) == ""
    monkeypatch.chdir(tmp_path)
    elsewhere = make_job(tmp_path, storage="studies", store="sqlite:///other.db")
    assert changed_since(study, elsewhere, PLAIN) == ""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": 7}, "seed (0, now 7)"),
        ({"budget": {"trials": 9}}, "budget.trials (24, now 9)"),
        ({"agent": {"starts": [{"learning_rate": 1e-3}]}}, "agent.starts ([], now [{"),
        (
            {"space": {"parameters": {"learning_rate": {"min": 1e-5, "max": 1e-1}}}},
            "space.parameters.learning_rate.max (0.01, now 0.1)",
        ),
        (
            {"space": {"parameters": {"learning_rate": {"min": 1e-5, "max": 1e-2, "log": True}}}},
            "space.parameters.learning_rate.log (none, now true)",
        ),
        (
            {"seed": 7, "budget": {"trials": 9}, "fidelity": {"max_epochs": 2}, "max_failures": 1},
            " and 1 more",
        ),
    ],
)
def test_what_was_edited_is_named(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    job = make_job(tmp_path, **fields)
    space = space_from_mapping(job.space)
    found = changed_since(made(tmp_path), job, space)
    assert found.startswith(", of a job that differs in ")
    assert said in found


def test_of_long_paths_that_begin_alike_the_difference_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / ("inputs" * 10)
    names = [str(folder / name / "model") for name in ("05e4", "77aa")]
    before, now = ({"model": {"name": name, "max_length": 32}} for name in names)
    found = changed_since(made(tmp_path, **before), make_job(tmp_path, **now), PLAIN)
    assert "05e4/model" in found
    assert "77aa/model" in found


def test_a_space_in_a_file_of_its_own_is_compared_too(tmp_path: Path) -> None:
    in_a_file = {"space": "spaces/mine.yaml"}
    study, job = made(tmp_path, **in_a_file), make_job(tmp_path, **in_a_file)
    assert changed_since(study, job, WIDER) == ", of a job that differs in its search space"
    moved = make_job(tmp_path, space="../spaces/mine.yaml")
    assert changed_since(study, moved, study.spec.space) == ""
    assert changed_since(study, make_job(tmp_path), study.spec.space) == ""


def test_who_runs_it_again_is_told_before_the_old_one_goes_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    open_store(url).create(made(tmp_path).spec)
    for fields, said in (
        ({}, "'s' exists already: "),
        ({"seed": 7}, r"differs in seed \(0, now 7\): "),
    ):
        way = rf"{said}`lexmove resume s --store {url}` goes on"
        with pytest.raises(UsageError, match=way):
            running.tune(make_job(tmp_path, **fields), PLAIN, store=url, progress=silent)
