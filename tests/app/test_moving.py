"""A project that was moved or copied: its studies have their own folders, and nobody else's."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.judged_study import resume, run_study, silent, url
from app.test_claiming import Leaving
from lexmove.app import running, stored
from lexmove.app.execution import Progress
from lexmove.app.exporting import export
from lexmove.app.preparing import task_of
from lexmove.app.stopping import log_of
from lexmove.coordinator.backup import backup_file
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import TaskError, UsageError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder that a project of a finished study was made in, and the one that it is in now."""
    before = tmp_path_factory.mktemp("moving") / "before"
    before.mkdir()
    assert run_study(before).state == "finished"
    return before, before.rename(before.with_name("kept"))


@pytest.fixture
def before(made: tuple[Path, Path]) -> Iterator[Path]:
    """Where the project was made: there is nothing, unless a test puts it back."""
    yield made[0]
    shutil.rmtree(made[0], ignore_errors=True)


@pytest.fixture
def project(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """Where the project is now."""
    return Path(shutil.copytree(made[1], tmp_path / "project"))


def written(folder: Path) -> dict[Path, int]:
    """When each file was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def more(folder: Path, progress: Progress = silent) -> stored.Outcome:
    where = {"store": url(folder), "address": "in-process"}
    return running.resume("s", **where, extra_trials=1, progress=progress)


def test_a_moved_project_is_read_where_it_is(
    before: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in (stored.load("s", store=url(project)), *stored.look_all(store=url(project))):
        assert (found.state, found.reference is None) == ("finished", False)
        assert found.judgement is not None
        assert found.judgement.model == str(project / "studies" / "s" / "model")
        assert stored.job_of(found.study).task.files.train == str(project / "rows.jsonl")
    (project / "studies" / "s" / "log.txt").touch()
    assert log_of("s", None, store=url(project)) == project / "studies" / "s" / "log.txt"
    monkeypatch.chdir(project)  # the store of this folder
    said: list[str] = []
    export("s", project / "out", say=said.append)
    assert said == []
    assert (project / "out" / "model").exists()
    assert resume(project).state == "finished"
    assert not before.exists()


def test_a_moved_study_goes_on_where_it_is_and_may_be_moved_again(
    before: Path, project: Path
) -> None:
    found = more(project)
    assert (len(found.study.trials), found.state) == (4, "finished")
    left = StudyDir(project / "studies" / "s").read_json("store")
    assert left == {"url": url(project)}
    assert not before.exists()
    again = project.rename(project.with_name("again"))
    found = stored.load("s", store=url(again))
    assert found.state == "finished"
    assert found.judgement is not None
    assert found.judgement.model == str(again / "studies" / "s" / "model")


def test_a_copy_that_goes_on_leaves_the_original_as_it_is(before: Path, project: Path) -> None:
    shutil.copytree(project, before)
    files = written(before / "studies")
    with pytest.raises(KeyboardInterrupt):
        more(project, Leaving(4))
    assert written(before / "studies") == files
    assert written(project / "studies").keys() > {
        project / path.relative_to(before) for path in files
    }
    for folder, num, state in ((before, 3, "finished"), (project, 4, "interrupted")):
        found = stored.load("s", store=url(folder))
        assert (len(found.study.trials), found.state) == (num, state)


def test_a_study_does_not_go_on_in_the_folder_of_another_stores(
    before: Path, project: Path
) -> None:
    """As with a store that was copied without its studies' folder."""
    shutil.copytree(project, before)
    shutil.rmtree(project / "studies")
    files = written(before / "studies")
    words = rf"is the folder of study 's' in another store, .*resume s --store sqlite:///{before}"
    with pytest.raises(UsageError, match=words):
        more(project)
    (project / "studies.db").unlink()
    with pytest.raises(UsageError, match=words):
        running.resume("s", store=url(project), storage=str(before / "studies"), progress=silent)
    assert open_store(url(project)).names() == ()
    assert written(before / "studies") == files


def test_a_study_whose_folder_is_nowhere_says_so_and_makes_none(
    before: Path, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    studies = (project / "studies").rename(project / "elsewhere")
    words = f"the folder of study 's', {before}/studies/s, is not there: move {before}/studies back"
    found = stored.load("s", store=url(project))
    assert found.state == "without its folder"
    assert words in caplog.text
    with pytest.raises(UsageError, match=words):
        more(project)
    assert not before.exists()
    where = {"store": url(project), "storage": str(studies), "progress": silent}
    found = running.resume("s", **where)
    assert (found.state, found.judgement is None) == ("finished", False)


def test_another_run_of_the_same_job_is_not_taken_for_the_study(
    before: Path, project: Path
) -> None:
    path = backup_file(StudyDir(project / "studies" / "s"))
    spec, first, *rest = path.read_text().split("\n")
    begun = json.loads(first)
    later = begun | {"at_s": begun["at_s"] + 1.0}
    path.write_text("\n".join([spec, json.dumps(later), *rest]))
    assert stored.load("s", store=url(project)).state == "without its folder"


def test_a_study_restored_from_a_moved_folder_is_recorded_there(
    before: Path, project: Path
) -> None:
    studies = (project / "studies").rename(project / "elsewhere")
    (project / "studies.db").unlink()
    where = {"store": url(project), "storage": str(studies), "progress": silent}
    for _ in range(2):
        assert running.resume("s", **where).state == "finished"
    assert stored.job_of(open_store(url(project)).load("s")).storage == str(studies)
    assert stored.load("s", store=url(project)).state == "finished"


def test_data_that_are_gone_stop_a_study_before_it_makes_anything(
    before: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "rows.jsonl").unlink()
    files = written(project / "studies")
    with pytest.raises(TaskError, match=rf"{before}/rows\.jsonl: no such file; if it was moved"):
        more(project)
    assert written(project / "studies") == files
    assert not before.exists()
    job = stored.job_of(stored.load("s", store=url(project)).study)
    monkeypatch.chdir(project)
    files = job.task.files.model_copy(update={"train": "rows.jsonl"})
    with pytest.raises(TaskError, match="paths are relative to where lexmove runs"):
        task_of(job.task.model_copy(update={"files": files}))


def test_what_the_repetitions_left_is_judged_where_it_is_now(before: Path, project: Path) -> None:
    """The store knows their checkpoints by the paths that they had before."""
    (project / "studies" / "s" / "judgement_3.json").unlink()
    found = resume(project)
    assert found.state == "finished"
    assert found.judgement is not None
    assert found.judgement.differences
    assert not before.exists()
