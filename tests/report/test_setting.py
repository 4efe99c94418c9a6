"""What a page says to reproduce a study can be read again, and is the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from cli.studies import NAME, make_store
from lexmove.app.stored import load
from lexmove.job.spec import JobSpec
from lexmove.report.setting import declared, job_text, reproduction, to_yaml
from lexmove.space.loading import load_job_and_space, load_space
from lexmove.space.search_space import SearchSpace
from lexmove.study.starts import PlannedStart
from report.studies import SPACE, subject_of

SPACES = Path(__file__).parents[2] / "search_spaces"


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_space_is_written_as_it_was(path: Path, tmp_path: Path) -> None:
    assert_round_trip(load_space(path), tmp_path)


def test_conditions_and_rules_are_written_too(tmp_path: Path) -> None:
    assert_round_trip(SPACE, tmp_path)


def test_priors_are_written_too(tmp_path: Path) -> None:
    path = tmp_path / "priors.yaml"
    path.write_text(
        "parameters:\n"
        "  rate: {min: 1e-6, max: 5e-3, log: true, prior: {near: 3e-5, within: 3}}\n"
        "  decay: {min: 0.0, max: 0.3, default: 0.1, prior: {near: 0.07, within: 0.02}}\n"
        "  rank: {min: 2, max: 64, log: true, prior: {near: 8, within: 2}}\n"
        "  layers: {min: 1, max: 12, prior: {near: 6, within: 2}}\n"
        "  batch: {values: [8, 16, 32], ordered: true, prior: [1, 2.5, 1]}\n"
        "  schedule: {values: [linear, cosine], prior: [1, 4]}\n"
    )
    assert_round_trip(load_space(path), tmp_path)


def assert_round_trip(space: SearchSpace, folder: Path) -> None:
    path = folder / "space.yaml"
    path.write_text(to_yaml(declared(space)), encoding="utf-8")
    assert load_space(path).to_json() == space.to_json()


def test_the_job_on_the_page_is_one_that_runs(tmp_path: Path) -> None:
    outcome = load(NAME, store=make_store(tmp_path))
    job = JobSpec.model_validate_json(outcome.study.spec.job)
    path = tmp_path / "job.yaml"
    path.write_text(job_text(subject_of(outcome.study, job=job)), encoding="utf-8")
    again, space = load_job_and_space(path)
    assert space == outcome.study.spec.space
    kept = {"space", "storage", "store"}
    assert again.model_dump(exclude=kept) == job.model_dump(exclude=kept)
    assert str(tmp_path) not in path.read_text("utf-8")


def test_what_the_job_does_not_hold_is_said(tmp_path: Path) -> None:
    study = load(NAME, store=make_store(tmp_path)).study
    job = JobSpec.model_validate_json(study.spec.job)
    remembered = PlannedStart(config=study.spec.space.default, source="contracts", reason="best")
    in_the_job = replace(remembered, is_asked=True)
    later = replace(in_the_job, after=3)

    def words(*starts: PlannedStart) -> str:
        given = replace(study, spec=replace(study.spec, starts=starts))
        return reproduction(subject_of(given, job=job)).blocks[0].text

    assert "which the job does not hold" not in words(in_the_job)
    assert "was given 1 config from earlier studies, which the job does not hold" in words(
        remembered
    )
    assert "and 1 config asked for while it ran, which" in words(remembered, later)
