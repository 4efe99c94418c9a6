"""`init` writes files that `plan` accepts as they are, and overwrites nothing."""

import json
from pathlib import Path

import pytest

from cli.conftest import Lexmove
from lexmove.cli import templates
from lexmove.cli.starter import Columns, pick_columns
from lexmove.errors import UsageError
from lexmove.job.loading import load_job
from lexmove.job.spec import FilesSpec
from lexmove.trials.tasks.task import BUILT_IN, load_task

WRITTEN = ("job.schema.json", "job.yaml", "search_spaces/encoder_small.yaml")
ROWS = "id,clause,kind\n" + "".join(
    f"{number},some words of clause {number},{('lease', 'sale')[number % 2]}\n"
    for number in range(20)
)


def files_below(folder: Path) -> tuple[str, ...]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return tuple(sorted(str(path.relative_to(folder)) for path in found))


@pytest.mark.parametrize("task", BUILT_IN)
def test_a_built_in_task_can_be_planned_at_once(
    task: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    done = lexmove("init", "--task", task)
    assert (done.exit_code, done.stdout) == (0, "")
    assert files_below(tmp_path) == WRITTEN
    planned = lexmove("plan", "job.yaml", "--offline", "--json")
    assert planned.exit_code == 0
    plan = json.loads(planned.stdout)
    assert plan["study"] == task.replace("_", "-")
    assert plan["task"] is plan["estimate"] is plan["fit"]["gpus"] is None
    assert plan["rungs"] == [1, 2, 4]
    assert plan["epochs"] == {"search": 32, "search_most": 58, "repetitions": 32}
    assert plan["suggestions"][0]["config"]["learning_rate"] == 5e-5


def test_own_data_with_guessed_columns(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "my clauses.csv").write_text(ROWS)
    done = lexmove("init", "--data", "my clauses.csv", "--out", "jobs/own.yaml")
    assert done.exit_code == 0
    assert "the text is in column 'clause', the class in 'kind'" in done.stderr
    job = load_job(tmp_path / "jobs" / "own.yaml")
    assert job.name == "my-clauses"
    assert job.task.files is not None
    assert Path(job.task.files.train).read_text() == ROWS
    assert lexmove("plan", "jobs/own.yaml", "--offline").exit_code == 0


def test_several_labels_and_what_belongs_together_are_noticed(
    lexmove: Lexmove, tmp_path: Path
) -> None:
    labels = ("tax", "tax;fee", "fee", "fee; lease")
    rows = [f"Clause number {i},{labels[i % 4]},C{i // 3}" for i in range(60)]
    (tmp_path / "c.csv").write_text("\n".join(["clause,labels,contract", *rows]))
    done = lexmove("init", "--data", "c.csv")
    assert "several labels of a text are divided by ';'" in done.stderr
    assert "rows of one 'contract' stay on one side of a split" in done.stderr
    task = load_job(tmp_path / "job.yaml").task
    assert (task.label_separator, task.group) == (";", "contract")
    data = load_task(task.model_copy(update={"files": FilesSpec(train=str(tmp_path / "c.csv"))}))
    assert data.labels == ("fee", "lease", "tax")


def test_given_columns_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(ROWS)
    assert pick_columns(path, text=None, label="id") == Columns(text="clause", label="id")
    with pytest.raises(UsageError, match="did you mean 'clause'"):
        pick_columns(path, text="claus", label=None)


def test_columns_that_cannot_be_told(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,x\n2,y\n3,z\n")
    with pytest.raises(UsageError, match="give --label; columns: a, b"):
        pick_columns(path, text=None, label=None)


def test_nothing_is_overwritten(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("mine\n")
    refused = lexmove("init")
    assert refused.exit_code == 2
    assert "job.yaml would be overwritten: use --force" in refused.stderr
    assert files_below(tmp_path) == ("job.yaml",)
    assert lexmove("init", "--force").exit_code == 0
    assert files_below(tmp_path) == WRITTEN


def test_a_search_space_that_is_there_is_kept(lexmove: Lexmove, tmp_path: Path) -> None:
    path = tmp_path / "search_spaces" / "encoder_small.yaml"
    path.parent.mkdir()
    path.write_text("parameters: {learning_rate: {min: 1e-4, max: 1e-3}}\n")
    assert lexmove("init").exit_code == 0
    assert path.read_text().startswith("parameters: {learning_rate")


def test_it_takes_one_source(lexmove: Lexmove) -> None:
    assert lexmove("init", "--task", "license_role", "--data", "x.csv").exit_code == 2
    assert lexmove("init", "--text", "clause").exit_code == 2
    unknown = lexmove("init", "--task", "license_rolle")
    assert unknown.exit_code == 2
    assert "did you mean 'license_role'?" in unknown.stderr


def test_the_space_is_the_shipped_one() -> None:
    shipped = Path(__file__).parents[2] / "search_spaces" / "encoder_small.yaml"
    assert shipped.read_text(encoding="utf-8") == templates.SPACE
