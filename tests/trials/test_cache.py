"""The cache of parsed tasks: damaged, unwritable or old, it is made again."""

import logging
from pathlib import Path

import numpy as np
import pytest

from lexmove.trials.tasks.cache import cached_splits, default_cache_dir
from lexmove.trials.tasks.examples import Examples, Splits


class Builder:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.num_calls = 0

    def __call__(self) -> Splits:
        self.num_calls += 1
        part = Examples(texts=("a", "b"), labels=np.array([0, 1]))
        return Splits(labels=("x", "y"), train=part, validation=part, test=part)


def test_what_was_built_is_kept(tmp_path):
    build = Builder()
    once, again = (cached_splits("key", tmp_path / "new", build) for _ in range(2))
    assert build.num_calls == 1
    assert again.labels == once.labels
    assert again.test.texts == once.test.texts
    assert again.test.labels.tolist() == once.test.labels.tolist()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key.parquet"]


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
