"""`delete`, where a person is asked and where nobody can be; what goes: tests/app/test_deleting."""

import os
import pty
import signal
import time
from pathlib import Path

import pytest

from cli.conftest import Lexmove
from cli.studies import NAME, make_store
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove_process import begun


@pytest.fixture
def url(tmp_path: Path) -> str:
    return make_store(tmp_path)


def test_without_a_terminal_it_wants_to_be_told_so(lexmove: Lexmove, url: str) -> None:
    asked = lexmove("delete", NAME, "--store", url)
    assert asked.exit_code == 2
    assert "this deletes study clauses, 4 trials, in sqlite:///" in asked.stderr
    assert "--yes says that it is meant" in asked.stderr
    assert NAME in open_store(url).names()
    done = lexmove("delete", NAME, "--store", url, "--yes")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "deleted study clauses, 4 trials, in sqlite:///" in done.stderr
    assert open_store(url).names() == ()
    again = lexmove("delete", NAME, "--store", url, "--yes")
    assert (again.exit_code, "no study 'clauses'" in again.stderr) == (2, True)


def test_a_folder_that_stays_is_named(lexmove: Lexmove, url: str, tmp_path: Path) -> None:
    study_dir = StudyDir(tmp_path / "studies" / NAME)
    study_dir.write_json("store", {"url": "sqlite:////elsewhere/studies.db"})
    done = lexmove("delete", NAME, "--store", url, "--yes")
    assert f"{study_dir.root} stays: it is that of a study in another store" in done.stderr
    assert study_dir.root.exists()


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [(b"y\n", 0, b"deleted study"), (b"\n", 1, b"nothing was deleted"), (b"\x03", 130, b"")],
)
def test_on_a_terminal_it_asks(
    url: str,
    tmp_path: Path,
    environment: dict[str, str],
    answer: bytes,
    status: int,
    says: bytes,
) -> None:
    ours, theirs = pty.openpty()
    words = ("delete", NAME, "--store", url)
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    with begun(tmp_path, *words, environment=environment, **terminal) as process:
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 65536)
        if answer == b"\x03":
            while process.poll() is None:  # one that comes just before it reads is not heard
                process.send_signal(signal.SIGINT)  # this terminal controls nobody
                time.sleep(0.5)
        else:
            os.write(ours, answer)
        assert process.wait(timeout=60) == status
        said += os.read(ours, 65536)
    os.close(ours)
    assert says in said
    assert b"Traceback" not in said
    assert (NAME in open_store(url).names()) == (status != 0)
