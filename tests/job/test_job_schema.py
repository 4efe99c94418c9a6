"""The schemas that editors use: golden, and of one mind with the loaders."""

import json
from collections.abc import Callable

import jsonschema
import pytest

from lexmove.job.document import parse_document
from lexmove.job.loading import parse_job
from lexmove.job.schema import job_schema, space_schema
from lexmove.space.loading import parse_space


def test_the_schema_of_jobs_is_the_golden_one(golden: Callable[[str, str], None]) -> None:
    text = json.dumps(job_schema(), indent=2, ensure_ascii=False) + "\n"
    golden("job.schema.json", text)


def test_the_schemas_are_schemas() -> None:
    jsonschema.Draft202012Validator.check_schema(job_schema())
    jsonschema.Draft202012Validator.check_schema(space_schema())


START = "name: a\ntask: {name: license_role}\n"


@pytest.mark.parametrize(
    "text",
    [
        START + "space: s.yaml\nbudget: {wall_clock: 6h, trial: 90}\nfidelity: {eta: null}",
        START + "space: {parameters: {lr: {min: 1e-6, max: 1, log: true, default: 0.1}}}",
        START + "space: {parameters: {a: {values: [a, b]}, b: {value: 1, when: {a: [a]}}}}",
    ],
)
def test_what_loads_fits_the_schema(text: str) -> None:
    document = parse_document(text, path="j.yaml")
    assert parse_job(document)[1] == []
    jsonschema.validate(document.data, job_schema())


@pytest.mark.parametrize(
    "text",
    [
        START,
        START + "space: s.yaml\nseeds: 1",
        START + "space: s.yaml\nbudget: {trials: 0}",
        START + "space: s.yaml\nbudget: {wall_clock: 6x}",
        START + "space: s.yaml\nmetric: {goal: max}",
    ],
)
def test_what_does_not_fit_does_not_load(text: str) -> None:
    document = parse_document(text, path="j.yaml")
    assert parse_job(document)[0] is None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document.data, job_schema())


@pytest.mark.parametrize(
    "text",
    [
        "parameters: {}",
        "parameters: {a: 3}",
        "parameters: {a: {min: 1}}",
        "parameters: {a: {values: [1]}}",
        "parameters: {a: {values: [1, 2], log: true}}",
        "parameters: {a: {value: 1}}\nforbid: {a: 1}",
        "parameters: {a: {value: 1}}\nmethod: bayes",
    ],
)
def test_spaces_that_neither_fit_nor_load(text: str) -> None:
    document = parse_document(text, path="s.yaml")
    assert parse_space(document)[0] is None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document.data, space_schema())
