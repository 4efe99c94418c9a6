"""Remote storage: a folder arrives whole or not at all, and errors say what to do."""

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pyarrow.fs import FileSelector

from coordinator.studies import SPACE, make, stage_of
from lexmove.coordinator.coordinator import kept_checkpoints
from lexmove.coordinator.lane import brought_here
from lexmove.coordinator.remote_storage import RemoteStorage, cache_of, shown
from lexmove.coordinator.run import run_stages
from lexmove.coordinator.stage import Work
from lexmove.coordinator.study_dir import StudyDir
from lexmove.coordinator.tune import Slots
from lexmove.errors import StorageError, UsageError
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Report
from lexmove.study.study import Study
from lexmove.study.trial import Segment, TrialStatus
from lexmove.trials.simulated import SimulatedObjective
from postgres_fixture import free_port
from s3_fixture import start_s3


@pytest.fixture(params=["file", "s3"])
def storage(tmp_path: Path, request: pytest.FixtureRequest) -> RemoteStorage:
    if request.param == "file":
        return RemoteStorage((tmp_path / "remote").as_uri())
    return RemoteStorage(request.getfixturevalue("s3_server").uri(f"lex/{tmp_path.name}"))


def listed(storage: RemoteStorage) -> list[str]:
    """All files in a storage, below its root."""
    file_system, root = storage._opened
    found = file_system.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
    return sorted(item.path.removeprefix(f"{root}/") for item in found if item.is_file)


def damage(storage: RemoteStorage, ending: str, content: bytes | None) -> None:
    """Writes something else into the one file with this ending, or deletes it."""
    file_system, root = storage._opened
    (name,) = (name for name in listed(storage) if name.endswith(ending))
    if content is None:
        file_system.delete_file(f"{root}/{name}")
    else:
        with file_system.open_output_stream(f"{root}/{name}") as stream:
            stream.write(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine" / "epoch_1"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights").write_bytes(b"\0" * 1000)
    (folder / "deep" / "state.json").write_text("{}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_comes_back_as_it_was(storage, folder, tmp_path):
    storage.push(folder, "s/trials/trial_0000/epoch_1")
    assert storage.has("s/trials/trial_0000/epoch_1")
    assert storage.names("s") == ("s/trials/trial_0000/epoch_1",)
    assert storage.fetch("s/trials/trial_0000/epoch_1", tmp_path / "yours")
    assert contents(tmp_path / "yours") == contents(folder)
    assert list(tmp_path.glob(".yours*")) == []


def test_a_second_push_replaces_the_first(storage, folder, tmp_path):
    storage.push(folder, "a")
    (folder / "weights").write_bytes(b"new")
    (folder / "deep" / "state.json").unlink()
    storage.push(folder, "a")
    assert storage.fetch("a", tmp_path / "yours")
    assert contents(tmp_path / "yours") == {"weights": b"new"}
    assert len(listed(storage)) == 2  # the manifest, one file of one version


def test_without_its_manifest_a_folder_is_not_there(storage, folder, tmp_path):
    storage.push(folder, "a")
    damage(storage, "manifest.json", None)
    assert not storage.has("a")
    assert not storage.fetch("a", tmp_path / "yours")
    assert not (tmp_path / "yours").exists()
    assert storage.names() == ()


def test_a_damaged_folder_is_refused_and_leaves_nothing(storage, folder, tmp_path):
    storage.push(folder, "a")
    damage(storage, "weights", b"short")
    with pytest.raises(StorageError, match="weights is not what was written"):
        storage.fetch("a", tmp_path / "yours")
    damage(storage, "weights", None)
    with pytest.raises(StorageError, match="weights is not what was written"):
        storage.fetch("a", tmp_path / "yours")
    assert not (tmp_path / "yours").exists()
    assert list(tmp_path.glob(".yours*")) == []


def test_a_broken_checkpoint_is_a_trial_from_its_start(storage, folder, monkeypatch, tmp_path):
    """As where two processes wrote it; it must not stop the study each time it goes on."""
    monkeypatch.setenv("LEXMOVE_CACHE", str(tmp_path / "cache"))
    place = StudyDir.at(storage.uri, "s")
    storage.push(folder, "s/epoch_1")
    segment = Segment(trial_id=0, config={}, seed=7, until=2, after=1, resume_from="s/epoch_1")
    assert Path(str(brought_here(segment, place).resume_from)).is_dir()
    storage.push(folder, "s/epoch_1")
    shutil.rmtree(tmp_path / "cache")
    damage(storage, "weights", b"short")
    assert brought_here(segment, place) == segment.from_start
    assert segment.from_start == Segment(trial_id=0, config={}, seed=7, until=2)


def test_who_pushes_and_fetches_at_once_leaves_and_gets_something_whole(storage, folder, tmp_path):
    """An overtaken worker and its successor, and whoever looks meanwhile."""
    storage.push(folder, "a")
    with ThreadPoolExecutor(6) as pool:
        pushes = [pool.submit(storage.push, folder, "a") for _ in range(24)]
        fetches = [
            pool.submit(storage.fetch, "a", tmp_path / f"yours{number % 4}") for number in range(24)
        ]
        for future in pushes:
            future.result()
        assert all(future.result() for future in fetches)
    for number in range(4):
        assert contents(tmp_path / f"yours{number}") == contents(folder)
    assert storage.fetch("a", tmp_path / "last")
    assert list(tmp_path.glob(".yours*")) == []


def test_of_a_folder_only_what_is_asked_for_is_brought(storage, folder, tmp_path):
    storage.push(folder, "a")
    assert storage.fetch("a", tmp_path / "yours", only=("deep/state.json", "no such file"))
    assert contents(tmp_path / "yours") == {"deep/state.json": b"{}"}


def test_pruning_leaves_the_rest_of_a_folder_whole(storage, folder, tmp_path):
    storage.push(folder, "a")
    storage.prune("a", ("weights", "no such file"))
    storage.prune("a", ("weights",))
    storage.prune("no such folder", ("weights",))
    assert storage.fetch("a", tmp_path / "yours")
    assert contents(tmp_path / "yours") == {"deep/state.json": b"{}"}
    assert not any(name.endswith("weights") for name in listed(storage))


def test_what_is_pushed_plain_lies_there_as_it_is(storage, folder, tmp_path):
    storage.push(folder, "a/model", plain=True)
    assert set(listed(storage)) == {
        "a/model/deep/state.json",
        "a/model/manifest.json",
        "a/model/weights",
    }
    assert storage.fetch("a/model", tmp_path / "yours")
    assert contents(tmp_path / "yours") == contents(folder)


def test_deleting_leaves_nothing_and_may_be_repeated(storage, folder):
    storage.push(folder, "a/b")
    storage.delete("a/b")
    storage.delete("a/b")
    assert listed(storage) == []


def test_a_storage_that_cannot_be_written_is_an_error_of_one_sentence(tmp_path, folder):
    (tmp_path / "remote").write_text("a file is in the way")
    with pytest.raises(
        StorageError,
        match=r"cannot write a/.* to storage file:///.*; name .*: a file is in the way",
    ):
        RemoteStorage((tmp_path / "remote").as_uri()).push(folder, "a")


def test_a_bucket_that_is_not_there_is_an_error_of_one_sentence(s3_server, folder):
    storage = RemoteStorage(s3_server.uri("nobucket/x"))
    with pytest.raises(StorageError, match=r"storage s3://nobucket/x: NO_SUCH_BUCKET; make the"):
        storage.push(folder, "a")
    assert not storage.has("a")


def test_a_server_that_is_away_is_asked_again(folder, monkeypatch, s3_server, tmp_path):
    with closing(start_s3()) as away:
        away.make_bucket("lex")
        storage = RemoteStorage(away.uri("lex/x"))
        storage.push(folder, "a")
        os.kill(away.process.pid, signal.SIGSTOP)
        threading.Timer(1.5, os.kill, (away.process.pid, signal.SIGCONT)).start()
        assert storage.fetch("a", tmp_path / "yours")
    assert contents(tmp_path / "yours") == contents(folder)


def test_a_server_that_is_gone_is_an_error_soon(folder, s3_server):
    storage = RemoteStorage(replace(s3_server, port=free_port()).uri("lex/x"))
    begun_s = time.monotonic()
    with pytest.raises(StorageError, match=r"storage s3://lex/x: .*; check that it can be reached"):
        storage.push(folder, "a")
    assert time.monotonic() - begun_s < 30, "six seconds on an idle machine"


def test_passwords_are_refused_and_never_shown():
    with pytest.raises(UsageError, match="holds a password") as caught:
        RemoteStorage("s3://me:secret@bucket/prefix")
    assert "secret" not in str(caught.value)
    assert shown("s3://me:sec/ret@bucket/a?sig=secret") == "s3://bucket/a"
    assert shown("abfs://container@account/a") == "abfs://container@account/a"
    assert shown("s3://me:secret@bucket/a?endpoint_override=h%3A1") == "s3://bucket/a"


def test_what_is_no_uri_is_refused():
    with pytest.raises(UsageError, match="write s3://BUCKET/PREFIX"):
        RemoteStorage("nowhere://bucket").names()


def test_each_uri_has_a_cache_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("LEXMOVE_CACHE", str(tmp_path))
    assert cache_of("s3://a/b") != cache_of("s3://a/c")
    assert cache_of("s3://a/b").is_relative_to(tmp_path)


class TellsItsPlace(SimulatedObjective):
    """Leaves where it works and what it goes on from, so that the test can look and kill."""

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        seen = Path(os.environ["SEEN_BY_TEST"]) / f"trial_{segment.trial_id}"
        with seen.open("a") as file:
            file.write(f"{os.getpid()} {segment.after} {trial_dir}\n")
        super().__call__(segment, trial_dir=trial_dir, report=report)


def private_cache(seen: Path, caches: Path) -> None:
    """What makes a worker a node of its own: another cache than any other worker's."""
    os.environ["SEEN_BY_TEST"] = str(seen)
    os.environ["LEXMOVE_CACHE"] = str(caches / str(os.getpid()))


@pytest.mark.slow
def test_workers_that_share_nothing_go_on_where_another_was_killed(
    tmp_path, monkeypatch, ray_session
):
    monkeypatch.setenv("LEXMOVE_CACHE", str(tmp_path / "head"))
    remote, seen, caches = tmp_path / "remote", tmp_path / "seen", tmp_path / "caches"
    seen.mkdir()
    study_dir = StudyDir.at(remote.as_uri(), "s")
    coordinator, _ = make(study_dir.root, num_trials=5, fidelity=FidelityPlan(maximum=4, eta=2))
    objective = TellsItsPlace(
        space=SPACE, seed=1, max_fidelity=4, epoch_s=0.3, write_checkpoints=True
    )
    killed: list[int] = []

    def kill_once(study: Study) -> None:
        running = study.with_status(TrialStatus.RUNNING)
        begun = [t for t in running if t.fidelity == 3 and t.until == 4]
        if begun and not killed:
            killed.append(begun[0].trial_id)
            lines = (seen / f"trial_{killed[0]}").read_text().splitlines()
            os.kill(int(lines[-1].split()[0]), signal.SIGKILL)

    work = Work(objective=objective, warm_up=partial(private_cache, seen, caches))
    stages = iter([stage_of(coordinator, study_dir, kill_once)])
    slots = Slots(parallel=2)
    run_stages(stages, {"s": work}, name="s", slots=slots, tune_dir=study_dir.tune)

    study = coordinator.study
    assert killed
    assert study.trials[killed[0]].num_lost_workers == 1
    lines = [line.split() for line in (seen / f"trial_{killed[0]}").read_text().splitlines()]
    assert lines[-1][1] == "3", "the epoch before the kill is not trained again"
    assert lines[-1][2] != lines[-2][2], "it goes on in another worker's cache"
    kept = kept_checkpoints(study, best=3)
    names = RemoteStorage(remote.as_uri()).names()
    assert {name for name in names if "/epoch_" in name} == set(kept)
    logs = {name for name in names if name.endswith("/kept/log.txt")}
    assert len(logs) == len(study.trials), "what a trial printed can be read on any node"
    assert all(not Path(name).is_absolute() for name in kept)
    left = [path for path in caches.rglob("epoch_*") if path.is_dir()]
    assert len(left) <= 1, "a worker hands over what it makes; the killed one may leave its last"
