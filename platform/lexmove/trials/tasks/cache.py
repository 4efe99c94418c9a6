"""The cache of prepared tasks: one parquet file each, written aside, rebuilt when broken."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np

from lexmove.trials.tasks.examples import Examples, Splits, coded_labels, label_names, named_labels

_SPLITS = ("train", "validation", "test")

_log = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """`LEXMOVE_CACHE` where it is set, else `~/.cache/lexmove`."""
    named = os.environ.get("LEXMOVE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "lexmove"


def cached_splits(key: str, cache_dir: Path | None, build: Callable[[], Splits]) -> Splits:
    """The splits kept under `key`, built where there are none that can be read.

    `key` must change whenever `build` would give something else. A cache that cannot be written
    costs time, never the result.
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
        texts, labels, splits = (table[name].to_pylist() for name in ("text", "label", "split"))
    except (OSError, KeyError, pa.ArrowException):  # missing, cut short, or another file
        return None
    named = [label if isinstance(label, str) else tuple(label) for label in labels]
    names = label_names(named)
    kept = Examples(texts=tuple(texts), labels=coded_labels(named, names))
    train, validation, test = (
        kept.take(np.flatnonzero(np.array(splits) == part)) for part in _SPLITS
    )
    return Splits(labels=names, train=train, validation=validation, test=test)


def _write(path: Path, splits: Splits) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = (splits.train, splits.validation, splits.test)
    table = pa.table(
        {
            "text": [text for part in parts for text in part.texts],
            "label": [name for part in parts for name in named_labels(part, splits.labels)],
            "split": [n for n, part in zip(_SPLITS, parts, strict=True) for _ in part.texts],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        pq.write_table(table, aside, compression="zstd")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
