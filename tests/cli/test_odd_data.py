"""What `init` does where a file's endings, classes, groups or encoding are not as usual."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Lexmove
from lexmove.cli.guessing import pick_columns
from lexmove.cli.guessing_columns import Columns
from lexmove.errors import UsageError
from lexmove.job.loading import load_job
from lexmove.trials.tasks.task import load_task

Cell = Callable[[int], object]
QUESTIONS: dict[str, Cell] = {
    "question": lambda i: f"What does rule {i} say?",
    "candidates": lambda i: [f"{word} {i}" for word in ("tax", "fee", "rent", "loan")],
    "answer": lambda i: i % 4,
}


def lines(*, num: int = 60, **columns: Cell) -> str:
    rows = ({name: cell(number) for name, cell in columns.items()} for number in range(num))
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(*, rows: range = range(60), **columns: Cell) -> str:
    cells = [[str(cell(number)) for cell in columns.values()] for number in rows]
    return "".join(",".join(row) + "\n" for row in [list(columns), *cells])


def clause(i: int) -> str:
    return f"some words of clause {i}"


@pytest.mark.parametrize(
    "given", [{}, {"label": "answer"}, {"text": "question", "label": "answer"}]
)
@pytest.mark.parametrize(
    "more", [{}, {"category": lambda i: "ab"[i % 2], "correct": lambda i: i % 2}]
)
def test_lists_of_any_name_are_endings_where_the_class_counts_them(
    given: dict[str, str], more: dict[str, Cell], lexmove: Lexmove, tmp_path: Path
) -> None:
    (tmp_path / "q.jsonl").write_text(lines(**more, **QUESTIONS))
    words = [word for name, column in given.items() for word in (f"--{name}", column)]
    done = lexmove("init", "--data", "q.jsonl", *words)
    assert (
        "a multiple choice: 'question' goes on with one of 'candidates'; 'answer' counts them"
        in done.stderr
    )
    task = load_job(tmp_path / "job.yaml").task
    assert (task.text, task.endings, task.label) == ("question", "candidates", "answer")
    assert load_task(task).is_multiple_choice
    assert lexmove("plan", "job.yaml", "--offline").exit_code == 0


@pytest.mark.parametrize(
    "columns",
    [
        QUESTIONS | {"answer": lambda i: 1 + i % 4},
        QUESTIONS | {"answer": lambda i: i % 2},
        QUESTIONS | {"answer": lambda i: ("no", "yes")[i % 2]},
        QUESTIONS | {"candidates": lambda i: [f"{i}", "b", "c", "d"][: 3 + i % 2]},
        QUESTIONS | {"candidates": lambda i: [i, 1, 2, 3]},
        QUESTIONS | {"others": lambda i: [f"another {i}", "and one more"]},
    ],
    ids=["from 1", "two of four", "words", "of several lengths", "numbers", "two lists"],
)
def test_other_lists_are_no_endings(columns: dict[str, Cell], tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(lines(**columns))
    assert pick_columns(tmp_path / "q.jsonl") == Columns(text="question", label="answer")


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"facts": lambda i: [clause(i), "so"]}, Columns(text="facts", label="y")),
        (
            {"parts": lambda i: [clause(i), "so"], "key": lambda i: f"K{i}"},
            Columns(text="parts", label="y"),
        ),
        (
            {"text": clause, "tags": lambda i: [f"a{i % 3}", "all"]},
            Columns(text="text", label="y"),
        ),
        (
            {"text": clause, "topics": lambda i: [f"a{i % 3}", "all"]},
            Columns(text="text", label="y"),
        ),
    ],
)
def test_paragraphs_and_tags_are_no_endings(
    columns: dict[str, Cell], found: Columns, tmp_path: Path
) -> None:
    (tmp_path / "q.jsonl").write_text(lines(**columns, y=lambda i: i % 2))
    picked = pick_columns(tmp_path / "q.jsonl", label="y")
    assert picked == found


def split(shared: str, **more: Cell) -> dict[str, str]:
    """Two files by name; the last contract of the second one is called `shared`."""
    columns: dict[str, Cell] = {"clause": clause, "type": lambda i: ("lease", "sale")[i % 2]}
    columns |= {"contract_id": lambda i: shared if i > 116 else f"C{i // 3:03}"} | more
    test = {name: cell for name, cell in columns.items() if shared or name != "contract_id"}
    return {
        "train.csv": table(rows=range(90), **columns),
        "test.csv": table(rows=range(90, 120), **test),
    }


@pytest.mark.parametrize(
    ("shared", "why"),
    [
        ("C007", "'C007' stands in train.csv and in test.csv"),
        (" C007 ", "'C007' stands in train.csv and in test.csv"),
        ("", "test.csv has no such column"),
    ],
)
def test_groups_are_left_out_where_given_splits_share_one(
    shared: str, why: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    for name, text in split(shared).items():
        (tmp_path / name).write_text(text)
    done = lexmove("init")
    assert f"rows of one 'contract_id' are not kept on one side of a split: {why}\n" in done.stderr
    assert "stay on one side" not in done.stderr
    assert "'contract_id'? --label" not in done.stderr
    task = load_job(tmp_path / "job.yaml").task
    assert task.group is None
    assert len(load_task(task).test.texts) == 30


def test_groups_are_kept_where_given_splits_share_none(lexmove: Lexmove, tmp_path: Path) -> None:
    for name, text in split("C999").items():
        (tmp_path / name).write_text(text)
    assert "rows of one 'contract_id' stay on one side of a split" in lexmove("init").stderr
    task = load_job(tmp_path / "job.yaml").task
    assert task.group == "contract_id"
    assert len(load_task(task).test.texts) == 30


@pytest.mark.parametrize(("value", "held"), [("sale", "only one value, 'sale'"), ("", "no value")])
def test_a_class_of_one_value_is_named(
    value: str, held: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    text = table(clause=clause, label=lambda _: value, kind=lambda i: i % 2)
    (tmp_path / "c.csv").write_text(text)
    done = lexmove("init")
    assert done.exit_code == 0
    assert f"column 'label' holds {held}, so 'kind' was taken for the class" in done.stderr
    assert "holds" not in lexmove("init", "--label", "kind", "--force").stderr


def test_a_column_of_one_value_that_is_less_of_a_class_is_not_named(tmp_path: Path) -> None:
    text = table(clause=clause, label=lambda i: i % 2, type=lambda _: "lease", year=lambda _: 2020)
    (tmp_path / "c.csv").write_text(text)
    assert pick_columns(tmp_path / "c.csv").remarks == ()


@pytest.mark.parametrize("name", ["contract_id", "Contract ID", "lawyerId"])
def test_an_id_is_no_class(name: str, lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(
        table(clause=clause, label=lambda _: "sale", **{name: lambda i: f"C{i % 25}"})
    )
    done = lexmove("init")
    assert done.exit_code == 2
    assert "looks like a class (column 'label' holds only one value, 'sale'): one" in done.stderr
    assert "Give --label COLUMN" in done.stderr
    assert f"{name} (an id: 25 values in 60 rows)" in done.stderr
    assert not (tmp_path / "job.yaml").exists()
    assert pick_columns(tmp_path / "c.csv", label=name).label == name


@pytest.mark.parametrize(
    ("name", "num_classes"), [("topic_id", 20), ("area_id", 4), ("area_id", 12)]
)
def test_numbered_classes_are_no_ids(name: str, num_classes: int, tmp_path: Path) -> None:
    cells = {"clause": clause, name: lambda i: i % num_classes}
    (tmp_path / "c.csv").write_text(table(rows=range(300), **cells))
    assert pick_columns(tmp_path / "c.csv").label == name


def followed(said: str) -> tuple[str, list[str]]:
    """What a hint says to run first, and the words after `lexmove` of what it says to run then."""
    found = re.search(r"so: (.+) && lexmove (init --data \S+)\n$", said)
    assert found is not None, said
    return found[1], found[2].split()


@pytest.mark.parametrize("where", ["words", "clause"])
def test_a_hint_at_another_encoding_can_be_followed(
    where: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    rows = table(clause=clause, kind=lambda i: i % 2).replace(where, "Wörter")
    (tmp_path / "c.csv").write_text(rows, encoding="cp1252")
    first, then = followed(lexmove("init").stderr)
    assert first == "iconv -f cp1252 -t utf-8 c.csv > c-utf8.csv"
    (tmp_path / "c-utf8.csv").write_text(rows, encoding="utf-8")
    assert lexmove(*then).exit_code == 0


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_hint_at_semicolons_can_be_followed(
    encoding: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    rows = table(clause=clause, kind=lambda i: i % 2).replace("words", "Wörter").replace(",", ";")
    (tmp_path / "c.csv").write_text(rows, encoding=encoding)
    first, then = followed(lexmove("init").stderr)
    code = re.fullmatch(r'python -c "(.+)"', first)
    assert code is not None
    subprocess.run([sys.executable, "-c", code[1]], cwd=tmp_path, check=True)
    assert lexmove("init").exit_code == 2, "two files: which one?"
    assert lexmove(*then).exit_code == 0
    assert "Wörter" in (tmp_path / "c-commas.csv").read_text(encoding="utf-8")


def test_neither_a_text_nor_a_class(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("n,m\n" + "".join(f"{i},{i}\n" for i in range(60)))
    with pytest.raises(UsageError, match=r"like a class: one has .* n \(60 values in 60 rows\)"):
        pick_columns(tmp_path / "c.csv")
