"""What a folder's data files are, and which of their columns is what, guessed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from lexmove.cli.templates import SCHEMA_NAME
from lexmove.errors import TaskError, UsageError, did_you_mean
from lexmove.trials.tasks.content import damage
from lexmove.trials.tasks.rows import READERS, Row, RowSource, open_file

_LOOKED_AT = 5000
"""Rows that are looked at to tell the columns apart: files sorted by class are common."""

_MAX_CLASSES = 50
_TEXT_NAMES: tuple[str, ...] = ("text", "clause", "content", "body", "sentence", "document")
_TEXT_NAMES += ("paragraph", "facts", "context", "question", "description", "comment")
_LABEL_NAMES: tuple[str, ...] = ("label", "labels", "class", "category", "type")
_LABEL_NAMES += ("target", "topic", "tag", "tags", "gold", "y")
_LABEL_NAMES += ("klasse", "kategorie", "typ", "klauseltyp")
_GROUP_NAMES: tuple[str, ...] = ("group", "contract", "contract_id", "case", "case_id")
_GROUP_NAMES += ("company", "doc_id", "document_id", "file", "author")
_PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("clause", "hypothesis"),
    ("text", "hypothesis"),
    ("text", "pair"),
    ("text", "second_text"),
)
"""Columns of first and second texts, as data sets call them."""

_ENDING = re.compile(r"(?:ending|option|choice|answer)_?(\d|[a-e])$")
_SEPARATORS = (";", "|")
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
_DELIMITED = {".csv": ",", ".tsv": "\t"}
"""Files whose first line holds the names, and what divides them."""

_MAX_NAME = 60
"""Characters above which a column's name looks like a text."""

_NEARLY_FULL = 0.95
"""Share of rows with a value, below which a column is rather a remark than a class."""

_MIN_GROUPS = 10
"""Groups below which a split by them would be a lottery."""

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""What the names of files call the splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Data files by split, the way a job names them; without one, it is split off `train`."""

    train: Path
    validation: Path | None = None
    test: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a file are what.

    `pair` holds second texts, `endings` what a multiple choice chooses from. `label_separator`
    divides labels where a text has several; `group` keeps contracts, cases or companies apart.
    None, or empty, where there is no such thing. `labels` are the classes that were seen, and
    `has_lists` tells whether they stand in lists. `runner_up` might be the class, too.
    """

    text: str
    label: str
    pair: str | None = None
    endings: tuple[str, ...] = ()
    label_separator: str | None = None
    group: str | None = None
    labels: tuple[str, ...] = field(default=(), compare=False)
    has_lists: bool = field(default=False, compare=False)
    runner_up: str | None = field(default=None, compare=False)


def find_files(folder: Path) -> Files | None:
    """The data in a folder; None where it holds none.

    Raises:
        UsageError: there are several files, and their names do not say which is for training.
    """
    found = sorted(path for path in folder.iterdir() if _may_be_data(path))
    if not found:
        return None
    trains = [path for path in found if _split_of(path) == "train"]
    chosen = found if len(found) == 1 else trains
    if len(chosen) != 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(
            f"{len(found)} data files are in {folder.resolve()}, and their names do not say which "
            f"is for training: {names}; say --data FILE"
        )
    return with_splits(chosen[0])


def _may_be_data(path: Path) -> bool:
    is_hidden = path.name.startswith(".") or path.name == SCHEMA_NAME
    if is_hidden or path.suffix.lower() not in READERS or not path.is_file():
        return False
    if path.suffix.lower() != ".json":
        return True
    try:
        open_file(path)
    except TaskError:  # JSON is many other things, too
        return False
    return True


def with_splits(train: Path) -> Files:
    """The file with those beside it that are called like it, but for the name of the split."""
    beside = [path for path in train.parent.iterdir() if path.suffix == train.suffix]
    stem = _without_split(train)
    like = {_split_of(path): path for path in sorted(beside) if _without_split(path) == stem}
    if _split_of(train) != "train":
        return Files(train=train)
    return Files(train=train, validation=like.get("validation"), test=like.get("test"))


def _words(path: Path) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", path.stem.lower()) if word]


def _split_of(path: Path) -> str | None:
    words = _words(path)
    return next((split for split, names in _SPLITS.items() if set(names) & set(words)), None)


def _without_split(path: Path) -> list[str]:
    known = {name for names in _SPLITS.values() for name in names}
    return [word for word in _words(path) if word not in known]


def pick_columns(data: Path, *, text: str | None = None, label: str | None = None) -> Columns:
    """The columns of a data file that hold the text and the class, guessed where not given.

    All else that a task may have is guessed in any case.

    Raises:
        TaskError: the file cannot be read, is divided by another mark than its ending says, or is
            in another encoding than UTF-8.
        UsageError: a given column is not there, or given for both, none can be told to be the one,
            or the first line looks like a row; who names both columns has seen that it holds names.
    """
    source = open_file(data)
    _check_delimiter(data, source)
    rows = list(islice(source.read(source.columns), _LOOKED_AT))
    columns = tuple(dict.fromkeys(name for row in rows for name in row.values))
    for option, name in (("--text", text), ("--label", label)):
        if name is not None and name not in columns:
            raise UsageError(
                f"{data} has no column {name!r} ({option}){did_you_mean(name, columns)}"
            )
    if text is not None and text == label:
        raise UsageError(
            f"--text and --label both name the column {text!r}; each needs a column of its own"
        )
    cells = {name: _cells(rows, name) for name in columns}
    if data.suffix.lower() in _DELIMITED and (text is None or label is None):
        _check_header(data, cells)
    endings = _endings(
        {name: values for name, values in cells.items() if name not in (text, label)}
    )
    pair = _pair({name: values for name, values in cells.items() if name != label}, text)
    taken = (text, *endings, *(pair or ()))
    rest = {name: values for name, values in cells.items() if name not in taken}
    ranked = [label] if label else _label_columns(rest, num_rows=len(rows))
    label = ranked[0] if ranked else None
    rest = {name: values for name, values in rest.items() if name != label}
    text = text or (pair[0] if pair else None) or _text_column(rest)
    if text is None or label is None:
        raise UsageError(_untold(data, cells, lacks_label=label is None))
    second = pair[1] if pair else None
    others = {name: values for name, values in rest.items() if name not in (text, second)}
    group = _group_column(others)
    _check_encoding(source, rows, (text, label, second, *endings, group))
    is_choice = bool(endings) and _counts_up(cells[label], _num_endings(cells, endings))
    return Columns(
        text=text,
        label=label,
        pair=None if is_choice else second,
        endings=endings if is_choice else (),
        label_separator=None if is_choice else _separator(cells[label]),
        group=group,
        labels=tuple(sorted(_values(cells[label]))),
        has_lists=any(isinstance(value, list) for value in cells[label]),
        runner_up=next((name for name in ranked[1:] if name in others and name != group), None),
    )


def _check_delimiter(data: Path, source: RowSource) -> None:
    """Refuses a file that is divided by another mark than its ending says, as loading does."""
    if data.suffix.lower() not in _DELIMITED or len(source.columns) > 1:
        return
    mark = next((mark for mark in _DELIMITERS if mark in source.columns[0]), None)
    if mark is None:
        return
    suffix = next((suffix for suffix, own in _DELIMITED.items() if own == mark), None)
    way_out = f"call it {data.with_suffix(suffix).name}" if suffix else _with_commas(data, mark)
    raise TaskError(
        f"{data}: the header looks as if the file were divided by {_DELIMITERS[mark]}: a csv is "
        f"divided by commas, a tsv by tabs; {way_out}"
    )


def _with_commas(data: Path, mark: str) -> str:
    """How to save it with commas; as texts: pandas would make 1.0 of 1, and nothing of NA."""
    read = f"pandas.read_csv({str(data)!r}, sep={mark!r}, dtype=str, keep_default_na=False)"
    target = str(data.with_name(f"{data.stem}-commas.csv"))
    return f'save it so: python -c "import pandas; {read}.to_csv({target!r}, index=False)"'


def _check_header(data: Path, cells: Mapping[str, list[Any]]) -> None:
    """Refuses a first line that looks like a row: that row would be lost, and the names odd."""
    for name, values in cells.items():
        is_below = any(isinstance(value, str) and value.strip() == name for value in values)
        if len(name) <= _MAX_NAME and not is_below:
            continue
        shown = repr(name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…")
        why = "is a value further down in its column" if is_below else f"has {len(name)} characters"
        raise UsageError(
            f"{data}:1: must hold the names of the columns, but looks like a row: {shown} {why}. "
            "Put a line of names above it; if these are the names, give both --text and --label"
        )


def _check_encoding(source: RowSource, rows: Sequence[Row], names: Sequence[str | None]) -> None:
    """Refuses what loading the data would refuse, too: characters that are none."""
    for row in rows:
        for name in names:
            value = None if name is None else row.values.get(name)
            for item in value if isinstance(value, list) else [value]:
                if reason := damage(str(item), f"column {name!r}"):
                    raise TaskError(f"{source.place}:{row.number}: {reason}")


def _untold(data: Path, cells: Mapping[str, list[Any]], *, lacks_label: bool) -> str:
    """What to say where a column cannot be told: all of them, with what speaks against each."""
    seen = "; ".join(f"{name} ({_looks(values)})" for name, values in cells.items())
    if lacks_label:
        return (
            f"no column of {data} looks like a class: one has 2 to {_MAX_CLASSES} values that come "
            f"again. Give --label COLUMN, or add one. Its columns: {seen}"
        )
    return f"no column of {data} looks like a text: give --text COLUMN. Its columns: {seen}"


def _looks(values: Sequence[Any]) -> str:
    if not values:
        return "empty"
    num = len(_values(values))
    return "one value" if num == 1 else f"{num} values in {len(values)} rows"


def _values(cells: Sequence[Any]) -> set[str]:
    return {str(item) for cell in cells for item in (cell if isinstance(cell, list) else [cell])}


def _separator(labels: Sequence[Any]) -> str | None:
    """What divides several labels of a text: in a tenth of the cells, and the parts come again."""
    if any(isinstance(label, list) for label in labels):
        return None
    for separator in _SEPARATORS:
        parts = [part.strip() for label in labels for part in str(label).split(separator)]
        num_divided = sum(separator in str(label) for label in labels)
        if num_divided >= len(labels) / 10 and len(set(parts)) <= len(parts) / 2:
            return separator
    return None


def _group_column(cells: Mapping[str, list[Any]]) -> str | None:
    """By name, where values come again and there are enough of them to split."""
    repeated = {
        name: values
        for name, values in cells.items()
        if _MIN_GROUPS <= len(set(map(str, values))) < len(values)
    }
    return _by_name(repeated, _GROUP_NAMES)


def _cells(rows: Sequence[Row], name: str) -> list[Any]:
    values = (row.values.get(name) for row in rows)
    return [item for item in values if item is not None and str(item).strip()]


def _text_column(cells: Mapping[str, list[Any]]) -> str | None:
    """By name, else the column of words with the longest texts."""
    lengths = {name: _length(values) for name, values in cells.items() if _are_texts(values)}
    named = _by_name(lengths, _TEXT_NAMES)
    return named or max(lengths, key=lambda name: lengths[name], default=None)


def _are_texts(values: Sequence[Any]) -> bool:
    """Whether they are words, or lists of paragraphs, and no numbers."""
    kinds = {type(value) for value in values}
    if kinds == {list}:
        return all(isinstance(item, str) for value in values for item in value)
    return kinds == {str} and not all(_is_number(value) for value in values)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _length(values: Sequence[Any]) -> float:
    texts = [value if isinstance(value, str) else "".join(value) for value in values]
    return sum(map(len, texts)) / len(texts)


def _label_columns(cells: Mapping[str, list[Any]], *, num_rows: int) -> list[str]:
    """Columns of values that come again, the likeliest first: full ones, by name, of few values."""
    num_values = {
        name: len(_values(values))
        for name, values in cells.items()
        if values and 2 <= len(_values(values)) <= min(_MAX_CLASSES, max(2, len(values) // 2))
    }

    def rank(name: str) -> tuple[bool, int, int]:
        # Where a text has several labels, an empty cell is an answer: it has none of them.
        is_full = len(cells[name]) >= _NEARLY_FULL * num_rows or _separator(cells[name]) is not None
        return not is_full, _label_rank(name), num_values[name]

    return sorted(num_values, key=rank)


def _label_rank(name: str) -> int:
    """How much a column is called like a class: by its whole name, by a part of it, not at all."""
    if _plain(name) in _LABEL_NAMES:
        return _LABEL_NAMES.index(_plain(name))
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    parts = re.split(r"[\W\d_]+", words)
    at = (index for index, label in enumerate(_LABEL_NAMES) if label in parts)
    return len(_LABEL_NAMES) + next(at, len(_LABEL_NAMES))


def _pair(cells: Mapping[str, list[Any]], text: str | None) -> tuple[str, str] | None:
    """First and second texts, where the columns are called so."""
    texts = {name: values for name, values in cells.items() if values and _are_texts(values)}
    for first, second in _PAIRS:
        found = (_by_name(texts, (first,)), _by_name(texts, (second,)))
        if found[0] is not None and found[1] is not None and text in (None, found[0]):
            return found[0], found[1]
    return None


def _endings(cells: Mapping[str, list[Any]]) -> tuple[str, ...]:
    """Columns of endings, in the order of their numbers; or one column of lists of them."""
    several = {name: match[1] for name in cells if (match := _ENDING.search(_plain(name)))}
    if len(several) > 1:
        return tuple(sorted(several, key=lambda name: several[name]))
    listed = {
        name: values
        for name, values in cells.items()
        if values and all(isinstance(value, list) and len(value) > 1 for value in values)
    }
    name = _by_name(listed, ("endings", "options", "choices", "answers"))
    return () if name is None else (name,)


def _num_endings(cells: Mapping[str, list[Any]], endings: tuple[str, ...]) -> int:
    return len(endings) if len(endings) > 1 else max(map(len, cells[endings[0]]))


def _counts_up(labels: Sequence[Any], num: int) -> bool:
    return _values(labels) <= set(map(str, range(num)))


def _by_name(columns: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    plain = {_plain(column): column for column in columns}
    return next((plain[name] for name in names if name in plain), None)


def _plain(name: str) -> str:
    """A column's name as the lists here spell it."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
