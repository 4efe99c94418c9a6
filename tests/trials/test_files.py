"""The user's own files: splits, and every kind of broken input by its place."""

import numpy as np
import pytest

from lexmove.errors import TaskError
from lexmove.trials.tasks.task import load_task
from trials.data_files import spec, write

ROWS = [
    {"text": f'Clause {i}, with "quotes" and\na second line.', "label": "ab"[i % 2], "case": i // 4}
    for i in range(40)
]


def all_texts(task):
    return [*task.train.texts, *task.validation.texts, *task.test.texts]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_gives_the_same_stratified_split(tmp_path, ending):
    task = load_task(spec(write(tmp_path / f"clauses.{ending}", ROWS)))
    assert task.name == "clauses"
    assert task.labels == ("a", "b")
    assert sorted(all_texts(task)) == sorted(row["text"] for row in ROWS)
    for split, size in ((task.train, 24), (task.validation, 8), (task.test, 8)):
        assert np.bincount(split.labels).tolist() == [size // 2, size // 2]
    reference = load_task(spec(write(tmp_path / "again.json", ROWS)))
    assert task.fingerprint == reference.fingerprint


def test_given_splits_are_kept_and_missing_ones_split_off(tmp_path):
    train, test = write(tmp_path / "a.csv", ROWS[:30]), write(tmp_path / "b.csv", ROWS[30:])
    task = load_task(spec(train, test=test))
    assert task.test.texts == tuple(row["text"] for row in ROWS[30:])
    assert len(task.train) + len(task.validation) == 30
    assert 6 <= len(task.validation) <= 9
    full = load_task(spec(train, validation=test, test=test))
    assert len(full.train) == 30


def test_a_group_never_falls_on_both_sides(tmp_path):
    task = load_task(spec(write(tmp_path / "a.csv", ROWS), group="case"))
    case = {row["text"]: row["case"] for row in ROWS}
    cases = [{case[text] for text in split.texts} for split in (task.train, task.validation)]
    assert cases[0].isdisjoint(cases[1])
    assert len(task.train) == 24


def test_a_split_depends_on_the_seed_only(tmp_path):
    path = write(tmp_path / "a.csv", ROWS)
    once, again, other = (load_task(spec(path, seed=seed)) for seed in (3, 3, 4))
    assert once.fingerprint == again.fingerprint != other.fingerprint


def test_other_columns_can_be_named(tmp_path):
    rows = [{"clause": row["text"], "type": i % 2} for i, row in enumerate(ROWS)]
    task = load_task(spec(write(tmp_path / "a.json", rows), text="clause", label="type"))
    assert task.labels == ("0", "1")


def test_labels_that_look_the_same_are_one_class(tmp_path):
    """macOS writes é as e and an accent, which another program does not."""
    names = ("caf\u00e9", "cafe\u0301", "bar")
    rows = [{"text": f"Clause {i}.", "label": names[i % 3]} for i in range(30)]
    assert load_task(spec(write(tmp_path / "a.jsonl", rows))).labels == ("bar", "caf\u00e9")
    listed = [row | {"label": [*names]} for row in rows]
    assert load_task(spec(write(tmp_path / "b.json", listed))).labels == ("bar", "caf\u00e9")
    divided = [row | {"label": ";".join(names)} for row in rows]
    task = load_task(spec(write(tmp_path / "c.csv", divided), label_separator=";"))
    assert task.labels == ("bar", "caf\u00e9")


def test_the_right_ending_is_found_whatever_way_it_is_spelt(tmp_path):
    ways = ["cafe\u0301", "bar"]
    rows = [{"text": f"{i}", "ways": ways, "label": "caf\u00e9"} for i in range(12)]
    task = load_task(spec(write(tmp_path / "a.json", rows), endings="ways"))
    assert set(task.train.labels) == {0}
    assert task.train.endings[0] == tuple(ways)


def changed(index, **values):
    return [row | (values if i == index else {}) for i, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        (ROWS, {"text": "txt"}, r"a\.jsonl: no column 'txt' for the text; did you mean 'text'\?"),
        (ROWS, {"group": "matter"}, r"no column 'matter' .*\(columns: text, label, case\)"),
        (changed(6, text="  "), {}, r"a\.jsonl:7: column 'text' is empty"),
        (changed(3, label=None), {}, r"a\.jsonl:4: column 'label' is empty"),
        (changed(3, label=["a"]), {}, r"a\.jsonl:4: column 'label' holds a list"),
        (ROWS[::2], {}, r"all labels are 'a'; a classifier needs two classes"),
        (changed(0, label="rare"), {}, r"class 'rare' has 1 example, too few to split"),
        (ROWS[:4], {"group": "case"}, r"too few groups to split off a validation split"),
        ([], {}, r"a\.jsonl: holds no rows"),
    ],
)
def test_unfit_rows_are_named_with_their_place(tmp_path, rows, fields, message):
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(TaskError, match=message):
        load_task(spec(path, **fields))


@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_one_group_is_trained(tmp_path, seed):
    rows = [row | ({"label": "rare"} if row["case"] == 9 else {}) for row in ROWS]
    task = load_task(spec(write(tmp_path / "a.csv", rows), group="case", seed=seed))
    assert task.labels == ("a", "b", "rare")
    assert (task.train.labels == 2).sum() == 4
    assert len(task.validation) > 0 < len(task.test)


def test_a_class_unseen_in_training_is_refused(tmp_path):
    train = write(tmp_path / "a.csv", ROWS)
    test = write(tmp_path / "b.jsonl", [{"text": "t", "label": "a"}, {"text": "t", "label": "c"}])
    with pytest.raises(TaskError, match=r"b\.jsonl:2: class 'c' is not among the classes"):
        load_task(spec(train, test=test))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,label\nfine,a\nB\xfcrgschaft,b\n".encode("latin-1"),
            r"a\.csv:3: byte 0xfc",
        ),
        ("a.csv", b'text,label\n"open,a\n', r"a\.csv:\d: no valid csv"),
        ("a.csv", b"text,label\none, two,a\n", r"a\.csv:2: more fields than the header"),
        ("a.csv", b"text,label\nalone\n", r"a\.csv:2: column 'label' is empty"),
        ("a.jsonl", b'{"text": 1, "label": 1}\n{"a": \n', r"a\.jsonl:2: no valid JSON"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl:1: a line must be an object"),
        ("a.json", b'{"text": "t"}', r"a\.json: must hold a list of objects"),
        ("a.json", b"[{]", r"a\.json:1:3: no valid JSON"),
        ("a.parquet", b"not parquet", r"a\.parquet: no valid parquet"),
        ("a.xlsx", b"", r"unknown file type; known: \.csv"),
    ],
)
def test_unreadable_files_say_why(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TaskError, match=message):
        load_task(spec(str(path)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"nowhere\.csv: no such file"):
        load_task(spec(str(tmp_path / "nowhere.csv")))


def test_paragraphs_become_one_text_that_can_be_divided_again(tmp_path):
    facts = [" First.\n\n  Still the first. ", "", "Second.\n"]
    rows = [{"text": facts, "label": "ab"[i % 2]} for i in range(12)]
    for ending in ("json", "parquet"):
        task = load_task(spec(write(tmp_path / f"a.{ending}", rows)))
        assert set(all_texts(task)) == {"First.\n  Still the first.\n\nSecond."}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_pairs_are_kept_beside_their_texts(tmp_path, ending):
    rows = [{"text": f"clause {i}", "claim": f"claim {i}", "label": "yn"[i % 2]} for i in range(20)]
    task = load_task(spec(write(tmp_path / f"a.{ending}", rows), pair="claim"))
    for part in (task.train, task.validation, task.test):
        assert part.pairs == tuple(text.replace("clause", "claim") for text in part.texts)
    assert task.labels == ("n", "y")


def choices(label):
    """20 questions; the right ending of question i stands at position i % 3."""
    return [
        {"text": f"{i}", "label": label(i % 3, i)} | {f"end{n}": f"{i} way {n}" for n in range(3)}
        for i in range(20)
    ]


@pytest.mark.parametrize(
    "label",
    [
        lambda at, i: at,
        lambda at, i: f" {at} ",
        lambda at, i: float(at),
        lambda at, i: f"{i} way {at}",
        lambda at, i: "abC"[at],
    ],
    ids=["number", "digits", "float", "text", "letter"],
)
def test_the_right_ending_is_named_by_position_text_or_letter(tmp_path, label):
    columns = ("end0", "end1", "end2")
    in_columns = choices(label)
    in_lists = [
        {"text": row["text"], "label": row["label"], "ways": [row[name] for name in columns]}
        for row in in_columns
    ]
    task = load_task(spec(write(tmp_path / "a.jsonl", in_columns), endings=columns))
    assert task.is_multiple_choice
    assert task.labels == ("0", "1", "2")
    assert [len(part) for part in (task.train, task.validation, task.test)] == [12, 4, 4]
    for part in (task.train, task.validation, task.test):
        for text, ways, right in zip(part.texts, part.endings, part.labels, strict=True):
            assert ways == tuple(f"{text} way {n}" for n in range(3))
            assert right == int(text) % 3
    other = load_task(spec(write(tmp_path / "b.parquet", in_lists), endings="ways"))
    assert other.fingerprint == task.fingerprint


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("written", [str, int, float])
def test_numbers_may_be_endings_too(tmp_path, ending, written):
    """A year that is no position names its ending, and a position that no ending has its place."""
    columns, years = ("end0", "end1", "end2"), (1990, 1995, 2001)
    rows = [
        {"text": f"{i}", "label": written(years[i % 3])}
        | {name: written(year) for name, year in zip(columns, years, strict=True)}
        for i in range(20)
    ]
    by_position = [row | {"label": i % 3} for i, row in enumerate(rows)]
    task = load_task(spec(write(tmp_path / f"a.{ending}", rows), endings=columns))
    for part in (task.train, task.validation, task.test):
        assert part.labels.tolist() == [int(text) % 3 for text in part.texts]
    other = load_task(spec(write(tmp_path / f"b.{ending}", by_position), endings=columns))
    assert other.fingerprint == task.fingerprint
    in_place = [row | {name: str(n) for n, name in enumerate(columns)} for row in by_position]
    task = load_task(spec(write(tmp_path / f"c.{ending}", in_place), endings=columns))
    assert task.train.labels.tolist() == [int(text) % 3 for text in task.train.texts]


def test_a_given_split_of_a_choice_has_as_many_endings(tmp_path):
    columns = ("end0", "end1", "end2")
    train = write(tmp_path / "a.csv", choices(lambda at, i: at))
    task = load_task(spec(train, test=train, endings=columns))
    assert len(task.train) + len(task.validation) == len(task.test) == 20
    rows = [{"text": "q", "ways": ["a", "b", "c"], "label": i % 3} for i in range(12)]
    train = write(tmp_path / "b.jsonl", rows)
    test = write(tmp_path / "c.jsonl", [{"text": "q", "ways": ["a", "b"], "label": 0}])
    with pytest.raises(TaskError, match=r"c\.jsonl:1: column 'ways' holds 2 endings, but most"):
        load_task(spec(train, test=test, endings="ways"))


def test_bad_rows_are_left_out_counted_and_listed(tmp_path):
    rows = [*ROWS, {"text": " ", "label": "a"}, {"text": "t"}, {"text": "t", "label": ["a", "b"]}]
    path = tmp_path / "a.jsonl"
    write(path, rows)
    with path.open("a") as file:
        file.write("{broken\n")
    test = [
        {"text": "one", "label": "a"},
        {"text": "two", "label": "c"},
        {"text": "3", "label": "b"},
    ]
    fields = {"test": write(tmp_path / "b.csv", test), "on_bad_rows": "skip"}
    task = load_task(spec(str(path), **fields))
    places = [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in task.skipped]
    assert places == ["a.jsonl:41", "a.jsonl:42", "a.jsonl:43", "a.jsonl:44", "b.csv:3"]
    for reason, said in zip(
        ("'text' is empty", "'label' is empty", "holds a list", "no valid JSON", "class 'c'"),
        task.skipped,
        strict=True,
    ):
        assert reason in said
    assert len(task.train) + len(task.validation) == 40
    assert task.test.texts == ("one", "3")
    clean = load_task(spec(write(tmp_path / "a.json", ROWS), **fields))
    assert clean.fingerprint == task.fingerprint
    assert len(clean.skipped) == 1


def test_choices_of_another_size_are_left_out(tmp_path):
    rows = [{"text": f"{i}", "ways": ["a", "b"], "label": i % 2} for i in range(12)]
    odd = {"text": "odd", "ways": ["a", "b", "c"], "label": 0}
    path = write(tmp_path / "a.json", [odd, *rows])
    task = load_task(spec(path, endings="ways", on_bad_rows="skip"))
    assert len(all_texts(task)) == 12
    assert len(task.skipped) == 1
    assert "a.json:1: column 'ways' holds 3 endings, but most rows 2" in task.skipped[0]


def test_a_file_of_bad_rows_is_an_error_even_if_they_may_be_skipped(tmp_path):
    train = write(tmp_path / "a.csv", ROWS)
    test = write(tmp_path / "b.csv", [{"text": "t", "label": name} for name in "abcde"])
    with pytest.raises(TaskError, match=r"b\.csv: 3 of 5 rows cannot be used.*\n.*b\.csv:4: class"):
        load_task(spec(train, test=test, on_bad_rows="skip"))
    half = write(tmp_path / "c.csv", [{"text": "t", "label": name} for name in "abcd"])
    assert len(load_task(spec(train, test=half, on_bad_rows="skip")).skipped) == 2
    (tmp_path / "d.csv").write_text('text,label\n"open,a\n')
    with pytest.raises(TaskError, match=r"d\.csv:2: no valid csv"):
        load_task(spec(str(tmp_path / "d.csv"), on_bad_rows="skip"))
