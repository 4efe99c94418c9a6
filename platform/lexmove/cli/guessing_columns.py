"""What the columns of a data file look like, by their names and values: text, class, group."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lexmove.trials.tasks.cells import shown
from lexmove.trials.tasks.rows import Row

MAX_CLASSES = 50
"""Values above which a column is no class."""

_TEXT_NAMES: tuple[str, ...] = ("text", "clause", "content", "body", "sentence", "document")
_TEXT_NAMES += ("paragraph", "facts", "context", "question", "description", "comment")
_LABEL_NAMES: tuple[str, ...] = ("label", "labels", "class", "category", "type")
_LABEL_NAMES += ("target", "topic", "tag", "tags", "gold", "y")
_LABEL_NAMES += ("klasse", "kategorie", "typ", "klauseltyp")
_GROUP_NAMES: tuple[str, ...] = ("group", "contract", "contract_id", "case", "case_id")
_GROUP_NAMES += ("company", "doc_id", "document_id", "file", "author")
_ANSWER_WORDS = frozenset({"answer", "correct", "solution", "gold", "label"})
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

_FIRSTS: tuple[str, ...] = ("premise", "clause", "provision", "evidence", "passage")
_FIRSTS += ("context", "text", "paragraph", "sentence", "document")
_SECONDS = ("hypothesis", "claim")
"""Sentences that follow from one of `_FIRSTS` or do not; a claim may be a kind of claim, too."""

_SEPARATORS = (";", "|", ",")

_MIN_WORDS = 4
"""Words of a sentence: names and classes have fewer, on average."""

_MAX_LABELS_LENGTH = 200
"""Characters, on average, above which cells hold texts and no labels with separators."""

NEARLY_FULL = 0.95
"""Share of rows with a value, below which a column is rather a remark than a class."""

_MIN_GROUPS = 10
"""Groups below which a split by them would be a lottery."""

_WRITTEN_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)
_MAX_ROWS_OF_ID = 20
"""Rows of one value, on average, above which a column called an id may yet be a class."""

Cells = Mapping[str, list[Any]]
"""The values of the columns, where there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a file are what.

    `pair` holds second texts, `endings` what a multiple choice chooses from. `label_separator`
    divides labels where a text has several; `group` keeps contracts, cases or companies apart.
    None, or empty, where there is no such thing. `labels` are the classes that were seen, fit to
    print, `has_lists` tells whether they stand in lists, `counts_from_0` whether they are positions
    of endings. `runner_up` might be the class, too.
    `remarks` are sentences on columns that were passed over, or that hold what cannot be used so.
    """

    text: str
    label: str
    pair: str | None = None
    endings: tuple[str, ...] = ()
    label_separator: str | None = None
    group: str | None = None
    labels: tuple[str, ...] = field(default=(), compare=False)
    has_lists: bool = field(default=False, compare=False)
    counts_from_0: bool = field(default=False, compare=False)
    runner_up: str | None = field(default=None, compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)


def cells_of(rows: Sequence[Row], name: str) -> list[Any]:
    """The values of a column, where they are not empty."""
    values = (row.values.get(name) for row in rows)
    return [item for item in values if item is not None and str(item).strip()]


def values_of(cells: Sequence[Any]) -> set[str]:
    """Different values, or items of lists, as texts."""
    return {str(item) for cell in cells for item in (cell if isinstance(cell, list) else [cell])}


def say_class(name: str) -> str:
    """A class by its name; in quotes, escaped and cut where it would not be one short line.

    Whatever stands in a cell of the data can be a class, and must not steer a terminal.
    """
    return name if name.isprintable() and shown(name) == repr(name) else shown(name)


def by_name(columns: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The column with the first of the names that a column has."""
    spelled = {plain(column): column for column in columns}
    return next((spelled[name] for name in names if name in spelled), None)


def plain(name: str) -> str:
    """A column's name as the lists here spell it."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _words(name: str) -> list[str]:
    """The words of a column's name, also of one written asThis."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    return [word for word in re.split(r"[\W\d_]+", words) if word]


def is_called_text(name: str) -> bool:
    """Whether a column is called like one of texts, or of lists of their paragraphs."""
    return plain(name) in _TEXT_NAMES or plain(name).removesuffix("s") in _TEXT_NAMES


def is_called_label(name: str) -> bool:
    """Whether a column is called like a class, or several, at least by a part of its name."""
    names = name, name.removesuffix("s")
    return any(_label_rank(spelled) < 2 * len(_LABEL_NAMES) for spelled in names)


def text_column(cells: Cells) -> str | None:
    """By name, else the column of words with the longest texts."""
    lengths = {name: _length(values) for name, values in cells.items() if _are_texts(values)}
    named = by_name(lengths, _TEXT_NAMES)
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


def holds_sentences(values: Sequence[Any]) -> bool:
    """Whether they are texts of several words, on average; or lists of such."""
    if not values or not _are_texts(values):
        return False
    texts = (" ".join(value) if isinstance(value, list) else value for value in values)
    return sum(len(text.split()) for text in texts) >= _MIN_WORDS * len(values)


def reads_like_text(name: str, values: Sequence[Any]) -> bool:
    """Whether most values are several words, unless the column's name says that it holds texts."""
    num_spaced = sum(" " in str(value).strip() for value in values)
    return is_called_text(name) or 2 * num_spaced > len(values)


def label_columns(
    cells: Cells, *, num_rows: int, counts_endings: Callable[[str], bool]
) -> list[str]:
    """Columns of values that come again, and no ids, the likeliest first.

    Full ones come first, by name, of few values; where there are endings to be counted, of full
    ones that which is called the answer. Such a column may name them by any number of values.
    """
    num_values = {
        name: num
        for name, values in cells.items()
        if not is_id(name, values)
        and (num := _num_classes(values)) >= 2
        and (num <= min(MAX_CLASSES, max(2, len(values) // 2)) or counts_endings(name))
    }

    def rank(name: str) -> tuple[bool, bool, int, bool, bool, int]:
        # Where a text has several labels, an empty cell is an answer: it has none of them.
        is_full = len(cells[name]) >= NEARLY_FULL * num_rows or separator_of(cells[name])
        counts = counts_endings(name)
        is_answer = counts and not _ANSWER_WORDS.isdisjoint(_words(name))
        is_group = plain(name) in _GROUP_NAMES
        called = _label_rank(name)
        return not is_full, not is_answer, called, not counts, is_group, num_values[name]

    return sorted(num_values, key=rank)


def _num_classes(values: Sequence[Any]) -> int:
    """Different values, or labels where cells hold several of them."""
    if are_written_lists(values):
        return len({part for value in values for part in _parts_of_written(str(value))})
    num = len(values_of(values))
    # Only where it matters: texts may be long, and dividing them takes time.
    is_long = sum(len(str(value)) for value in values) > _MAX_LABELS_LENGTH * len(values)
    separator = None if num <= MAX_CLASSES or is_long else separator_of(values)
    if separator is None:
        return num
    return len({part for value in values for part in _divided(value, separator)})


def are_written_lists(values: Sequence[Any]) -> bool:
    """Whether most are texts in brackets, as data frames write lists into a csv."""
    written = [isinstance(value, str) and _WRITTEN_LIST.fullmatch(value) for value in values]
    return 2 * sum(map(bool, written)) > len(values)


def _parts_of_written(value: str) -> list[str]:
    parts = (part.strip(" []'\"") for part in value.split(","))
    return [part for part in parts if part]


def _divided(value: Any, separator: str) -> list[str]:
    return [part.strip() for part in str(value).split(separator) if part.strip()]


def is_id(name: str, values: Sequence[Any]) -> bool:
    """Whether values say which contract, case or person a row is of, and not which class."""
    if _words(name)[-1:] != ["id"] or is_called_label(name):
        return False
    num = len(values_of(values))
    return plain(name) in _GROUP_NAMES or _MIN_GROUPS <= num >= len(values) / _MAX_ROWS_OF_ID


def _label_rank(name: str) -> int:
    """How much a column is called like a class: by its whole name, by a part of it, not at all."""
    if plain(name) in _LABEL_NAMES:
        return _LABEL_NAMES.index(plain(name))
    words = _words(name)
    at = (index for index, label in enumerate(_LABEL_NAMES) if label in words)
    return len(_LABEL_NAMES) + next(at, len(_LABEL_NAMES))


def single_valued(cells: Cells, label: str | None) -> str | None:
    """A sentence on a column of at most one value that is called more like the class than `label`.

    None where there is no such column.
    """
    least = 2 * len(_LABEL_NAMES) if label is None else _label_rank(label)
    ranks = {
        name: _label_rank(name) for name, values in cells.items() if len(values_of(values)) < 2
    }
    name = min(ranks, key=lambda name: ranks[name], default=None)
    if name is None or ranks[name] >= least:
        return None
    one = next(iter(values_of(cells[name])), None)
    held = "no value" if one is None else f"only one value, {shown(one)}"
    return f"column {name!r} holds {held}"


def separator_of(labels: Sequence[Any]) -> str | None:
    """What divides several labels of a text: in a tenth of the cells, and the parts come again.

    A comma stands within the names of classes, too: its parts must also stand alone, or in turns.
    """
    if any(isinstance(label, list) for label in labels) or are_written_lists(labels):
        return None
    return next((mark for mark in _SEPARATORS if _divides(labels, mark)), None)


def _divides(labels: Sequence[Any], separator: str) -> bool:
    cells = [_divided(label, separator) for label in labels]
    num_parts = sum(map(len, cells))
    num_divided = sum(separator in str(label) for label in labels)
    come_again = len({part for parts in cells for part in parts}) <= num_parts / 2
    if num_divided < max(1, len(labels) / 10) or not come_again:
        return False
    return separator != "," or _are_free(cells)


def _are_free(cells: Sequence[Sequence[str]]) -> bool:
    """Whether half of the parts stand alone in a cell, or both first and further back."""
    several = [parts for parts in cells if len(parts) > 1]
    alone = {parts[0] for parts in cells if len(parts) == 1}
    first = {parts[0] for parts in several}
    later = {part for parts in several for part in parts[1:]}
    free = (first | later) & alone | first & later
    return bool(several) and 2 * len(free) >= len(first | later)


def group_column(cells: Cells) -> str | None:
    """By name, where values come again and there are enough of them to split."""
    repeated = {
        name: values
        for name, values in cells.items()
        if _MIN_GROUPS <= len(set(map(str, values))) < len(values)
    }
    return by_name(repeated, _GROUP_NAMES)


def small_group_column(cells: Cells) -> str | None:
    """By name, where values come again and are too few to split by."""
    repeated = {
        name: values
        for name, values in cells.items()
        if 2 <= len(values_of(values)) < min(_MIN_GROUPS, len(values))
    }
    return by_name(repeated, _GROUP_NAMES)


def pair_columns(cells: Cells, text: str | None) -> tuple[str, str] | None:
    """First and second texts, where the columns are called so."""
    texts = {name: values for name, values in cells.items() if values and _are_texts(values)}
    for first, second in _PAIRS:
        found = (by_name(texts, (first,)), by_name(texts, (second,)))
        if found[0] is not None and found[1] is not None and text in (None, found[0]):
            return found[0], found[1]
    sentences = {name: values for name, values in texts.items() if holds_sentences(values)}
    one = by_name(sentences, _FIRSTS) if text is None else text
    other = by_name(sentences, _SECONDS)
    return None if one is None or other is None or one == other else (one, other)
