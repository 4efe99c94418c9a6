"""Jobs that are broken at every key in turn: each mistake is told at its place in plain words."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from pydantic import BaseModel

from lexmove.job.document import parse_document
from lexmove.job.loading import parse_job
from lexmove.job.spec import JobSpec

LEAST: dict[str, Any] = {"name": "a", "task": {"name": "license_role"}, "space": "c.yaml"}
FILES = {"train": "a", "validation": "b", "test": "c"}
ENTRIES: list[tuple[str, Any]] = [
    ("name", "a"),
    (
        "task",
        {
            "files": FILES,
            "text": "t",
            "endings": ["d", "e"],
            "label": "l",
            "group": "g",
            "no_label_column": True,
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2, "near_duplicates": "report"},
            "seed": 3,
        },
    ),
    ("task", {"hub": {"id": "h", "config": "c", "revision": "r"} | FILES, "pair": "p"}),
    (
        "task",
        {
            "name": "license_role",
            "label_separator": ";",
            "on_bad_rows": "skip",
            "max_train": 7,
            "max_validation": 7,
            "max_test": 7,
        },
    ),
    (
        "model",
        {
            "name": "m",
            "num_hidden_layers": 2,
            "max_length": 9,
            "max_segments": 2,
            "precision": "auto",
        },
    ),
    ("metric", {"name": "f1_macro", "goal": "maximize"}),
    ("space", "c.yaml"),
    ("space", {"parameters": {}}),
    ("budget", {"trials": 40, "parallel": 2, "wall_clock": 60, "trial": 9.5, "limit": "time"}),
    (
        "fidelity",
        {
            "max_epochs": 4,
            "eta": 3,
            "first_rung": 1,
            "promotion": "asha",
            "evaluate": "epochs",
        },
    ),
    ("resources", {"cpu": 1, "gpu": 0.5}),
    ("resources", {"auto": True}),
    (
        "agent",
        {
            "proposer": "p",
            "starts": [{"x": 1, "y": True}],
            "weights": "w",
            "online_learning": False,
            "memory": True,
        },
    ),
    ("finalists", {"top": 1, "seeds": 1, "compare": [{"name": "x", "config": {"y": 0.5}}]}),
    ("decide", {"calibrate": True, "threshold": "fixed", "ensemble": True, "keep_model": True}),
    ("store", "s"),
    ("storage", "o"),
    ("track", ["mlflow"]),
    ("seed", 1),
    ("max_failures", 1),
]
"""Whole sections, and single keys; together they are all that a job may hold."""

WRONG = (None, True, 3, -1, 0.5, 10**30, float("nan"), float("inf"), "", "Auto", "é 1")
WRONG += ([], [1], ["a"], ["a", [None]], [{}], [[]], {}, {"zzz": 1}, {"str": 3}, {"0": [None]})
RAW = ("Input", "should", "a valid", "function-", "tuple", "dict", "lambda", ".str", ".int", "[<")
"""Words of pydantic's, which say nothing to the author of a file."""


def sections(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        value = [item for _, item in value]
    if isinstance(value, list | tuple):
        for item in value:
            yield from sections(item)


def paths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield at
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(item, (*at, key))


def broken(key: str, entry: Any) -> Iterator[dict[str, Any]]:
    """The entry with each of its values wrong in turn, left out or misspelt, and one too many."""
    job = LEAST | {key: entry}
    for *above, last in paths(entry, (key,)):
        for wrong in (*WRONG, "left out", "misspelt", "one too many"):
            copy = deepcopy(job)
            inner: Any = copy
            for step in above:
                inner = inner[step]
            if wrong == "left out":
                del inner[last]
            elif wrong == "misspelt" and isinstance(inner, dict):
                inner[f"{last}x"] = inner.pop(last)
            elif wrong == "one too many" and isinstance(inner, dict):
                inner["zzz"] = 3
            else:
                inner[last] = wrong
            yield copy


def test_the_entries_that_are_broken_here_have_every_key() -> None:
    given = defaultdict(set)
    for key, entry in ENTRIES:
        for section in sections(JobSpec.model_validate(LEAST | {key: entry})):
            given[type(section)] |= section.model_fields_set
    assert given == {model: set(model.model_fields) for model in given}


@pytest.mark.parametrize(("key", "entry"), ENTRIES)
def test_whatever_is_broken_is_told_once_at_its_place_in_plain_words(key: str, entry: Any) -> None:
    for job in broken(key, entry):
        text = json.dumps(job).replace("NaN", ".nan").replace("Infinity", ".inf")
        spec, mistakes = parse_job(parse_document(text, path="j.yaml"))
        assert spec is not None or mistakes
        assert all(item.line == 1 and item.column >= 1 for item in mistakes)
        assert [item for item in mistakes if any(word in item.message for word in RAW)] == []
        told = Counter(item.column for item in mistakes if " is missing: " not in item.message)
        assert all(num == 1 for num in told.values()), mistakes
