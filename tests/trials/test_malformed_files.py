"""Malformed data: each kind is refused with its file, row and column, and a way out."""

import datetime as dt
import gzip
import io
import json
import re
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexmove.errors import TaskError
from lexmove.trials.tasks.json_list import json_list
from lexmove.trials.tasks.rows import read_rows
from lexmove.trials.tasks.task import load_task
from trials.data_files import spec, write

GOOD = [{"text": f"Clause {i}.", "label": "ab"[i % 2]} for i in range(12)]
CSV = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in GOOD)
LINES = "".join(json.dumps(row) + "\n" for row in GOOD)


def refused(path, **fields):
    with pytest.raises(TaskError) as caught:
        load_task(spec(str(path), **fields))
    said = str(caught.value)
    said.encode()  # it can be printed
    return said


CONTENTS = {
    "broken UTF-8 in a csv": (
        *("a.csv", CSV.encode() + "Bürgschaft,a\n".encode("latin-1")),
        r"a\.csv:14: byte 0xfc in column 'text' is no UTF-8 text; save the file as UTF-8",
    ),
    "broken UTF-8 in a label": (
        *("a.tsv", CSV.replace(",", "\t").encode() + b"Clause\tb\xe9\n"),
        r"a\.tsv:14: byte 0xe9 in column 'label' is no UTF-8 text",
    ),
    "broken UTF-8 in a header": (
        *("a.csv", b"text,label,se\xf1al\nx,a,b\n"),
        r"a\.csv:1: byte 0xf1 in the header is no UTF-8 text",
    ),
    "broken UTF-8 in JSON lines": (
        *("a.jsonl", LINES.encode() + b'{"text": "caf\xe9", "label": "a"}\n'),
        r"a\.jsonl:13: byte 0xe9 in column 'text' is no UTF-8 text",
    ),
    "broken UTF-8 in a JSON list": (
        *("a.json", b'[{"text": "caf\xe9", "label": "a"}]'),
        r"a\.json:1: byte 0xe9 in column 'text' is no UTF-8 text",
    ),
    "half a character": (
        *("a.jsonl", LINES.encode() + b'{"text": "\\ud83d", "label": "a"}\n'),
        r"a\.jsonl:13: half a character \(\\ud83d\) in column 'text'",
    ),
    "UTF-16 with its mark": (
        *("a.csv", CSV.encode("utf-16")),
        r"a\.csv: is UTF-16 text; save it as UTF-8",
    ),
    "UTF-16 without its mark": (
        *("a.csv", CSV.encode("utf-16-le")),
        r"a\.csv: is full of NUL bytes: UTF-16 text",
    ),
    "UTF-32 with its mark": (
        *("a.csv", CSV.encode("utf-32")),
        r"a\.csv: is UTF-32 text; save it as UTF-8 \(for example: iconv -f utf-32 -t",
    ),
    "UTF-32 with its mark, the other way round": (
        *("a.csv", "\ufeff".encode("utf-32-be") + CSV.encode("utf-32-be")),
        r"a\.csv: is UTF-32 text; save it as UTF-8",
    ),
    "UTF-32 without its mark": (
        *("a.csv", CSV.encode("utf-32-le")),
        r"a\.csv: is full of NUL bytes: UTF-32 text, .*iconv -f utf-32le -t",
    ),
    "NUL bytes in a row": (
        *("a.csv", CSV.encode() + b"Cla\0use,b\n"),
        r"a\.csv:14: NUL character in column 'text'; the file is damaged",
    ),
    "an unclosed quote": (
        *("a.csv", CSV.encode() + b'"Clause,a\nAnother clause,b\n'),
        r"a\.csv:14: no valid csv: unexpected end of data; look for a double quote",
    ),
    "text behind a quote": (
        *("a.csv", CSV.encode() + b'"Clause" 3,a\n'),
        r"a\.csv:14: no valid csv: ',' expected after '\"'",
    ),
    "too many fields": (
        *("a.csv", CSV.encode() + b"Rent, and costs,a\n"),
        r"a\.csv:14: more fields than the header has columns \(3, not 2\); put texts .* in double",
    ),
    "too few fields": (
        *("a.csv", CSV.encode() + b"Clause\n"),
        r"a\.csv:14: column 'label' is empty: the row has no such field",
    ),
    "two columns of one name": (
        *("a.csv", b"text,label,text\nx,a,y\n"),
        r"a\.csv:1: column 'text' stands 2 times in the header",
    ),
    "a header without names": (
        *("a.csv", b",,\nx,a,b\n"),
        r"a\.csv:1: no column has a name",
    ),
    "an empty first line": (
        *("a.csv", b"\ntext,label\nx,a\n"),
        r"a\.csv:1: no column has a name; the first line must hold the names",
    ),
    "a misspelt column": (
        *("a.csv", CSV.replace("label", "labels", 1).encode()),
        r"a\.csv: no column 'label' for the label; did you mean 'labels'\? \(columns: text, labels",
    ),
    "semicolons behind a quoted text": (
        *("a.csv", b'text;label\n"Rent, and costs";a\n'),
        r"a\.csv:2: no valid csv: .*; the header looks as if the file were divided by semicolons",
    ),
    "semicolons": (
        *("a.csv", b"text;label\nThis, that;a\n"),
        r"a\.csv: no column 'text' .*divided by semicolons: a csv is divided by commas",
    ),
    "commas in a tsv": (
        *("a.tsv", CSV.encode()),
        r"a\.tsv: no column 'text' .*divided by commas: .*a tsv by tabs",
    ),
    "an empty file": (*("a.csv", b""), r"a\.csv: holds no rows: the file is empty"),
    "a header only": (*("a.csv", b"text,label\n"), r"a\.csv: holds no rows, only the names"),
    "blank lines only": (*("a.jsonl", b"\n \n"), r"a\.jsonl: holds no rows"),
    "an empty list": (*("a.json", b" [ ] "), r"a\.json: holds no rows"),
    "space only": (*("a.csv", CSV.encode() + b" \t ,a\n"), r"a\.csv:14: column 'text' is empty"),
    "a broken line": (
        *("a.jsonl", LINES.encode() + b'{"text": "x", "label: "a"}\n'),
        r"a\.jsonl:13: no valid JSON at character 24 of the line",
    ),
    "a cut-off line": (
        *("a.jsonl", LINES.encode() + b'{"text": "x'),
        r"a\.jsonl:13: no valid JSON at character 10 of the line: Unterminated string",
    ),
    "a line that is no object": (
        *("a.jsonl", LINES.encode() + b'"text"\n'),
        r"a\.jsonl:13: a line must be an object: .*; this one is of type str",
    ),
    "a list in a jsonl": (
        *("a.jsonl", json.dumps(GOOD, indent=1).encode()),
        r"a\.jsonl:1: no valid JSON .*; a list goes into a \.json file",
    ),
    "lines in a json": (
        *("a.json", LINES.encode()),
        r"a\.json: must hold a list of objects: .*; JSON lines go into a \.jsonl file",
    ),
    "an item that is no object": (
        *("a.json", json.dumps([*GOOD, 7]).encode()),
        r"a\.json:13: must hold a list of objects: .*; this one is of type int",
    ),
    "a cut-off list": (
        *("a.json", json.dumps(GOOD, indent=1).encode()[:-3]),
        r"a\.json:49:2: no valid JSON",
    ),
    "a missing comma": (
        *("a.json", b'[{"text": "x", "label": "a"}\n {"text": "y", "label": "b"}]'),
        r"a\.json:2:2: no valid JSON: Expecting ',' delimiter",
    ),
    "something behind the list": (
        *("a.json", json.dumps(GOOD).encode() + b"\n]"),
        r"a\.json:2:1: no valid JSON: Extra data",
    ),
    "a number without end": (
        *("a.jsonl", b'{"text": "x", "label": ' + b"1" * 5000 + b"}\n"),
        r"a\.jsonl:1: no valid JSON: Exceeds the limit",
    ),
    "no parquet": (*("a.parquet", CSV.encode()), r"a\.parquet: no valid parquet"),
    "an empty parquet": (*("a.parquet", b""), r"a\.parquet: no valid parquet"),
    "gzip by its name": (
        *("a.csv.gz", gzip.compress(CSV.encode())),
        r"a\.csv\.gz: unknown file type; known: \.csv, .*; unpack the file first \(gunzip\)",
    ),
    "gzip by its content": (
        *("a.csv", gzip.compress(CSV.encode())),
        r"a\.csv: is compressed by gzip, whatever its name says; unpack it",
    ),
    "a workbook": (
        *("a.xlsx", b"PK\x03\x04"),
        r"a\.xlsx: unknown file type; .*; save the sheet as csv \(UTF-8\)",
    ),
    "a file without ending": (*("a", CSV.encode()), r"a: unknown file type; known: \.csv"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_malformed_content_is_refused_with_its_place(tmp_path, kind):
    name, content, message = CONTENTS[kind]
    (tmp_path / name).write_bytes(content)
    assert re.search(f"{tmp_path}/{message}", refused(tmp_path / name))


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_parquet_is_refused(tmp_path, kept):
    path = tmp_path / "a.parquet"
    content = (write(path, GOOD), path.read_bytes())[1]
    path.write_bytes(content[: int(kept * len(content))])
    said = refused(path)
    assert re.search(r"a\.parquet: no valid parquet: .*; it may be cut off", said)


def test_a_parquet_with_damaged_pages_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    content = bytearray((write(path, GOOD * 100), path.read_bytes())[1])
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)
    assert re.search(r"a\.parquet: no valid parquet", refused(path))


def test_parquet_columns_of_other_types_are_refused(tmp_path):
    table = pa.table({"text": [b"\xff\x00", b"x"], "label": ["a", "b"]})
    pq.write_table(table, tmp_path / "bytes.parquet")
    assert "bytes.parquet:1: column 'text' holds bytes, not a text" in refused(
        tmp_path / "bytes.parquet"
    )
    table = pa.table([["x"], ["y"], ["a"]], names=["text", "text", "label"])
    pq.write_table(table, tmp_path / "twice.parquet")
    assert "column 'text' stands 2 times" in refused(tmp_path / "twice.parquet")


def test_folders_and_archives_are_told_from_files(tmp_path):
    (tmp_path / "data.csv").mkdir()
    assert re.search(
        r"data\.csv: is a folder, not a file; .*hub\.id", refused(tmp_path / "data.csv")
    )
    with zipfile.ZipFile(tmp_path / "b.csv", "w") as archive:
        archive.writestr("b.csv", CSV)
    assert "is a zip archive or a workbook" in refused(tmp_path / "b.csv")
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "c.json")
    assert "c.json: is a parquet file" in refused(tmp_path / "c.json")


def test_what_is_unusual_but_sound_is_read(tmp_path):
    content = (
        '\ufeff, text ,label,\r\n0,Bürgschaft – „x“,a,\r\n\r\n1,"two\r\nlines, one ""text""",b\r\n'
    )
    (tmp_path / "a.CSV").write_bytes(content.encode())
    first, second = read_rows(tmp_path / "a.CSV")
    assert first.values == {"text": "Bürgschaft – „x“", "label": "a"}
    assert second.number == 4
    assert second.values["text"] == 'two\r\nlines, one "text"'
    (tmp_path / "b.jsonl").write_bytes('\ufeff{"text": "a\u2028b"}\r\n\r\n'.encode())
    assert [row.values["text"] for row in read_rows(tmp_path / "b.jsonl")] == ["a\u2028b"]
    dated = [{"text": f"t{i}", "label": dt.date(2020, 1, 1 + i % 2)} for i in range(12)]
    task = load_task(spec(write(tmp_path / "d.parquet", dated)))
    assert task.labels == ("2020-01-01", "2020-01-02")


@pytest.mark.parametrize("header", ["text,label", '"text","label"', '"\ufefftext",\ufefflabel'])
def test_marks_of_utf_8_are_no_part_of_a_name_however_many(tmp_path, header):
    rows = "".join(f"{row['text']},{row['label']}\n" for row in GOOD)
    (tmp_path / "a.csv").write_text(f"\ufeff\ufeff{header}\n{rows}", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(f"\ufeff\ufeff{LINES}", encoding="utf-8")
    (tmp_path / "c.json").write_text(f"\ufeff\ufeff{json.dumps(GOOD)}", encoding="utf-8")
    for name in ("a.csv", "b.jsonl", "c.json"):
        assert [row.values for row in read_rows(tmp_path / name)] == GOOD


def test_whole_numbers_are_one_class_whatever_their_type(tmp_path):
    """A gap in a column of whole numbers turns them into floats."""
    train = write(tmp_path / "a.csv", [row | {"label": i % 2} for i, row in enumerate(GOOD)])
    test = write(tmp_path / "b.parquet", [{"text": "t", "label": 1.0}, {"text": "t", "label": 0.0}])
    task = load_task(spec(train, test=test))
    assert task.labels == ("0", "1")
    assert task.test.labels.tolist() == [1, 0]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_json_list_is_the_same_in_any_pieces(tmp_path, monkeypatch, size):
    monkeypatch.setattr("lexmove.trials.tasks.json_list._CHUNK", size)
    rows = [{"text": 'a "b" \\ ü\n' * 9, "n": [1.5e3, -20, None, {"x": True}]}, {"y": 12345}] * 3
    path = tmp_path / "a.json"
    for text in (json.dumps(rows), json.dumps(rows, indent=2, ensure_ascii=False)):
        path.write_text(text, encoding="utf-8")
        assert [row.values for row in read_rows(path)] == rows
    for at in range(1, len(text) - 1, 5):
        path.write_text(text[:at], encoding="utf-8")
        with pytest.raises(TaskError, match=r"a\.json:\d+:\d+: no valid JSON"):
            read_rows(path)


@pytest.mark.parametrize("size", [1, 16, 1000])
def test_a_mistake_in_a_json_list_has_its_place_in_any_pieces(tmp_path, monkeypatch, size):
    monkeypatch.setattr("lexmove.trials.tasks.json_list._CHUNK", size)
    lines = json.dumps(GOOD, indent=1).splitlines()
    lines[10] = lines[10].replace(":", "")
    (tmp_path / "a.json").write_text("\n".join(lines))
    with pytest.raises(TaskError, match=r"a\.json:11:10: no valid JSON: Expecting ':' delimiter"):
        read_rows(tmp_path / "a.json")


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_numbers_in_a_json_list_are_not_cut_where_a_piece_ends(tmp_path, monkeypatch, size):
    monkeypatch.setattr("lexmove.trials.tasks.json_list._CHUNK", size)
    text = " [12345, -6.5e2,true , null]\n"
    found = list(json_list(tmp_path / "a.json", io.StringIO(text), "must hold a list"))
    assert found == [12345, -650.0, True, None]
