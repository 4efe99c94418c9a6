"""Stores that cannot be read or written: one sentence each, and nothing half-made."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coordinator.histories import spec
from coordinator.optuna_files import EVENTS, assert_sentence, fill, store_url
from lexmove.coordinator.store import open_store
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import StoreError, StudyNotFoundError, UsageError


@contextmanager
def unprivileged() -> Iterator[None]:
    """Gives up root's right to write everywhere; nothing to give up for any other user."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may look into, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_read_only_store_can_be_read_and_says_why_not_written(open_folder, kind):
    url = store_url(kind, open_folder)
    fill(url, EVENTS[:9])
    for path in open_folder.iterdir():
        path.chmod(0o444)
    open_folder.chmod(0o555)
    with unprivileged():
        store = open_store(url)
        assert store.names() == ("contracts",)
        assert store.load("contracts").num_events == 9
        with pytest.raises(StoreError, match=r"cannot write study 'contracts' to .*; ") as caught:
            store.append("contracts", EVENTS[9])
        assert_sentence(caught.value)
        with pytest.raises(StoreError, match=r"cannot create study 'new' in .*; ") as caught:
            open_store(store_url(kind, open_folder / "below")).create(spec("new"))
        assert_sentence(caught.value)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_file_that_is_something_else_is_left_alone(tmp_path, kind):
    url = store_url(kind, tmp_path)
    path = tmp_path / ("studies.db" if kind == "sqlite" else "studies.log")
    path.write_text("Dear diary, " * 100)
    for act in (
        open_store(url).names,
        lambda: open_store(url).load("contracts"),
        lambda: open_store(url).create(spec()),
        lambda: open_store(url).append("contracts", EVENTS[0]),
    ):
        with pytest.raises(StoreError, match=r"not a (database|journal); choose another") as caught:
            act()
        assert_sentence(caught.value)
    assert path.read_text() == "Dear diary, " * 100


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "studies").write_text("")
    for kind in ("sqlite", "journal"):
        with pytest.raises(StoreError, match=r"cannot create .*folder") as caught:
            open_store(store_url(kind, tmp_path / "studies")).create(spec())
        assert_sentence(caught.value)


def test_reading_makes_no_file(url, tmp_path):
    store = open_store(url)
    assert store.names() == ()
    is_server = url.startswith("postgres")
    why = "there is none in it yet" if is_server else "does not exist: check the folder you are in"
    with pytest.raises(StudyNotFoundError, match=f"no study 'x'.* {why}"):
        store.load("x")
    with pytest.raises(StudyNotFoundError):
        store.append("x", EVENTS[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqllite:///studies.db", "did you mean 'sqlite'"),
        ("mysql://host/studies", "known: sqlite"),
        ("studies.db", "is no store's URL: write sqlite:///studies.db"),
        ("", "is no store's URL"),
        ("sqlite://studies.db", "names no file: write sqlite:///NAME"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "memory:// for none"),
        ("sqlite:///a.db?mode=ro", "names no file"),
        ("journal://studies.log", "names no file: write journal:///NAME"),
        ("postgresql://", "is no store's URL"),
        ("postgres://me:se@cret@host/studies", "'postgres://me:…@host/studies' is no store's URL"),
    ],
)
def test_a_url_of_nothing(url, message):
    with pytest.raises(UsageError, match=message):
        open_store(url)


def test_paths_are_taken_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate_store("sqlite:///a.db").path == tmp_path / "a.db"
    assert locate_store("journal:///b/c.log").path == tmp_path / "b" / "c.log"
    assert locate_store("c.log").path == tmp_path / "c.log"
    assert locate_store(f"sqlite:///{tmp_path}/d.db").path == tmp_path / "d.db"


def test_a_path_with_odd_characters(tmp_path):
    url = f"sqlite:///{tmp_path}/söme {{odd}} 100% #1/studies.db"
    assert fill(url, EVENTS[:3]).num_events == open_store(url).load("contracts").num_events == 3
