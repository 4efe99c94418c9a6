"""Rows that cannot be used: each kind is named by its row and column, several at once."""

import re

import pytest

from lexmove.errors import TaskError
from lexmove.trials.tasks.task import load_task
from trials.data_files import spec, write

GOOD = [{"text": f"Clause {i}.", "label": "ab"[i % 2]} for i in range(12)]
CHOICES = [
    {"text": f"Question {i}?", "endings": [f"yes {i}", f"no {i}", f"maybe {i}"], "label": i % 3}
    for i in range(12)
]


def refused(path, **fields):
    with pytest.raises(TaskError) as caught:
        load_task(spec(str(path), **fields))
    said = str(caught.value)
    said.encode()  # it can be printed
    return said


def with_row(**values):
    return [*GOOD, GOOD[0] | values]


ROWS = {
    "null": (with_row(text=None), r":13: column 'text' is empty"),
    "NaN": (with_row(label=float("nan")), r":13: column 'label' is NaN, a missing value"),
    "a dict": (with_row(text={"a": 1}), r":13: column 'text' holds a dict, not a text"),
    "a list in a list": (
        with_row(text=["p", ["q"]]),
        r":13: column 'text' holds a list as paragraph 2, not a text",
    ),
    "no paragraph": (with_row(text=["", " "]), r":13: column 'text' is empty"),
    "a list in a label": (
        with_row(label=["a"]),
        r":13: column 'label' holds a list, but other rows single labels; write a list in every",
    ),
    "a label among lists": (
        [row | {"label": [row["label"]]} for row in GOOD] + [GOOD[0]],
        r":13: column 'label' holds the single label 'a', but other rows lists",
    ),
    "an empty label in a list": (
        [row | {"label": [row["label"]]} for row in GOOD] + with_row(label=["a", ""])[-1:],
        r":13: column 'label' is empty",
    ),
    "one class": (
        [row | {"label": "a"} for row in GOOD],
        r"a\.jsonl: all labels are 'a'; a classifier needs two classes",
    ),
    "a class of one": (
        with_row(label="rare"),
        r"a\.jsonl: class 'rare' has 1 example, too few to split; a class needs 3",
    ),
    "texts for labels": (
        [row | {"label": row["text"]} for row in GOOD],
        r"class 'Clause 0\.' has 1 example.* \(and 11 more classes\).*12 different labels",
    ),
}


@pytest.mark.parametrize("kind", ROWS)
def test_unfit_cells_are_refused_with_their_place(tmp_path, kind):
    rows, message = ROWS[kind]
    said = refused(write(tmp_path / "a.jsonl", rows))
    assert re.search(message, said)
    assert "\n" not in said


def with_choice(**values):
    return [*CHOICES, CHOICES[0] | values]


UNFIT_CHOICES = {
    "fewer endings": (
        with_choice(endings=["yes", "no"]),
        r":13: column 'endings' holds 2 endings, but most rows 3; every row needs the same number",
    ),
    "one ending": (
        with_choice(endings=["yes"]),
        r":13: column 'endings' holds a list of 1; a choice needs two endings",
    ),
    "an empty ending": (
        with_choice(endings=["yes", " ", "maybe"]),
        r":13: column 'endings' is empty at position 1",
    ),
    "a list among endings": (
        with_choice(endings=["yes", ["no"], "maybe"]),
        r":13: column 'endings' holds a list at position 1, not a text",
    ),
    "no list": (
        with_choice(endings="yes|no|maybe"),
        r":13: column 'endings' holds a text, not a list of endings; .* in task\.endings",
    ),
    "a position from 1": (
        with_choice(label=3),
        r":13: column 'label' holds '3', but the positions of the 3 endings are 0 to 2",
    ),
    "a negative position": (with_choice(label=-1), r":13: column 'label' holds '-1', but"),
    "a letter too far": (with_choice(label="D"), r":13: column 'label' holds 'D', but"),
    "no position": (with_choice(label=None), r":13: column 'label' is empty"),
    "two right ones": (
        with_choice(endings=["yes", "no", "yes"], label="yes"),
        r":13: column 'label' holds 'yes', which is the ending at positions 0 and 2",
    ),
    "a number that two endings have": (
        with_choice(endings=["1990", "no", "1990"], label=1990),
        r":13: column 'label' holds '1990', which is the ending at positions 0 and 2",
    ),
    "a position and a text": (
        with_choice(endings=["3", "2", "1"], label=2),
        r":13: column 'label' holds '2', which stands for position 2 and is the text of the ending"
        r" at position 1, too; give the right one by its letter, from A",
    ),
    "a letter and a text": (
        with_choice(endings=["B", "A", "C"], label="A"),
        r":13: column 'label' holds 'A', which stands for position 0 .* by its position, from 0",
    ),
    "a number of many digits": (with_choice(label="1" * 5000), r":13: column 'label' holds '111"),
}


@pytest.mark.parametrize("kind", UNFIT_CHOICES)
def test_unfit_choices_are_refused_with_their_place(tmp_path, kind):
    rows, message = UNFIT_CHOICES[kind]
    said = refused(write(tmp_path / "a.jsonl", rows), endings="endings")
    assert re.search(message, said)


def test_a_missing_column_of_endings_or_pairs_is_named(tmp_path):
    path = write(tmp_path / "a.csv", [row | {"ending0": "x", "claim": "y"} for row in GOOD])
    said = refused(path, endings=("ending0", "ending1"))
    assert "no column 'ending1' for the endings; did you mean 'ending0'?" in said
    assert "no column 'claims' for the pair; did you mean 'claim'?" in refused(path, pair="claims")


def test_a_column_cannot_be_text_and_label(tmp_path):
    said = refused(write(tmp_path / "a.csv", GOOD), text="label")
    assert said.startswith("task.text and task.label both name the column 'label'")


def test_several_bad_rows_are_told_at_once(tmp_path):
    rows = [row | ({"text": ""} if i in (1, 4, 9) else {}) for i, row in enumerate(GOOD)]
    said = refused(write(tmp_path / "a.csv", rows)).splitlines()
    assert said[0].startswith("3 rows cannot be used (task.on_bad_rows: skip leaves such rows out)")
    assert [line.split(": ")[0][-2:].lstrip(":") for line in said[1:]] == ["3", "6", "11"]
    test = write(tmp_path / "b.jsonl", [{"text": "t", "label": name} for name in "cdefgab"])
    said = refused(write(tmp_path / "a.csv", GOOD), test=test).splitlines()
    assert said[0].startswith("5 rows cannot be used")
    assert len(said) == 6
    many = write(tmp_path / "c.jsonl", [row | {"label": None} for row in GOOD])
    said = refused(many).splitlines()
    assert said[0].startswith("12 rows cannot be used, the first 5 are these")
    assert len(said) == 6


@pytest.mark.parametrize("on_bad_rows", ["error", "skip"])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_positions_that_count_from_one_are_refused_as_such(tmp_path, ending, on_bad_rows):
    """Leaving out those that are one too high would shift all others without a word."""
    columns = ("way0", "way1", "way2")
    rows = [
        {"text": f"Question {i}?", "label": i % 3 + 1} | {name: f"{i} {name}" for name in columns}
        for i in range(12)
    ]
    more = {"endings": columns, "on_bad_rows": on_bad_rows}
    said = refused(write(tmp_path / f"a.{ending}", rows), **more)
    assert re.search(r":[34]: column 'label' seems to count the endings from 1: it holds 3,", said)
    assert "subtract 1" in said
    assert "skip" not in said
    good = write(tmp_path / f"good.{ending}", [row | {"label": row["label"] - 1} for row in rows])
    assert "from 1" in refused(good, test=str(tmp_path / f"a.{ending}"), **more)


@pytest.mark.parametrize("label", [0, "B", "yes 0"])
def test_one_label_that_is_no_number_from_one_tells_a_wrong_row(tmp_path, label):
    rows = [row | {"label": row["label"] or 1} for row in CHOICES]
    rows = [CHOICES[0] | {"label": label}, *rows, CHOICES[0] | {"label": 3}]
    path = write(tmp_path / "a.jsonl", rows)
    assert "a.jsonl:14: column 'label' holds '3', but" in refused(path, endings="endings")
    task = load_task(spec(path, endings="endings", on_bad_rows="skip"))
    assert len(task.skipped) == 1
