"""`init` writes files that `plan` accepts as they are, and overwrites nothing."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.conftest import Lexmove
from lexmove.cli import templates
from lexmove.cli.guessing import Files, find_files, pick_columns
from lexmove.cli.guessing_columns import Columns
from lexmove.errors import TaskError, UsageError
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
    assert plan["epochs"] == {"search": 32, "search_most": 61, "repetitions": 32}
    assert plan["suggestions"][0]["config"]["learning_rate"] == 5e-5


def test_own_data_with_guessed_columns(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "my clauses.csv").write_text(ROWS)
    done = lexmove("init", "--data", "my clauses.csv", "--out", "jobs/own.yaml")
    assert done.exit_code == 0
    assert "the text is in column 'clause', the class in 'kind' (lease, sale)" in done.stderr
    assert "train is my clauses.csv, validation and test are split off it" in done.stderr
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
    with pytest.raises(UsageError, match=r"Give --label COLUMN, .* a \(3 values in 3 rows\)"):
        pick_columns(path, text=None, label=None)


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


WORDS = ("lease of premises", "sale of goods", "loan at interest")


def made(**columns: Callable[[int], object]) -> list[dict]:
    return [{name: cell(number) for name, cell in columns.items()} for number in range(60)]


CASES = {
    "odd names.csv": (
        made(
            **{"Nr.": int, "Klausel-Text ": lambda i: f"{WORDS[i % 3]} {i}", "Art": lambda i: i % 3}
        ),
        Columns(text="Klausel-Text", label="Art"),
    ),
    "lists.jsonl": (
        made(
            id=int,
            content=lambda i: f"{WORDS[i % 3]} {i}",
            tags=lambda i: [WORDS[i % 3], "all"],
        ),
        Columns(text="content", label="tags"),
    ),
    "numbers.parquet": (
        made(sentence=lambda i: f"{WORDS[i % 3]} {i}", y=lambda i: i % 3),
        Columns(text="sentence", label="y"),
    ),
    "pairs.csv": (
        made(
            premise=lambda i: f"{WORDS[i % 3]} {i}",
            hypothesis=lambda i: f"it is a {WORDS[i % 2]}",
            gold=lambda i: ("yes", "no")[i % 2],
        ),
        Columns(text="premise", label="gold", pair="hypothesis"),
    ),
    "choices.csv": (
        made(
            question=lambda i: f"What is rule {i}?",
            option_b=lambda i: f"not {i}",
            option_a=lambda i: f"so {i}",
            answer_index=lambda i: i % 2,
        ),
        Columns(text="question", label="answer_index", endings=("option_a", "option_b")),
    ),
    "choice lists.jsonl": (
        made(
            context=lambda i: f"The court held {i}",
            endings=lambda i: [f"that {i}", f"not {i}", f"both {i}"],
            label=lambda i: i % 3,
        ),
        Columns(text="context", label="label", endings=("endings",)),
    ),
    "groups.csv": (
        made(
            Contract=lambda i: f"C{i // 3}",
            clause=lambda i: f"{WORDS[i % 3]} {i}",
            type=lambda i: WORDS[i % 3],
        ),
        Columns(text="clause", label="type", group="Contract"),
    ),
    "sorted.csv": (
        made(clause=lambda i: f"{WORDS[i // 30]} {i}", kind=lambda i: WORDS[i // 30]),
        Columns(text="clause", label="kind"),
    ),
}
"""Files, with what their columns are."""


@pytest.mark.parametrize("name", CASES)
def test_what_lies_here_is_taken_and_its_columns_are_told(
    name: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    rows, columns = CASES[name]
    assert pick_columns(write_rows(tmp_path / name, rows)) == columns
    done = lexmove("init")
    assert done.exit_code == 0, done.stderr
    assert f"assumed, of {name} (mend it in job.yaml where it is not so):" in done.stderr
    for column in (columns.text, columns.label, columns.pair, columns.group):
        assert column is None or repr(column) in done.stderr
    task = load_job(tmp_path / "job.yaml").task
    assert (task.text, task.label, task.pair, task.group) == (
        columns.text,
        columns.label,
        columns.pair,
        columns.group,
    )
    assert load_task(task).train.texts, "the data can be read so"
    assert lexmove("plan", "job.yaml", "--offline").exit_code == 0


REMARKS = made(
    **{
        "#": int,
        "Contract ID": lambda i: f"C{i // 3}",
        "Clause (full text)": lambda i: f"{WORDS[i % 3]} {i}",
        "Klausel-Typ": lambda i: WORDS[i % 3],
        "reviewer?": lambda i: "" if i % 10 > 6 else ("MB", "JS")[i % 2],
    }
)


def test_a_remark_on_some_rows_is_no_class(lexmove: Lexmove, tmp_path: Path) -> None:
    columns = pick_columns(write_rows(tmp_path / "clauses.csv", REMARKS))
    assert columns == Columns(text="Clause (full text)", label="Klausel-Typ", group="Contract ID")
    assert "; or 'reviewer?'? --label names it" in lexmove("init").stderr
    named = lexmove("init", "--label", "reviewer?", "--force").stderr
    assert "the class in 'reviewer?' (JS, MB)\n" in named, "who names it is not asked again"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"clauseType": lambda i: i % 5}, {"signed": lambda i: i % 2}),
        ({"Type": lambda i: i % 5}, {"sub type": lambda i: i % 2}),
        ({"signed": lambda i: i % 5}, {"type": lambda i: i % 2 if i % 9 else " "}),
        ({"Y": lambda i: i % 5}, {"typical": lambda i: i % 2}),
        # Of several labels, an empty cell says that there is none.
        ({"labels": lambda i: ("", "a", "b;c")[i % 3]}, {"signed": lambda i: i % 2}),
    ],
)
def test_full_columns_come_first_then_those_called_like_a_class(
    first: dict[str, Callable[[int], object]],
    second: dict[str, Callable[[int], object]],
    tmp_path: Path,
) -> None:
    rows = made(**second, **first, text=lambda i: f"{WORDS[i % 3]} {i}")
    columns = pick_columns(write_rows(tmp_path / "clauses.csv", rows))
    assert (columns.label, columns.runner_up) == (*first, *second)


@pytest.mark.parametrize(
    ("name", "mark", "why", "way_out"),
    [
        ("clauses.csv", ";", "semicolons", "pandas.read_csv('clauses.csv', sep=';', dtype=str"),
        ("clauses.csv", "\t", "tabs", "call it clauses.tsv"),
        ("clauses.tsv", ",", "commas", "call it clauses.csv"),
    ],
)
def test_a_file_divided_by_another_mark_is_refused(
    name: str, mark: str, why: str, way_out: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(ROWS.replace(",", mark))
    done = lexmove("init", "--data", name)
    assert done.exit_code == 2
    assert f"the header looks as if the file were divided by {why}" in done.stderr
    assert way_out in done.stderr
    assert files_below(tmp_path) == (name,)


def test_a_name_may_hold_another_mark(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(ROWS.replace("id,clause", "id,clause; in full"))
    assert pick_columns(tmp_path / "c.csv").text == "clause; in full"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("-1,a clause,sale", "'sale' is a value further down in its column"),
        (f"-1,{'a long clause ' * 6},loan", "…' has 83 characters"),
    ],
)
def test_a_first_line_that_is_a_row_is_refused(
    row: str, why: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text(ROWS.replace("id,clause,kind", row))
    done = lexmove("init")
    assert done.exit_code == 2
    assert "c.csv:1: must hold the names of the columns, but looks like a row" in done.stderr
    assert why in done.stderr
    assert "Put a line of names above it" in done.stderr
    assert files_below(tmp_path) == ("c.csv",)
    text, label = (name.strip() for name in row.split(",")[1:])
    assert lexmove("init", "--text", text, "--label", label).exit_code == 0


def test_another_encoding_is_refused_as_loading_refuses_it(
    lexmove: Lexmove, tmp_path: Path
) -> None:
    rows = ROWS.replace("words of clause 3", "Wörter von Klausel 3")
    (tmp_path / "c.csv").write_text(rows)
    assert lexmove("init").exit_code == 0
    (tmp_path / "c.csv").write_text(rows, encoding="cp1252")
    with pytest.raises(TaskError) as refused:
        load_task(load_job(tmp_path / "job.yaml").task)
    hint = "byte 0xf6 in column 'clause' is no UTF-8 text; save the file as UTF-8"
    assert hint in str(refused.value)
    done = lexmove("init", "--force")
    assert done.exit_code == 2
    assert f"c.csv:5: {hint}" in done.stderr
    assert "assumed" not in done.stderr


def test_splits_are_told_by_the_names_of_files(lexmove: Lexmove, tmp_path: Path) -> None:
    rows = made(text=lambda i: f"{WORDS[i % 3]} {i}", label=lambda i: i % 3)
    folder = tmp_path / "tos"
    for name in ("train.csv", "dev.csv", "test.csv", "other.csv"):
        write_rows(folder / name, rows)
    (folder / "job.schema.json").write_text("{}")
    (folder / "settings.json").write_text('{"not": "rows"}')
    found = Files(
        train=folder / "train.csv", validation=folder / "dev.csv", test=folder / "test.csv"
    )
    assert find_files(folder) == found
    done = lexmove("init", "--data", "tos/train.csv", "--out", "tos/job.yaml", "--force")
    assert "train is train.csv, validation is dev.csv, test is test.csv" in done.stderr
    job = load_job(folder / "job.yaml")
    assert job.name == "tos"
    assert job.task.files is not None
    named = job.task.files.model_dump()
    assert {split: Path(path).name for split, path in named.items()} == {
        "train": "train.csv",
        "validation": "dev.csv",
        "test": "test.csv",
    }
    (folder / "dev.csv").unlink()
    assert find_files(folder) == Files(train=folder / "train.csv", test=folder / "test.csv")


def test_files_that_cannot_be_told_apart(lexmove: Lexmove, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(ROWS)
    done = lexmove("init")
    assert done.exit_code == 2
    assert "2 data files are in" in done.stderr
    assert "a.csv, b.csv; say --data FILE" in done.stderr
    assert files_below(tmp_path) == ("a.csv", "b.csv")
    assert lexmove("init", "--data", "b.csv").exit_code == 0


def test_without_data_it_says_what_it_takes(lexmove: Lexmove) -> None:
    done = lexmove("init")
    assert "no data here: a job on licence texts; --data FILE is for yours" in done.stderr


def test_nothing_is_overwritten(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("mine\n")
    refused = lexmove("init")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: job.yaml would be overwritten: use --force")
    assert files_below(tmp_path) == ("job.yaml",)
    assert lexmove("init", "--force").exit_code == 0
    assert files_below(tmp_path) == WRITTEN


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize(
    ("out", "folder", "instead"),
    [
        (".", ".", "say --out job.yaml"),
        ("sub", "sub", "say --out sub/job.yaml"),
        ("job.yaml", "search_spaces/encoder_small.yaml", "choose another --out"),
    ],
)
def test_a_folder_is_not_taken_for_a_file(
    out: str, folder: str, instead: str, force: tuple[str, ...], lexmove: Lexmove, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    done = lexmove("init", "--out", out, *force)
    assert done.exit_code == 2
    assert f"cannot write {folder}: it is a folder, not a file; {instead}" in done.stderr
    assert files_below(tmp_path) == ()


def test_a_file_that_is_no_text_is_in_the_way_too(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"caf\xe9: 1\n")
    done = lexmove("init", "--out", "latin.yaml")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: latin.yaml would be overwritten: use --force")
    assert lexmove("init", "--out", "latin.yaml", "--force").exit_code == 0


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
