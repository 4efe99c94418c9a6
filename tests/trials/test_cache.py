"""The cache of parsed tasks: damaged, unwritable or old, it is made again."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexmove.trials.tasks.cache import cached_splits, default_cache_dir
from lexmove.trials.tasks.examples import Examples, Splits


class Builder:
    """Counts how often it is asked."""

    def __init__(self, **columns: tuple) -> None:
        self.num_calls = 0
        self.columns = columns

    def __call__(self) -> Splits:
        self.num_calls += 1
        part = Examples(texts=("a", "b"), labels=np.array([0, 1]), **self.columns)
        return Splits(labels=("x", "y"), train=part, validation=part, test=part)


def never() -> Splits:
    raise AssertionError("built, although it is kept")


def test_what_was_built_is_kept(tmp_path):
    build = Builder()
    once, again = (cached_splits("key", tmp_path / "new", build) for _ in range(2))
    assert build.num_calls == 1
    assert again.labels == once.labels
    assert again.test.texts == once.test.texts
    assert again.test.labels.tolist() == once.test.labels.tolist()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key.parquet"]


def test_what_is_said_of_the_whole_is_kept(tmp_path):
    part = Examples(texts=("a", "b"), labels=np.array([[0, 1, 0], [0, 0, 0]]))
    made = Splits(
        labels=("z", "y", "unused"), train=part, validation=part, test=part, no_label_column=True
    )
    cached_splits("key", tmp_path, lambda: made)
    kept = cached_splits("key", tmp_path, never)
    assert kept.labels == ("z", "y", "unused")
    assert kept.no_label_column
    for split in (kept.train, kept.validation, kept.test):
        assert split.labels.tolist() == [[0, 1, 0], [0, 0, 0]]
        assert split.pairs is None
        assert split.endings is None


def test_texts_of_which_none_has_a_label_are_kept(tmp_path):
    part = Examples(texts=("a", "b"), labels=np.zeros((2, 1), dtype=np.int64))
    made = Splits(labels=("x",), train=part, validation=part, test=part)
    cached_splits("key", tmp_path, lambda: made)
    assert cached_splits("key", tmp_path, never).test.labels.tolist() == [[0], [0]]


def test_second_texts_are_kept(tmp_path):
    build = Builder(pairs=("", "q"))
    cached_splits("key", tmp_path, build)
    kept = cached_splits("key", tmp_path, never)
    assert kept.validation.pairs == ("", "q")
    assert kept.validation.endings is None


def test_endings_are_kept(tmp_path):
    endings = (("one", "two"), ("three", ""))
    cached_splits("key", tmp_path, Builder(endings=endings))
    kept = cached_splits("key", tmp_path, never)
    assert kept.test.is_multiple_choice
    assert kept.test.endings == endings
    assert kept.test.pairs is None


def test_a_cache_of_an_older_kind_is_rebuilt(tmp_path):
    old = {"text": ["a"] * 3, "label": ["x"] * 3, "split": ["train", "validation", "test"]}
    pq.write_table(pa.table(old), tmp_path / "key.parquet")
    build = Builder()
    assert cached_splits("key", tmp_path, build).labels == ("x", "y")
    assert build.num_calls == 1


def test_a_cache_with_a_class_that_is_not_said_is_rebuilt(tmp_path):
    cached_splits("key", tmp_path, Builder())
    path = tmp_path / "key.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"lexmove": '{"labels": ["x"]}'}), path)
    build = Builder()
    cached_splits("key", tmp_path, build)
    assert build.num_calls == 1


@pytest.mark.parametrize("damage", [b"", b"PAR1 and then nothing", None])
def test_a_damaged_cache_is_rebuilt(tmp_path, damage):
    build = Builder()
    cached_splits("key", tmp_path, build)
    path = tmp_path / "key.parquet"
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    cached_splits("key", tmp_path, build)
    cached_splits("key", tmp_path, build)
    assert build.num_calls == 2


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        assert cached_splits("key", tmp_path / "file", Builder()).labels == ("x", "y")
    assert "prepared anew each time" in caplog.text


def test_the_environment_names_the_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LEXMOVE_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("LEXMOVE_CACHE")
    assert default_cache_dir() == Path.home() / ".cache" / "lexmove"
