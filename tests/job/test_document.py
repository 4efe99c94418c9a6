"""YAML documents: YAML 1.2 values, places, and mistakes of the form."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexmove.errors import InvalidFileError
from lexmove.job.document import number_in, parse_document, read_document, say


def _data(text: str) -> object:
    return parse_document(text, path="f").data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("1_000", 1000),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-0b11", -3),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("True", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("2001-01-01", "2001-01-01"),
        ("1:30", "1:30"),
        ("'3'", "3"),
        ('"3"', "3"),
        ("!!str 3", "3"),
        ("!!float 3", 3.0),
        ("=", "="),
        ("6h", "6h"),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = _data(f"a: {text}")["a"]
    assert read == value
    assert type(read) is type(value)


def test_nan_is_read_as_such() -> None:
    assert math.isnan(_data("a: .nan")["a"])


def test_json_is_yaml() -> None:
    assert _data('{"a": [1, 2.5, "x", true, null]}') == {"a": [1, 2.5, "x", True, None]}


def test_places() -> None:
    document = parse_document("a: 1\nb:\n  c: [x,  y]\n  d:\n  - e: 3\n", path="f")
    assert document.place(("a",)) == (1, 4)
    assert document.place(("b",)) == (2, 1)
    assert document.place(("b", "c")) == (3, 6)
    assert document.place(("b", "c"), of_key=True) == (3, 3)
    assert document.place(("b", "c", 1)) == (3, 11)
    assert document.place(("b", "d", 0, "e")) == (5, 8)
    assert document.place(("b", "missing", "deeper")) == (2, 1)
    assert document.get(("b", "c", 1)) == "y"
    assert document.get(("b", "c", 7)) is None
    assert document.get(("a", "x")) is None


def test_numbers_and_flags_keep_their_spelling() -> None:
    document = parse_document("a: 007\nb: [1e3, True, x, '5', ~]\nc:\n", path="f")
    assert document.spellings == {("a",): "007", ("b", 0): "1e3", ("b", 1): "True"}


BROKEN = [
    ("a: b: c", "f:1:5: the ':' here belongs to no key"),
    ("key\nb: 1", "f:2:2: the ':' here belongs to no key"),
    ("a: 1\n b: 2", "f:2:3: the ':' here belongs to no key"),
    ("a:\n\t- x", "f:2:1: a tab stands here: indent with spaces"),
    ("a: [1, 2", "f:1:9: the bracket opened on line 1 is not closed here"),
    ("a: [1\nb: 2", "f:2:2: the bracket opened on line 1 is not closed here"),
    ("a: {x: 1", "f:1:9: the bracket opened on line 1 is not closed here"),
    ("a: [", "f:1:5: the file ends here, but a bracket or quote is still open"),
    ("a: 'x", "f:1:6: the quote opened on line 1 is never closed"),
    ("- a\nb: 1", "f:2:1: this line fits neither the lines above (from line 1)"),
    ("a:\n  - 1\n - 2", "f:3:2: this line fits neither the lines above (from line 1)"),
    ("a: @x", "f:1:4: a value cannot start with @: put quotes around the text"),
    ('a: "\\q"', "f:1:6: \\q is no escape: use single quotes, or write \\\\q"),
    ("a: }", "f:1:4: a value was expected here, not }"),
    ("a: *x", "f:1:4: the alias *x is not supported: write the value out"),
    ("a: &x [*x]", "f:1:8: the alias *x is not supported: write the value out"),
    ("a: 1\n---\nb: 1", "f:2:1: a second document starts here (---): keep one to a file"),
    ("%YAML 1.1\n---\na: no", "f: this file is read as YAML 1.2: leave the %YAML line out"),
    ("a: \x07", "f:1:4: the control character U+0007 is not allowed in YAML: delete it"),
    ("[" * 60, "f:1:41: the nesting is more than 40 levels deep"),
    ("", "f: the file is empty"),
    ("# nothing\n", "f: the file is empty"),
    ("a: !<x 3", "f:1:7: this is no YAML: expected '>'"),
]


@pytest.mark.parametrize(("text", "expected"), BROKEN)
def test_broken_yaml_is_said_in_plain_words(text: str, expected: str) -> None:
    with pytest.raises(InvalidFileError) as caught:
        parse_document(text, path="f")
    (mistake,) = caught.value.mistakes
    assert str(mistake).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", ["f:2:1: the key 'a' stands twice (first on line 1): keep one"]),
        ("{a: 1, a: 2}", ["f:1:8: the key 'a' stands twice (first on line 1): keep one"]),
        ("<<: {a: 1}", ["f:1:1: the merge key << is not supported: write the values out"]),
        ("? [a]\n: 3", ["f:1:3: a key must be a word, not a list or a mapping"]),
        ("true: 1", ["f:1:1: a key must be a word, not true: put quotes around it"]),
        (": 1", ["f:1:1: a key must be a word, not nothing: put quotes around it"]),
        ("a: !foo 3", ["f:1:4: the tag !foo is not supported: write the value alone"]),
        (
            "a: !!int x",
            ["f:1:4: the tag tag:yaml.org,2002:int is not supported: write the value alone"],
        ),
        ("a: &x 1\nb: &x 2", []),
    ],
)
def test_mistakes_of_the_form(text: str, expected: list[str]) -> None:
    assert [str(item) for item in parse_document(text, path="f").mistakes] == expected


def test_the_first_of_two_equal_keys_counts() -> None:
    assert _data("a: 1\na: 2") == {"a": 1}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match=r"none\.yaml: there is no such file"):
        read_document(tmp_path / "none.yaml")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="this is a folder"):
        read_document(tmp_path)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a: 1")
    with pytest.raises(InvalidFileError, match="cannot be read: Not a directory"):
        read_document(tmp_path / "file" / "job.yaml")


def test_a_path_with_a_zero_byte() -> None:
    with pytest.raises(InvalidFileError, match="cannot be read"):
        read_document("a\0b.yaml")


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes("name: a\ntask: Verträge".encode("latin-1"))
    with pytest.raises(InvalidFileError, match=r"job\.yaml:2:12: byte 0xe4 is not UTF-8"):
        read_document(path)


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a\r\nlist: [1,\r\n  2]\r\n")
    document = read_document(path)
    assert document.data == {"name": "a", "list": [1, 2]}
    assert document.place(("list", 1)) == (3, 3)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "null"),
        (True, "true"),
        ("x", "'x'"),
        (2.5, "2.5"),
        ([], "an empty list"),
        ({"a": 1}, "a mapping"),
        ("x" * 90, "'" + "x" * 56 + "..."),
    ],
)
def test_say(value: object, said: str) -> None:
    assert say(value) == said


def test_number_in() -> None:
    assert (number_in("3"), number_in("1e-6")) == (3, 1e-6)
    assert [number_in(value) for value in ("six", "", 3, None)] == [None] * 4


@settings(max_examples=300)
@given(st.text(alphabet="ab1 :-{}[],\"'\\\n\t#&*!|>%@?.~\x07é", max_size=30))
def test_whatever_a_file_says_is_a_document_or_one_mistake(text: str) -> None:
    try:
        document = parse_document(text, path="f")
    except InvalidFileError as error:
        places = [(item.line, item.column) for item in error.mistakes]
    else:
        places = [document.place(())]
    assert len(places) == 1
    assert all(line >= 0 and column >= 0 for line, column in places)
