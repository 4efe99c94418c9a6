"""`init` sets up the usual layouts of legal data, and says plainly which no job can use so."""

import csv
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Lexmove
from lexmove import examples
from lexmove.cli.guessing import Columns, pick_columns
from lexmove.errors import TaskError
from lexmove.job.loading import load_job
from lexmove.trials.tasks.task import TaskData, load_task

Cell = Callable[[int], object]
LETTERS = "ABCD"


def write(path: Path, **columns: Cell) -> Path:
    """A file of 60 rows."""
    rows = [{name: cell(number) for name, cell in columns.items()} for number in range(60)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)
    return path


def clause(i: int) -> str:
    return f"some words of clause {i}"


def option(at: int) -> Cell:
    return lambda i: f"the court held {at} of {i}"


def options(*names: str) -> dict[str, Cell]:
    return {name: option(at) for at, name in enumerate(names)}


def loaded(folder: Path) -> TaskData:
    return load_task(load_job(folder / "job.yaml").task)


def right(data: TaskData) -> set[tuple[str, str]]:
    """The texts with their right endings."""
    found = set()
    for examples_ in (data.train, data.validation, data.test):
        assert examples_.endings is not None
        rows = zip(examples_.texts, examples_.endings, examples_.labels, strict=True)
        found |= {(text, endings[int(at)]) for text, endings, at in rows}
    return found


NAMES = {
    "casehold": ("citing_prompt", "holding_0", "holding_1", "holding_2", "holding_3"),
    "options": ("question", "option_a", "option_b", "option_c", "option_d"),
    "letters": ("question", *LETTERS),
    "small letters": ("question", "a", "b", "c", "d"),
}
GIVEN: dict[str, Cell] = {
    "positions": lambda i: i % 4,
    "letters": lambda i: LETTERS[i % 4],
    "small letters": lambda i: LETTERS[i % 4].lower(),
    "texts": lambda i: option(i % 4)(i),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("names", NAMES)
def test_a_multiple_choice_is_told_however_its_answers_are_given(
    names: str, given: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    text, endings = NAMES[names][0], NAMES[names][1:]
    columns = {"id": int, text: clause, **options(*endings), "answer": GIVEN[given]}
    write(tmp_path / "q.csv", **columns)
    said = lexmove("init").stderr
    assert f"a multiple choice: '{text}' goes on with one of '{endings[0]}', " in said
    assert ("'answer' holds letters: A is position 0, D is position 3" in said) is (
        "letters" in given
    )
    assert ("'answer' holds the text of the right ending" in said) is (given == "texts")
    task = load_job(tmp_path / "job.yaml").task
    assert (task.text, task.endings, task.label) == (text, endings, "answer")
    assert right(loaded(tmp_path)) == {(clause(i), option(i % 4)(i)) for i in range(60)}


@pytest.mark.parametrize("given", ["letters", "texts"])
def test_lists_of_endings_are_told_by_letters_and_texts(given: str, tmp_path: Path) -> None:
    endings = {"options": lambda i: [option(at)(i) for at in range(4)]}
    path = write(tmp_path / "q.jsonl", question=clause, **endings, answer=GIVEN[given])
    found = Columns(text="question", label="answer", endings=("options",))
    assert pick_columns(path) == found


def test_the_names_of_all_classes_in_each_row_are_no_endings(tmp_path: Path) -> None:
    kinds = ["a lease", "a sale"]
    columns = {"clause": clause, "known": lambda _: kinds, "kind": lambda i: kinds[i % 2]}
    assert pick_columns(write(tmp_path / "c.jsonl", **columns)).endings == ()


def test_answers_that_count_from_1_are_said(lexmove: Lexmove, tmp_path: Path) -> None:
    endings = NAMES["casehold"][1:]
    write(tmp_path / "q.csv", prompt=clause, **options(*endings), label=lambda i: 1 + i % 4)
    said = lexmove("init").stderr
    assert "'label' holds 1 to 4, and so counts from 1: loading counts from 0" in said
    assert "subtract 1" in said
    assert load_job(tmp_path / "job.yaml").task.endings == endings
    with pytest.raises(TaskError):
        loaded(tmp_path)


def test_endings_that_no_column_counts_are_said(tmp_path: Path) -> None:
    columns = {
        "question": clause,
        **options("option_a", "option_b"),
        "area": lambda i: "xyz"[i % 3],
    }
    picked = pick_columns(write(tmp_path / "q.csv", **columns))
    assert (picked.label, picked.endings) == ("area", ())
    assert "no column says which of 'option_a', 'option_b' is right" in picked.remarks[0]
    assert not any("further columns" in remark for remark in picked.remarks)


def test_columns_of_0_and_1_that_letters_name_are_no_endings(tmp_path: Path) -> None:
    flags: dict[str, Cell] = {"A": lambda i: i % 2, "B": lambda i: i % 3 // 2}
    columns = {"text": clause, **flags, "label": lambda i: i % 2}
    assert pick_columns(write(tmp_path / "q.csv", **columns)).endings == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("clause", "claim"),
        ("premise", "claim"),
        ("provision", "hypothesis"),
        ("evidence", "claim"),
        ("premise", "hypothesis"),
    ],
)
def test_pairs_are_told(first: str, second: str, lexmove: Lexmove, tmp_path: Path) -> None:
    claims = {second: lambda i: f"the tenant may do {i}"}
    write(tmp_path / "p.csv", **{first: clause}, **claims, verdict=lambda i: "yn"[i % 2])
    assert f"column '{first}', judged together with '{second}'" in lexmove("init").stderr
    assert loaded(tmp_path).train.pairs is not None


def test_a_kind_of_claim_is_a_class(tmp_path: Path) -> None:
    kinds = ("breach of contract", "tort")
    path = write(tmp_path / "c.csv", clause=clause, claim=lambda i: kinds[i % 2])
    assert pick_columns(path) == Columns(text="clause", label="claim")


def test_the_shipped_example_of_pairs_is_set_up_as_such() -> None:
    picked = pick_columns(Path(examples.__path__[0]) / "data" / "claims.csv")
    assert picked == Columns(text="clause", label="verdict", pair="claim")
    assert picked.runner_up is None
    (remark,) = picked.remarks
    assert remark.startswith("'contract' holds 6 values, too few to split by")


def followed(said: str, lexmove: Lexmove, folder: Path) -> TaskData:
    """The data that a hint makes, as the job that its second command sets up reads them."""
    found = re.search(r"save the data so: (.+) && lexmove (init --force --data .+)", said)
    assert found is not None, said
    _, *words = shlex.split(found[1])
    subprocess.run([sys.executable, *words], cwd=folder, check=True)
    done = lexmove(*shlex.split(found[2]))
    assert done.exit_code == 0, done.stderr
    assert "save the data so" not in done.stderr
    return loaded(folder)


@pytest.mark.parametrize("write_list", [str, json.dumps])
@pytest.mark.parametrize("labels", [["fee", "tax"], ["tenant's fee", 'the "tax"']])
def test_lists_that_were_written_as_texts_are_said(
    labels: list[str],
    write_list: Callable[[object], str],
    lexmove: Lexmove,
    tmp_path: Path,
) -> None:
    lists = ([], labels, labels[::-1], labels[:1])
    columns = {"clause": clause, "labels": lambda i: write_list(lists[i % 4])}
    write(tmp_path / "my data.csv", **columns)
    said = lexmove("init").stderr
    assert "column 'labels' holds lists that were written as texts, such as " in said
    data = followed(said, lexmove, tmp_path)
    assert data.is_multi_label
    assert data.labels == tuple(sorted(labels))


def test_lists_without_commas_cannot_be_read_again(tmp_path: Path) -> None:
    columns = {"clause": clause, "labels": lambda i: ("['a' 'b']", "['b']")[i % 2]}
    (said,) = pick_columns(write(tmp_path / "c.csv", **columns)).remarks
    assert said.endswith("save the data as one of these where the lists come from")


def test_labels_with_commas_are_divided(lexmove: Lexmove, tmp_path: Path) -> None:
    cells = ("tax", "tax, fee", "fee, tax", "", "fee, lease")
    write(tmp_path / "c.csv", clause=clause, labels=lambda i: cells[i % 5])
    assert "several labels of a text are divided by ','" in lexmove("init").stderr
    data = loaded(tmp_path)
    assert (data.labels, data.is_multi_label) == (("fee", "lease", "tax"), True)


def test_more_combinations_than_a_class_has_values_are_still_labels(tmp_path: Path) -> None:
    cells = [f"a{i % 9};b{i % 7}" for i in range(60)]
    path = write(tmp_path / "c.csv", clause=clause, labels=lambda i: cells[i])
    assert pick_columns(path).label_separator == ";"


def test_commas_within_names_divide_nothing_but_are_said(tmp_path: Path) -> None:
    kinds = ("warranty, express", "warranty, implied", "tax")
    path = write(tmp_path / "c.csv", clause=clause, kind=lambda i: kinds[i % 3])
    picked = pick_columns(path)
    assert (picked.label, picked.label_separator) == ("kind", None)
    (said,) = picked.remarks
    assert said.startswith("classes such as 'warranty, express' were taken for one each; if")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize("kinds", [("privacy", "liability", "term"), ("a's", "$b", 'the "c"')])
def test_one_column_per_class_is_said(
    kinds: tuple[str, ...], ending: str, lexmove: Lexmove, tmp_path: Path
) -> None:
    flags: dict[str, Cell] = {
        kind: lambda i, at=at: int(i % (at + 2) == 0) for at, kind in enumerate(kinds)
    }
    path = write(tmp_path / f"c.{ending}", clause=clause, **flags)
    said = lexmove("init").stderr
    assert " hold 0 and 1 alone, like one column per class" in said
    assert pick_columns(path, label=kinds[0]).remarks == (), "who names one of them means it"
    data = followed(said, lexmove, tmp_path)
    assert data.labels == tuple(sorted(kinds))
    assert data.train.counts(3).sum() == sum(
        cell(i)
        for i in (int(text.split()[-1]) for text in data.train.texts)
        for cell in flags.values()
    )


def test_facts_beside_a_class_are_not_one_column_per_class(tmp_path: Path) -> None:
    flags: dict[str, Cell] = {name: lambda i: i % 2 for name in ("signed", "paid", "open")}
    path = write(tmp_path / "c.csv", clause=clause, **flags, type=lambda i: "xyz"[i % 3])
    picked = pick_columns(path)
    assert (picked.label, picked.remarks) == ("type", ())


def test_texts_that_are_not_used_are_said(lexmove: Lexmove, tmp_path: Path) -> None:
    more: dict[str, Cell] = {
        "summary": lambda i: f"in short this is {i}",
        "reviewer": lambda i: f"Ms {i}",
    }
    write(tmp_path / "c.csv", text=clause, kind=lambda i: i % 2, **more)
    lines = [line.strip() for line in lexmove("init").stderr.splitlines()]
    assert "further columns of texts are not used: 'summary'" in lines


def test_classes_are_said_on_one_line(lexmove: Lexmove, tmp_path: Path) -> None:
    kinds = ("ri\033[31msk", "two\nlines", "long " * 80)
    write(tmp_path / "c.csv", clause=clause, kind=lambda i: kinds[i % 3])
    (line,) = (line for line in lexmove("init").stderr.splitlines() if "the class in" in line)
    assert r"'ri\x1b[31msk', 'two\nlines')" in line
    assert len(line) < 200
