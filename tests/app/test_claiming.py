"""The folder of a new study: an earlier one of its name is neither mixed with it nor lost."""

import shutil
from pathlib import Path

import pytest

from app.test_running import SPACE, make_job
from lexmove.app import running, stored
from lexmove.app.preparing import settled
from lexmove.app.restoring import restore_study
from lexmove.coordinator.backup import backup_file
from lexmove.coordinator.store import open_store
from lexmove.errors import StoreError, UsageError
from lexmove.job.spec import JobSpec
from lexmove.study.study import Study


class Leaving:
    """Interrupts a study once so many trials have begun; 0: once it is created, before any."""

    def __init__(self, num_trials: int) -> None:
        self.num_trials = num_trials
        self.said: list[str] = []

    def __call__(self, phase: str, study: Study | None) -> None:
        self.said.append(phase)
        num_begun = len(study.trials) if phase == "trials" and study is not None else 0
        is_created = phase == "scoring the reference" and not self.num_trials
        if num_begun > self.num_trials - 1 >= 0 or is_created:
            raise KeyboardInterrupt


def interrupted(job: JobSpec, url: str, *, after: int) -> Leaving:
    leaving = Leaving(after)
    with pytest.raises(KeyboardInterrupt):
        running.tune(job, SPACE, store=url, address="in-process", progress=leaving)
    return leaving


@pytest.fixture
def job(tmp_path: Path) -> JobSpec:
    """A job whose first study was interrupted at its second trial, and whose store is gone."""
    job, url = make_job(tmp_path), f"sqlite:///{tmp_path}/studies.db"
    interrupted(job, url, after=2)
    assert open_store(url).load("s").num_events
    (tmp_path / "studies.db").unlink()
    return job


def test_an_earlier_study_whose_store_is_gone_is_set_aside(job: JobSpec, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    said = interrupted(job, url, after=0).said
    aside = tmp_path / "studies" / "s.earlier"
    assert f"an earlier study 's', which is not in this store, is now in {aside}" in said
    assert not restore_study("s", store=url, storage=str(tmp_path / "studies"))
    assert open_store(url).load("s").num_events == 0, "none of the earlier one's trials"

    # The earlier one is not lost: below another storage it is found by its name.
    (tmp_path / "old").mkdir()
    aside.rename(tmp_path / "old" / "s")
    other = f"sqlite:///{tmp_path}/other.db"
    assert restore_study("s", store=other, storage=str(tmp_path / "old"))
    assert open_store(other).load("s").num_events


@pytest.mark.slow
def test_several_earlier_ones_are_kept(job: JobSpec, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    interrupted(job, url, after=2)
    (tmp_path / "studies.db").unlink()
    interrupted(job, url, after=2)
    folders = sorted(path.name for path in (tmp_path / "studies").iterdir())
    assert folders == ["s", "s.earlier", "s.earlier2"]


def test_a_folder_in_which_somebody_works_is_left_alone(job: JobSpec, tmp_path: Path) -> None:
    study_dir = stored.study_dir_of(settled(job))
    url = f"sqlite:///{tmp_path}/studies.db"
    with study_dir.locked(), pytest.raises(UsageError, match="another process writes"):
        running.tune(job, SPACE, store=url, address="in-process", progress=Leaving(0))
    assert backup_file(study_dir).exists()
    assert open_store(url).names() == ()


def test_a_backup_of_another_study_is_not_restored(job: JobSpec, tmp_path: Path) -> None:
    """As with the backup of a job that had another seed, copied to this one's place."""
    url = f"sqlite:///{tmp_path}/studies.db"
    study_dir = stored.study_dir_of(settled(job))
    earlier = backup_file(study_dir).read_bytes()
    shutil.rmtree(study_dir.root)
    interrupted(make_job(tmp_path, seed=7), url, after=0)
    backup_file(study_dir).write_bytes(earlier)
    assert not restore_study("s", store=url, storage=str(tmp_path / "studies"))
    assert open_store(url).load("s").num_events == 0


def test_a_damaged_backup_stops_nobody_whose_store_is_whole(tmp_path: Path) -> None:
    job, url = make_job(tmp_path), f"sqlite:///{tmp_path}/studies.db"
    interrupted(job, url, after=2)
    path = backup_file(stored.study_dir_of(settled(job)))
    path.write_bytes(path.read_bytes() + b"\0\0\0\0\n")  # as after a power cut
    storage = str(tmp_path / "studies")
    assert not restore_study("s", store=url, storage=storage)
    (tmp_path / "studies.db").unlink()
    with pytest.raises(StoreError, match="is damaged"):
        restore_study("s", store=url, storage=storage)
