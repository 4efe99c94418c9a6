"""The data card: what a task's splits hold, and what about them will mislead its scores."""

import math
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexmove.trials.tasks.cells import shown
from lexmove.trials.tasks.split_card import SPLITS, SplitCard, label_conflicts, split_cards
from lexmove.trials.tasks.task import TaskData

_LEAKING = 0.01
"""Share of a split from which copies of other texts in it are worth a warning."""

_CUT_OFF = 0.05
"""Share of texts over `max_length` from which it is worth a warning."""

_FEW_EXAMPLES = 500
"""Examples below which a validation split is too noisy not to say so."""

_FEW_PER_CLASS = 5
_STRONG_IMBALANCE = 10.0
_MAX_NAMES = 5
"""Class names that a warning lists."""

_MISSING = frozenset({"nan", "na", "n/a", "n.a.", "#n/a", "<na>", "nat", "none", "null", "nil"})
"""How spreadsheets and data frames write that there is no value, in small letters."""

_WRITTEN_LIST = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_BETWEEN_LABELS = re.compile(r"[,;|/+&]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """A task's data at a glance.

    `kind` is single-label, multi-label, pairs or multiple choice. `max_length` is in tokens, with
    `in_segments` of all segments together. `imbalance` is how many times the training examples of
    the smallest class the largest has; None in a multiple choice, or where a class has none.
    `label_conflicts` are examples of any split whose text stands elsewhere with another label.
    `skipped` rows were left out. `examples_per_step` are the most that an optimizer step may take.
    `warnings` are sentences, each with a way out.
    """

    task: str
    kind: str
    max_length: int
    in_segments: bool
    splits: tuple[SplitCard, ...]
    imbalance: float | None
    label_conflicts: int
    skipped: int
    examples_per_step: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The card in the types of JSON, fields by their names."""
        return asdict(self) | {
            "splits": [asdict(split) for split in self.splits],
            "warnings": list(self.warnings),
        }


def data_card(
    task: TaskData,
    lengths: Mapping[str, NDArray[np.int64]] | None,
    max_length: int,
    *,
    in_segments: bool = False,
    examples_per_step: int = 1,
) -> DataCard:
    """Looks at all texts of a task; compares them with one another too.

    Args:
        task: The data.
        lengths: Tokens of every text, not cut off, by split: (N,), or (N, C) for C endings. None
            where they were not counted.
        max_length: Tokens that the model reads of a text.
        in_segments: Whether these are those of several segments together.
        examples_per_step: The most that a search may let one optimizer step take.
    """
    splits = {name: task.split(name) for name in SPLITS}
    cards = split_cards(splits, task.labels, tokens=lengths, max_length=max_length)
    facts: dict[str, Any] = {
        "task": task.name,
        "kind": _kind(task),
        "max_length": max_length,
        "in_segments": in_segments,
        "splits": cards,
        "imbalance": None if task.is_multiple_choice else _imbalance(cards[0]),
        "label_conflicts": label_conflicts(splits),
        "skipped": len(task.skipped),
        "examples_per_step": examples_per_step,
    }
    return DataCard(**facts, warnings=tuple(_warnings(DataCard(**facts, warnings=()))))


def _kind(task: TaskData) -> str:
    if task.is_multiple_choice:
        return "multiple choice"
    if task.train.pairs is not None:
        return "pairs"
    return "multi-label" if task.is_multi_label else "single-label"


def _imbalance(train: SplitCard) -> float | None:
    counts = train.label_counts.values()
    return max(counts) / min(counts) if min(counts) else None


def _warnings(card: DataCard) -> Iterator[str]:
    train, validation, test = card.splits
    for split in (validation, test):
        yield from _leaks(split)
    yield from _copies(card)
    yield from _unread(card)
    yield from _noise(validation)
    yield from _one_step(card, train)
    if card.kind != "multiple choice":
        names = list(train.label_counts)
        yield from _alike(names)
        yield from _missing(names)
        yield from _several_in_one(names)
        yield from _class_sizes(card, train)
        for split in (validation, test):
            yield from _scarce(split)


def _leaks(split: SplitCard) -> Iterator[str]:
    if is_leaking(split.near_train, split.examples):
        are = "is a near-duplicate" if split.near_train == 1 else "are near-duplicates"
        yield (
            f"{split.near_train} of {split.examples} {split.name} texts {are} of"
            " training texts: scores will be too high; set task.split.near_duplicates: together,"
            " or take them out where the splits are given"
        )


def is_leaking(near_train: int, examples: int) -> bool:
    """Whether so many near-duplicates of training texts in a split are worth a warning."""
    return near_train >= max(1, _LEAKING * examples)


def _copies(card: DataCard) -> Iterator[str]:
    duplicates = sum(split.duplicates for split in card.splits)
    examples = sum(split.examples for split in card.splits)
    if duplicates >= max(1, _LEAKING * examples):
        yield (
            f"{duplicates} of {examples} texts repeat another of their split word for word: they"
            " count more than once; leave the copies out"
        )
    if card.label_conflicts:
        yield (
            f"{card.label_conflicts} examples have the text of another example and not its label:"
            " no model can learn both; correct the labels, or leave these examples out"
        )


def _unread(card: DataCard) -> Iterator[str]:
    examples = sum(split.examples for split in card.splits)
    if card.splits[0].over_max_length is not None:
        over = sum((split.over_max_length or 0) * split.examples for split in card.splits)
        if over >= _CUT_OFF * examples:
            yield (
                f"{100 * over / examples:.0f} % of the texts are longer than the {card.max_length}"
                f" tokens that are read: {_way_to_read_more(card)}"
            )
    if empty := sum(split.empty for split in card.splits):
        yield f"{empty} of {examples} texts are empty: nothing can be learned there; leave them out"
    if card.skipped:
        rows = "row was" if card.skipped == 1 else "rows were"
        yield (
            f"{card.skipped} {rows} left out as unfit; correct the data, or make sure that nothing"
            " in them matters"
        )


def _way_to_read_more(card: DataCard) -> str:
    if card.in_segments:
        return "raise model.max_segments or model.max_length"
    segments = ", or read long texts in segments with model.max_segments"
    has_texts = card.kind in ("single-label", "multi-label")
    return f"raise model.max_length{segments if has_texts else ''}"


def _noise(validation: SplitCard) -> Iterator[str]:
    """The standard error of the difference of two independent accuracies around .7."""
    if validation.examples < _FEW_EXAMPLES:
        noise = math.sqrt(2 * 0.7 * 0.3 / validation.examples)
        yield (
            f"validation has {validation.examples} examples: differences under about"
            f" {f'{noise:.2f}'.lstrip('0')} are noise; give it more examples (a larger"
            " task.split.validation where it is split off)"
        )


def _one_step(card: DataCard, train: SplitCard) -> Iterator[str]:
    if card.examples_per_step >= train.examples:
        yield (
            f"an optimizer step may take {card.examples_per_step} examples"
            " (per_device_train_batch_size times gradient_accumulation_steps), and an epoch of the"
            f" {train.examples} training examples is then one step: hardly anything is learned so;"
            " lower their highest values in the search space"
        )


def _alike(names: Sequence[str]) -> Iterator[str]:
    """Classes that a slip of the pen has made of one."""
    for alike in _grouped(names, _spelling):
        yield (
            f"{_listed(alike)} differ in case or blanks alone, in characters that are not seen, or"
            " in how a number is written, and are classes of their own; if they are meant to be"
            " one, write them alike"
        )


def _grouped(names: Sequence[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    """Names that share a key with others; None is no key."""
    by_key: dict[Hashable, list[str]] = {}
    for name in names:
        by_key.setdefault(key(name), []).append(name)
    return [some for shared, some in by_key.items() if len(some) > 1 and shared is not None]


def _spelling(name: str) -> str:
    """Equal for names that a reader would hardly tell apart."""
    seen = "".join(sign for sign in name if unicodedata.category(sign) != "Cf")
    plain = " ".join(seen.casefold().split())
    if _NUMBER.fullmatch(plain) is None:
        return plain
    sign, digits = ("-" if plain[0] == "-" else ""), plain.lstrip("+-")
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return f"{sign}{whole}{'.' if fraction else ''}{fraction}"


def _missing(names: Sequence[str]) -> Iterator[str]:
    """Classes that were cells without a value before a csv was written."""
    found = [name for name in names if name.strip().casefold() in _MISSING]
    if found:
        look = "look" if len(found) > 1 else "looks"
        yield (
            f"{_listed(found)} {look} like missing values that were written as texts; leave these"
            " rows out, or rename the class if it is one"
        )


def _several_in_one(names: Sequence[str]) -> Iterator[str]:
    """Classes that several labels of a text were made into."""
    written = [name for name in names if _WRITTEN_LIST.fullmatch(name)]
    if len(written) > 1:
        yield (
            f"{_listed(written)} look like lists that were written as texts; lists of labels are"
            " read from jsonl and parquet, in a csv write names and set task.label_separator"
        )
    for same in _grouped([name for name in names if name not in written], _parts):
        yield (
            f"{_listed(same)} have the same parts in another order; if these are several labels of"
            " a text, set task.label_separator to what divides them"
        )


def _parts(name: str) -> tuple[str, ...] | None:
    parts = [part.strip() for part in _BETWEEN_LABELS.split(name)]
    return tuple(sorted(parts)) if len(parts) > 1 else None


def _class_sizes(card: DataCard, train: SplitCard) -> Iterator[str]:
    absent = [name for name, count in train.label_counts.items() if count == 0]
    if absent:
        yield (
            f"no training example of {_listed(absent)}: a class without any is never predicted;"
            " add examples, or merge classes"
        )
    if card.imbalance is not None and card.imbalance >= _STRONG_IMBALANCE:
        sizes = sorted(train.label_counts, key=lambda name: train.label_counts[name])
        yield (
            f"class {shown(sizes[-1])} has {card.imbalance:.0f} times the training examples of"
            f" {shown(sizes[0])}: small classes may be given up; let the search space try"
            " model.class_weighting: balanced, and judge by f1_macro"
        )


def _scarce(split: SplitCard) -> Iterator[str]:
    """Classes of which a split that is scored on has no example, or next to none."""
    absent = [name for name, count in split.label_counts.items() if count == 0]
    if absent:
        yield (
            f"{split.name} has no example of {_listed(absent)}: one text that is taken for such a"
            f" class costs macro-F1 all of it; give more {split.name} examples, or merge classes"
        )
    few = [name for name, count in split.label_counts.items() if 0 < count < _FEW_PER_CLASS]
    if few:
        yield (
            f"{split.name} has fewer than {_FEW_PER_CLASS} examples of {_listed(few)}: macro-F1"
            f" depends on a few texts there; give more {split.name} examples, or merge classes"
        )


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(map(shown, names[:_MAX_NAMES]))
    left = len(names) - _MAX_NAMES
    classes = "class" if len(names) == 1 else f"{len(names)} classes"
    return f"{classes} {listed}{f' and {left} more' if left > 0 else ''}"
