"""What a verb makes on a cluster comes here: whole, checked, or not at all."""

import base64
import hashlib
import io
import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from cli.studies import NAME, make_store
from cluster.head import Head, running_head
from cluster.test_submit import lexmove, until
from lexmove.app import asking, fetching
from lexmove.app.asking import ANSWER, Answer
from lexmove.app.fetching import PART, fetch, send
from lexmove.errors import ClusterError, UsageError

MODEL_BYTES = 20_000_000
"""Noise, which no packing makes smaller: a hundred lines of the log."""


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A cluster whose head has a study that no job of it ran, with a model of noise."""
    home = tmp_path_factory.mktemp("home")
    (home / "lexmove").mkdir()
    make_store(home / "lexmove")
    model = home / "lexmove" / "studies" / NAME / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(secrets.token_bytes(MODEL_BYTES))
    with running_head(token=secrets.token_hex(32), home=home) as found:
        yield found


def logs_of(head: Head) -> list[Path]:
    """What the head keeps of the jobs that read."""
    (option,) = (w for w in psutil.Process(head.pid).cmdline() if w.startswith("--temp-dir="))
    folder = Path(option.partition("=")[2])
    return list(folder.glob("session_*_*/logs/job-driver-lexmove-reader-*.log"))


@pytest.mark.slow
def test_a_report_comes_from_the_head(head: Head, tmp_path: Path) -> None:
    done = lexmove(head, tmp_path, "report", NAME)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{NAME}.report.html\n"
    assert f"wrote {NAME}.report.html (" in done.stderr
    page = (tmp_path / f"{NAME}.report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.report.html"]


@pytest.mark.slow
def test_an_export_comes_from_the_head_with_its_model(head: Head, tmp_path: Path) -> None:
    words = ("export", NAME, "--out", "best", "--without-data", "--format", "hydra")
    done = lexmove(head, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "best\n"
    assert "data/ was left out" in done.stderr
    assert "  best/run.sh  " in done.stderr
    best = tmp_path / "best"
    provenance = json.loads((best / "provenance.json").read_text())
    assert {"hydra.yaml", "run.sh", "model/model.safetensors"} < set(provenance["files"])
    for name, digest in provenance["files"].items():
        assert hashlib.sha256((best / name).read_bytes()).hexdigest() == digest
    assert (best / "run.sh").stat().st_mode & 0o111
    assert (best / "model" / "model.safetensors").stat().st_size == MODEL_BYTES
    until(lambda: all(path.stat().st_size < 1e6 for path in logs_of(head)), what="emptied logs")
    assert len(logs_of(head)) > 0

    again = lexmove(head, tmp_path, *words)
    assert again.returncode == 2
    assert "best is there already and is not empty" in again.stderr


@pytest.mark.slow
def test_what_goes_wrong_there_is_said_here(head: Head, tmp_path: Path) -> None:
    absent = lexmove(head, tmp_path, "report", "absent")
    assert absent.returncode == 2
    assert "no study 'absent'" in absent.stderr
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "kept").touch()
    for words, said in (
        (["report", NAME, "--out", "page"], "cannot write page"),
        (["export", NAME, "--out", "/proc/best"], "cannot write /proc/best"),
    ):
        done = lexmove(head, tmp_path, *words)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["page", "kept"]
    assert lexmove(head, tmp_path, "ls", "--json").returncode == 0


@pytest.mark.parametrize(
    ("token", "health", "said"),
    [
        ({}, "ok", "answers, with this token: 1 nodes, 2 CPUs, 0 GPUs"),
        ({"RAY_AUTH_TOKEN": "f" * 64}, "fail", "refuses this token"),
        ({"RAY_AUTH_TOKEN": "", "HOME": "/nonexistent"}, "fail", "asks for a token, and there is"),
    ],
)
def test_the_doctor_asks_it_with_the_token_that_is_here(
    head: Head, tmp_path: Path, token: dict[str, str], health: str, said: str
) -> None:
    done = lexmove(head, tmp_path, "doctor", "--json", **token)
    check = json.loads(done.stdout)["checks"][-1]
    assert (check["name"], check["health"]) == ("cluster", health)
    assert said in check["detail"]
    assert health == "ok" or check["fix"].startswith("set RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH)")


@pytest.fixture(autouse=True)
def _nothing_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's list, which is waited for, is none here."""
    monkeypatch.setattr(asking, "_SEEN_S", 0.0)


class Cluster:
    """Jobs whose log is what `send` wrote, with what may happen to it on its way."""

    url = "http://127.0.0.1:1"

    def __init__(self, log: str, *, is_over: bool = False) -> None:
        self._log = log
        self._is_over = is_over

    def submit(self, words: Sequence[str], **_: object) -> str:
        return "reader"

    def follow(self, job_id: str) -> Iterator[str]:
        yield from self._log.splitlines()

    def look(self, job_id: str) -> SimpleNamespace:
        return SimpleNamespace(status="FAILED", message="its node died")

    def log(self, job_id: str) -> str:
        return self._log[:200]

    def all(self) -> tuple[()]:
        return ()

    def stop(self, job_id: str) -> None: ...

    def wait(self, job_id: str, *, patience_s: float) -> None: ...

    def delete(self, job_id: str) -> None: ...


def sent(content: bytes, *, status: int = 0) -> str:
    def make(made: Path) -> Answer:
        made.write_bytes(content)
        return Answer(status=status, out=f"{made}\n", err="")

    log = io.StringIO()
    send(make, to=log)
    return log.getvalue()


def test_it_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    target, content = tmp_path / "page.html", secrets.token_bytes(700_000)
    log = sent(content)
    parts = [line for line in log.splitlines() if line.startswith(PART)]
    assert len(parts) == 4
    assert max(map(len, parts)) < 4 * 2**20
    assert fetch(Cluster(log), ["report"], target=target).out == f"{target}\n"
    assert target.read_bytes() == content

    target.write_text("older")
    lost, swapped = log.replace(parts[1], "", 1), log.replace(parts[1], parts[2], 1)
    changed = log.replace(parts[1], PART + base64.b64encode(b"other").decode(), 1)
    for broken in (lost, swapped, changed):
        with pytest.raises(ClusterError, match=r"is not what was sent there.*try again"):
            fetch(Cluster(broken), ["report"], target=target)
    with pytest.raises(ClusterError, match="did not answer"):
        fetch(Cluster(log.partition(ANSWER)[0]), ["report"], target=target)
    assert fetch(Cluster(sent(b"half", status=3)), ["report"], target=target).status == 3
    assert target.read_text() == "older"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_too_large_stays_there_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 2**20)
    monkeypatch.setenv("HOME", str(tmp_path))
    log = sent(b"x" * 3 * 2**20)
    assert PART not in log
    told = fetch(Cluster(log), ["export"], target=tmp_path / "best")
    assert told.status == UsageError.exit_code
    (kept,) = (tmp_path / "lexmove" / "exports").iterdir()
    assert "takes 3 MiB, and 1 MiB can be fetched" in told.err
    assert f"`ray rsync-down cluster.yaml {kept} .`" in told.err
    assert kept.stat().st_size == 3 * 2**20
