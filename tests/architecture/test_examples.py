"""Every example is a job that loads, with a space and data that are there, and is listed."""

import re
from functools import cache

import pytest

from architecture.readme_tree import ROOT
from lexmove.job.loading import load_job
from lexmove.job.spec import JobSpec, TaskSpec
from lexmove.space.loading import load_space
from lexmove.trials.measuring import check_metric
from lexmove.trials.recipe import check_hyperparameters, check_labelling
from lexmove.trials.tasks.lex_glue import LEX_GLUE
from lexmove.trials.tasks.rows import read_rows
from lexmove.trials.tasks.task import BUILT_IN, load_task

FOLDER = ROOT / "platform" / "lexmove" / "examples"
JOBS = sorted(path.name for path in FOLDER.glob("*.yaml"))
SECTIONS = (FOLDER / "README.md").read_text("utf-8").split("\n## ")
OFFLINE, ONLINE = SECTIONS[1], SECTIONS[2]
ROW = re.compile(r"^\| `(.+?\.yaml)` \|", re.MULTILINE)


@cache
def job(name: str) -> JobSpec:
    return load_job(FOLDER / name)


def files_of(task: TaskSpec) -> list[str]:
    """Paths of the data files that a task names."""
    return [] if task.files is None else list(filter(None, task.files.model_dump().values()))


WITH_FILES = [name for name in JOBS if job(name).task.files is not None]


def test_there_is_an_example_for_every_field():
    names = " ".join(JOBS)
    for field in (
        *("contracts", "terms_of_service", "court_decisions", "legal_qa", "market_risk"),
        *("operational_risk", "credit", "single_label", "multi_label", "multiple_choice"),
        *("pairs", "long_documents", "case_prediction"),
    ):
        assert field in names
    assert len(WITH_FILES) >= 6


@pytest.mark.parametrize("name", JOBS)
def test_an_example_is_a_job_whose_space_and_hyperparameters_are_known(name):
    spec = job(name)
    assert spec.name == name.removesuffix(".yaml")
    check_metric(spec.metric.name)
    assert isinstance(spec.space, str)
    space = load_space(spec.space)
    check_hyperparameters(item.name for item in space.searched)
    check_hyperparameters(space.default)
    published = LEX_GLUE.get(spec.task.name or "")
    assert published or spec.task.files or spec.task.name in BUILT_IN
    check_labelling(
        space.default,
        is_multi_label=spec.task.name == "license_families"
        or spec.task.label_separator is not None
        or (published is not None and published.is_multi_label),
        is_multiple_choice=spec.task.name == "license_mc"
        or spec.task.endings is not None
        or (published is not None and published.endings is not None),
        has_pairs=spec.task.pair is not None,
    )


@pytest.mark.parametrize("name", WITH_FILES)
def test_the_data_of_an_example_is_there_with_its_columns(name):
    task = job(name).task
    wanted = {task.text, task.label, task.pair, task.group} - {None}
    for path in files_of(task):
        assert (FOLDER / "data") in (ROOT / path).resolve().parents
        for row in read_rows(ROOT / path):
            assert wanted <= set(row.values)
            assert all(row.values[column] for column in wanted)


@pytest.mark.parametrize("name", WITH_FILES)
def test_the_data_of_an_example_splits_in_three_with_every_class(name):
    spec = job(name)
    data = load_task(spec.task)
    assert sum(map(len, (data.train, data.validation, data.test))) >= 30
    for part in (data.train, data.validation, data.test):
        assert (part.counts(len(data.labels)) > 0).all()
    assert (data.train.pairs is not None) == (spec.task.pair is not None)
    if spec.model.max_segments is not None:
        assert all("\n\n" in text for text in data.train.texts)


def test_no_data_file_is_left_over():
    used = {(ROOT / path).resolve() for name in WITH_FILES for path in files_of(job(name).task)}
    assert used == {path.resolve() for path in (FOLDER / "data").iterdir()}


def test_the_readme_lists_every_example_where_it_can_run():
    offline = {
        name
        for name in JOBS
        if job(name).model.name == "minilm" and job(name).task.name not in LEX_GLUE
    }
    listed = ROW.findall(OFFLINE)
    assert sorted(listed) == sorted(offline)
    assert sorted(ROW.findall(ONLINE)) == sorted(set(JOBS) - offline)
    for name in JOBS:
        line = next(line for line in (OFFLINE + ONLINE).splitlines() if f"`{name}`" in line)
        task = job(name).task
        assert task.name is None or f"`{task.name}`" in line
        assert all(f"data/{path.split('/')[-1]}" in line for path in files_of(task))


@pytest.mark.parametrize("name", JOBS)
def test_an_example_says_first_what_it_is(name):
    first = (FOLDER / name).read_text("utf-8").partition("\n")[0]
    assert re.fullmatch(r"# .{20,98}[.]", first)
