"""The cache of prepared tasks: one parquet file each, written aside, rebuilt when broken."""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from lexmove.trials.tasks.examples import Examples, Splits, coded_labels, named_labels

_SPLITS = ("train", "validation", "test")

_COLUMNS = ("text", "pair", "endings", "label", "split")

_HEAD = b"lexmove"
"""The key of what is said once for all rows, as JSON: class names, and `no_label_column`."""

_log = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """`LEXMOVE_CACHE` where it is set, else `~/.cache/lexmove`."""
    named = os.environ.get("LEXMOVE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "lexmove"


def cached_splits(key: str, cache_dir: Path | None, build: Callable[[], Splits]) -> Splits:
    """The splits kept under `key`, built where there are none that can be read.

    `key` must change whenever `build` would give something else. `skipped` is not kept. A cache
    that cannot be written costs time, never the result.
    """
    path = (cache_dir or default_cache_dir()) / f"{key}.parquet"
    kept = _read(path)
    if kept is not None:
        return kept
    splits = build()
    try:
        _write(path, splits)
    except OSError as error:
        _log.warning("cannot keep %s (%s): it is prepared anew each time", path, error)
    return splits


def _read(path: Path) -> Splits | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        head = json.loads((table.schema.metadata or {})[_HEAD])
        columns = {name: table[name].to_pylist() for name in _COLUMNS}
        names, no_label_column = tuple(head["labels"]), head["no_label_column"]
        kept = _examples(columns, names)
    except (OSError, KeyError, ValueError, pa.ArrowException):  # missing, cut short, old, or other
        return None
    train, validation, test = (
        kept.take(np.flatnonzero(np.array(columns["split"]) == part)) for part in _SPLITS
    )
    return Splits(
        labels=names,
        train=train,
        validation=validation,
        test=test,
        no_label_column=no_label_column,
    )


def _examples(columns: Mapping[str, list[Any]], names: Sequence[str]) -> Examples:
    """All rows of a table; a column without a value is one that the examples do not have."""
    named = [label if isinstance(label, str) else tuple(label) for label in columns["label"]]
    pairs, endings = columns["pair"], columns["endings"]
    return Examples(
        texts=tuple(columns["text"]),
        labels=coded_labels(named, names),
        pairs=None if None in pairs else tuple(pairs),
        endings=None if None in endings else tuple(map(tuple, endings)),
    )


def _write(path: Path, splits: Splits) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = (splits.train, splits.validation, splits.test)
    columns = {
        "text": [text for part in parts for text in part.texts],
        "pair": [pair for part in parts for pair in part.pairs or [None] * len(part)],
        "endings": [ends for part in parts for ends in part.endings or [None] * len(part)],
        "label": [name for part in parts for name in named_labels(part, splits.labels)],
        "split": [n for n, part in zip(_SPLITS, parts, strict=True) for _ in part.texts],
    }
    head = {"labels": splits.labels, "no_label_column": splits.no_label_column}
    table = pa.table(columns).replace_schema_metadata({_HEAD: json.dumps(head)})
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        pq.write_table(table, aside, compression="zstd")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
