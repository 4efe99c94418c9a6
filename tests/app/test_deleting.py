"""Deleting a study: all that is its own goes, and nothing that is another's."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cli.studies import make_store
from lexmove.app.deleting import about_to_delete, delete
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StoreError, StudyNotFoundError, UsageError
from lexmove.study.heartbeat import Heartbeat


@pytest.fixture
def url(tmp_path: Path) -> str:
    return make_store(tmp_path)


@pytest.fixture
def study_dir(tmp_path: Path) -> StudyDir:
    """The folder of the study, with something in it."""
    made = StudyDir(tmp_path / "studies" / "clauses")
    made.create()
    (made.trial(0) / "epoch_2").mkdir(parents=True)
    (made.trial(0) / "epoch_2" / "weights").write_bytes(bytes(5000))
    return made


def add(url: str, name: str) -> None:
    """Another study in the store."""
    store = open_store(url)
    store.create(replace(store.load("clauses").spec, name=name))


def test_a_study_goes_with_its_folder_and_its_repetitions(url: str, study_dir: StudyDir) -> None:
    assert "clauses.repetitions.4" in open_store(url).names()
    kept = ("clauses-2", "clauses-2.repetitions.4", "clauses.repetitions.of-mine")
    for name in kept:
        add(url, name)
    doomed = about_to_delete("clauses", store=url)
    assert (doomed.place, len(doomed.study.trials)) == (str(study_dir.root), 4)
    assert doomed.size_bytes >= 5000
    assert "clauses" in open_store(url).names()
    delete("clauses", store=url)
    assert open_store(url).names() == kept
    assert not study_dir.root.exists()
    with pytest.raises(StudyNotFoundError, match="no study 'clauses'"):
        delete("clauses", store=url)


def test_a_study_whose_folder_is_gone_can_be_deleted(url: str, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "studies")
    assert about_to_delete("clauses", store=url).size_bytes == 0
    delete("clauses", store=url)
    assert open_store(url).names() == ()
    assert not (tmp_path / "studies").exists()


def test_a_study_that_runs_is_left_alone(url: str, study_dir: StudyDir) -> None:
    with study_dir.locked(), pytest.raises(UsageError, match="is being run by process"):
        delete("clauses", store=url)
    elsewhere = Heartbeat(runner="17 of node-7 pid:[1]", at_s=time.time())
    open_store(url).beat("clauses", elsewhere)
    with pytest.raises(UsageError, match="is being run by process 17 of node-7"):
        delete("clauses", store=url)
    assert len(open_store(url).load("clauses").trials) == 4
    assert (study_dir.trial(0) / "epoch_2" / "weights").exists()


def test_a_store_is_the_same_by_any_way_there(
    url: str, study_dir: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_dir.write_json("store", {"url": url})
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    (tmp_path / "link").symlink_to(tmp_path)
    by_link = f"sqlite:///{tmp_path}/link/studies.db"
    assert not about_to_delete("clauses", store=by_link).is_kept
    delete("clauses", store="sqlite:///../studies.db")
    assert not study_dir.root.exists()


def test_the_folder_of_another_stores_study_stays(url: str, study_dir: StudyDir) -> None:
    study_dir.write_json("store", {"url": "sqlite:////elsewhere/studies.db"})
    doomed = about_to_delete("clauses", store=url)
    assert (doomed.place, doomed.is_kept) == (str(study_dir.root), True)
    delete("clauses", store=url)
    assert open_store(url).names() == ()
    assert (study_dir.trial(0) / "epoch_2" / "weights").exists()


def test_a_folder_that_cannot_be_deleted_leaves_the_study_to_try_again(
    url: str, study_dir: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)  # whoever runs the tests may be root, and may all
        with pytest.raises(StoreError, match=r"cannot delete .*: Permission denied; delete"):
            delete("clauses", store=url)
    assert "clauses" in open_store(url).names()
    delete("clauses", store=url)
    assert not study_dir.root.exists()
