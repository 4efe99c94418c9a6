"""Jobs that cannot work: refused before anything is created, with one message."""

from pathlib import Path

import pytest

from cli.conftest import Lexmove
from cli.test_errors import refused, write_job

ROWS = "clause,type\n" + "".join(
    f"The {word} shall hold the {number}th clause harmless of every claim,{word}\n"
    for number in range(20)
    for word in ("licensor", "licensee")
)

JOB = """\
name: mine
task:
  files: {train: clauses.csv}
  text: clause
  label: type
model: {name: minilm, num_hidden_layers: 1, max_length: 32}
space:
  parameters:
    learning_rate: {min: 1e-5, max: 1e-3, log: true}
budget: {trials: 2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clauses.csv").write_text(ROWS)
    return tmp_path


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("train: clauses.csv", "train: claws.csv"), "claws.csv"),
        (("label: type", "label: kind"), "'kind'"),
        (("text: clause", "text: clauses"), "did you mean 'clause'?"),
        (("name: minilm", "name: ./empty_model"), "empty_model"),
        (("learning_rate", "warmup_ratio"), "warmup_steps"),
        (("budget: {trials: 2}", "metric: {name: f1_marco}"), "did you mean 'f1_macro'?"),
        (("budget: {trials: 2}", "agent: {proposer: polcy}"), "did you mean 'policy'?"),
        (
            (
                "budget: {trials: 2}",
                "finalists: {compare: [{name: mine, config: {learning_rate: 1.0}}]}",
            ),
            "learning_rate = 1.0",
        ),
    ],
)
def test_a_job_that_names_what_is_not_there(
    change: tuple[str, str], expected: str, folder: Path, lexmove: Lexmove
) -> None:
    (folder / "empty_model").mkdir()
    (folder / "empty_model" / "config.json").write_text('{"model_type": "bert"}')
    job = write_job(folder, JOB.replace(*change))
    said = refused(lexmove, "tune", job)
    assert expected in said
    assert said.count("error:") == 1
    assert left_in(folder) == ["clauses.csv", "empty_model", "job.yaml"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (ROWS + "A clause of a class of its own,lonely\n", "lonely"),
        (ROWS.replace("licensee", "licensor"), "all labels are"),
        (ROWS + ",licensor\n", "clauses.csv"),
        ("clause,type\n", "clauses.csv"),
        ("", "clauses.csv"),
    ],
)
def test_data_that_cannot_be_learned_from(
    rows: str, expected: str, folder: Path, lexmove: Lexmove
) -> None:
    (folder / "clauses.csv").write_text(rows)
    said = refused(lexmove, "tune", write_job(folder, JOB))
    assert expected in said
    assert left_in(folder) == ["clauses.csv", "job.yaml"]


@pytest.mark.parametrize(
    "line", ["store: sqlite:///clauses.csv/studies.db", "storage: clauses.csv/studies"]
)
def test_a_place_that_cannot_be_written(line: str, folder: Path, lexmove: Lexmove) -> None:
    said = refused(lexmove, "tune", write_job(folder, f"{JOB}{line}\n"), code=1)
    assert "clauses.csv" in said
    assert left_in(folder) == ["clauses.csv", "job.yaml"]
