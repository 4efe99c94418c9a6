"""Running and resuming: what is refused before anything is written, and what counts as over."""

import errno
import fcntl
import json
import os
import subprocess
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cli.studies import make_store
from lexmove.app import running, stored
from lexmove.app.checking import check_words
from lexmove.app.enqueueing import enqueue
from lexmove.app.preparing import settled
from lexmove.app.stopping import stop_here
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import (
    ClusterError,
    InvalidConfigError,
    NoSuccessfulTrialError,
    StoreError,
    UsageError,
)
from lexmove.job.spec import JobSpec
from lexmove.space.domain import Float
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.heartbeat import Heartbeat
from lexmove.study.study import Study
from postgres_fixture import free_port

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="learning_rate", domain=Float(low=1e-5, high=1e-2, log=True)),
    )
)


def make_job(folder: Path, **fields: object) -> JobSpec:
    least = {
        "name": "s",
        "task": {"name": "license_role", "max_train": 60, "max_validation": 40, "max_test": 40},
        "model": {"name": "minilm", "num_hidden_layers": 1, "max_length": 32},
        "space": {"parameters": {"learning_rate": {"min": 1e-5, "max": 1e-2}}},
        "storage": str(folder / "studies"),
    }
    return JobSpec.model_validate({**least, **fields})


def silent(phase: str, study: Study | None) -> None:
    """Tells nothing."""


@pytest.mark.parametrize("asked", [{"gpu": 999.0}, {"cpu": 99999.0}])
def test_a_trial_that_this_machine_can_never_run_is_refused(asked: dict, tmp_path: Path):
    job, url = make_job(tmp_path, resources=asked), f"sqlite:///{tmp_path}/studies.db"
    with pytest.raises(UsageError, match="lower `resources` in the job"):
        running.tune(job, SPACE, store=url, progress=silent)
    assert not list(tmp_path.iterdir())


def test_a_new_study_does_not_take_the_reference_of_an_older_one(tmp_path: Path):
    def leave_at_the_first_trial(phase: str, study: Study | None) -> None:
        if phase == "trials":
            raise KeyboardInterrupt

    old = {"name": "of another task", "validation": 0.1, "test": 0.1}
    study_dir = StudyDir(tmp_path / "studies" / "s")
    study_dir.create()
    study_dir.write_json("reference", old)
    with pytest.raises(KeyboardInterrupt):
        running.tune(
            make_job(tmp_path),
            SPACE,
            store=f"sqlite:///{tmp_path}/studies.db",
            address="in-process",
            progress=leave_at_the_first_trial,
        )
    assert study_dir.read_json("reference")["name"] != old["name"]


def test_drivers_of_one_supervisor_share_the_wall_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    job, url = make_job(tmp_path, budget={"wall_clock": "1h"}), f"sqlite:///{tmp_path}/studies.db"
    monkeypatch.setenv(running.BEGAN, str(time.time() - 7200))
    with pytest.raises(NoSuccessfulTrialError, match="none of its 0 trials"):
        running.tune(job, SPACE, store=url, address="in-process", progress=silent)
    # The agent weighs gains against this time.
    assert open_store(url).load("s").spec.wall_clock_s == 3600.0


class Leaping:
    """A search whose clock leaps over its hour once so many trials have ended.

    However slow the machine is. `phases` are what the progress was told.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, until: int) -> None:
        self.phases: list[str] = []
        self._until, self._ahead_s = until, 0.0
        clocked = partial(running.Coordinator, clock=lambda: time.time() + self._ahead_s)
        monkeypatch.setattr(running, "Coordinator", clocked)

    def once_more(self, *, until: int) -> None:
        self._until, self._ahead_s = until, 0.0

    def note(self, phase: str, study: Study | None) -> None:
        self.phases.append(phase)
        if phase == "trials" and study is not None:
            num_ended = sum(trial.status.is_final for trial in study.trials)
            self._ahead_s = 2 * 3600.0 * (num_ended >= self._until)


def test_a_search_by_the_clock_that_repeats_nothing_is_finished_until_more_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    leaping = Leaping(monkeypatch, until=1)
    job = make_job(
        tmp_path, budget={"wall_clock": "1h"}, fidelity={"max_epochs": 1}, finalists={"top": 0}
    )
    url = f"sqlite:///{tmp_path}/studies.db"
    here = {"store": url, "address": "in-process"}
    found = running.tune(job, SPACE, **here, progress=leaping.note)
    assert (len(found.study.trials), found.state) == (1, "finished")
    leaping.phases.clear()
    assert running.resume("s", **here, progress=leaping.note).state == "finished"
    assert "trials" not in leaping.phases
    config = enqueue("s", {"learning_rate": "0.002"}, store=url).config
    assert stored.load("s", store=url).state == "interrupted"
    leaping.once_more(until=2)
    found = running.resume("s", **here, progress=leaping.note)
    assert [trial.config for trial in found.study.trials[1:]] == [config]
    assert found.state == stored.load("s", store=url).state == "finished"


@pytest.mark.slow  # half a minute on a busy machine
def test_a_search_that_its_clock_has_ended_is_over_until_more_is_bought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    leaping = Leaping(monkeypatch, until=2)

    def leave_at_a_repetition(phase: str, study: Study | None) -> None:
        leaping.note(phase, study)
        if phase == "repetitions":
            raise KeyboardInterrupt

    job = make_job(
        tmp_path,
        budget={"wall_clock": "1h"},
        fidelity={"max_epochs": 1},
        finalists={"top": 1, "seeds": 1},
    )
    url = f"sqlite:///{tmp_path}/studies.db"
    here = {"store": url, "address": "in-process"}
    with pytest.raises(KeyboardInterrupt):
        running.tune(job, SPACE, **here, progress=leave_at_a_repetition)
    assert len(open_store(url).load("s").trials) == 2
    leaping.phases.clear()
    study = running.resume("s", **here, progress=leaping.note).study
    assert len(study.trials) == 2
    assert "repetitions" in leaping.phases
    assert "trials" not in leaping.phases
    leaping.phases.clear()
    running.resume("s", **here, progress=leaping.note)
    assert leaping.phases == ["nothing was left to do; --trials +N gives it more trials"]
    leaping.once_more(until=3)
    more = running.resume("s", **here, extra_trials=1, progress=leaping.note)
    assert len(more.study.trials) == 3


def test_a_study_that_was_too_small_to_repeat_anything_repeats_once_it_is_not(tmp_path: Path):
    job = make_job(tmp_path, budget={"trials": 4}, fidelity={"max_epochs": 1})
    here = {"store": f"sqlite:///{tmp_path}/studies.db", "address": "in-process"}
    found = running.tune(job, SPACE, **here, progress=silent)
    assert (len(found.study.trials), found.state, found.arms) == (4, "finished", ())
    found = running.resume("s", **here, extra_trials=2, progress=silent)
    assert (len(found.study.trials), found.state) == (6, "finished")
    assert [arm.name for arm in found.arms][-1] == "default"
    assert found.judgement is not None


def test_more_trials_for_a_study_that_is_being_run_change_nothing(tmp_path: Path):
    url = make_store(tmp_path)
    study_dir = StudyDir(tmp_path / "studies" / "clauses")
    with study_dir.locked(), pytest.raises(UsageError, match="is being run by process"):
        running.resume("clauses", store=url, extra_trials=8, progress=silent)
    assert open_store(url).load("clauses").spec.num_trials == 6


def test_a_process_of_another_machine_is_not_stopped_by_its_number(tmp_path: Path):
    """A folder that several machines share: the same number is another process here."""
    url, study_dir = make_store(tmp_path), StudyDir(tmp_path / "studies" / "clauses")
    with study_dir.locked(), subprocess.Popen(["sleep", "60"]) as bystander:
        (study_dir.root / "lock").write_text(f"{bystander.pid} of elsewhere pid:[1]")
        with pytest.raises(UsageError, match=rf"by process {bystander.pid} of elsewhere"):
            stop_here("clauses", store=url)
        assert bystander.poll() is None
        bystander.kill()


def test_a_study_that_runs_elsewhere_is_shown_so_and_left_alone(tmp_path: Path):
    """As the store knows; that a real process is waited for: tests/coordinator/test_heartbeats."""
    url = make_store(tmp_path)
    store = open_store(url)
    assert stored.load("clauses", store=url).state == "interrupted"
    store.beat("clauses", Heartbeat(runner="17 of node-7 pid:[4026531836]", at_s=time.time()))
    assert {read("clauses", store=url).state for read in (stored.load, stored.look)} == {"running"}
    with pytest.raises(UsageError, match="run on another machine, by process 17 of node-7: run"):
        stop_here("clauses", store=url)
    before = store.load("clauses").spec
    done = enqueue("clauses", {"learning_rate": "3e-4"}, store=url)
    assert done.runner == "17 of node-7"
    assert open_store(url).load("clauses").spec == before
    assert [start.config for start in store.requests("clauses")] == [done.config]


def test_a_folder_without_locks_is_worked_in_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(*_: object) -> None:  # as Lustre does, mounted without `-o flock`
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    study_dir = StudyDir(tmp_path)
    with study_dir.locked():
        assert "run this study once at a time" in caplog.text
        assert not study_dir.is_locked()


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        (
            {"agent": {"starts": [{"learning_rat": 1e-4}]}},
            r"agent\.starts\[0\]: the space has no hyperp",
        ),
        (
            {"finalists": {"compare": [{"name": "paper", "config": {"learning_rate": 9.0}}]}},
            "finalists.compare 'paper': learning_rate = 9.0 is not possible: it is a number in",
        ),
    ],
)
def test_a_config_that_the_space_does_not_hold_is_named_by_its_place(
    fields: dict, where: str, tmp_path: Path
):
    with pytest.raises(InvalidConfigError, match=where):
        check_words(make_job(tmp_path, budget={"trials": 24}, **fields), SPACE)


def test_a_resume_that_finds_no_cluster_buys_no_trials(tmp_path: Path):
    url = make_store(tmp_path)
    with pytest.raises(ClusterError):
        running.resume(
            "clauses",
            store=url,
            extra_trials=8,
            address=f"127.0.0.1:{free_port()}",
            progress=silent,
        )
    assert open_store(url).load("clauses").spec.num_trials == 6


def test_the_folder_of_another_stores_study_is_not_written_over(tmp_path: Path):
    held = make_store(tmp_path)
    job, url = make_job(tmp_path, name="clauses"), f"sqlite:///{tmp_path}/other.db"
    study_dir = stored.study_dir_of(settled(job))
    study_dir.write_json("store", {"url": held})
    with pytest.raises(UsageError, match="belongs to study 'clauses' of sqlite:") as caught:
        running.tune(job, SPACE, store=url, address="in-process", progress=silent)
    assert f"lexmove resume clauses --store {held}" in str(caught.value)
    assert open_store(url).names() == ()

    def leave_at_the_first_trial(phase: str, study: Study | None) -> None:
        if phase == "trials":
            raise KeyboardInterrupt

    (tmp_path / "studies.db").unlink()  # nobody can go on with it
    with pytest.raises(KeyboardInterrupt):
        running.tune(job, SPACE, store=url, address="in-process", progress=leave_at_the_first_trial)
    assert study_dir.read_json("store") == {"url": url}


def test_a_study_is_over_when_its_repetitions_are(tmp_path: Path):
    store = open_store(make_store(tmp_path))
    study = store.load("clauses")
    job, repetitions = stored.job_of(study), stored.repetitions_of(store, study)
    assert not stored.is_over(study, repetitions, job, is_judged=True), (
        "three of its trials are paused"
    )
    searched = repetitions  # all of its trials have ended, its budget is used up
    assert stored.is_over(searched, repetitions, job, is_judged=True)
    assert not stored.is_over(searched, repetitions, job, is_judged=False)
    half = repetitions.prefix(repetitions.num_events // 2)
    assert not stored.is_over(searched, half, job, is_judged=True)
    assert not stored.is_over(searched, None, job, is_judged=False)
    assert stored.is_over(searched, None, None, is_judged=False)
    # By the clock: all trials have ended before the budget was used up, and were repeated.
    early = replace(searched, spec=replace(searched.spec, num_trials=99))
    assert stored.is_over(early, repetitions, job, is_judged=True)
    assert not stored.is_over(early, None, job, is_judged=False)


def test_a_study_that_goes_on_is_repeated_anew(tmp_path: Path):
    store = open_store(make_store(tmp_path))
    study = store.load("clauses")
    before = study.prefix(study.trials[3].started.seq)
    assert before.spec.num_trials == study.spec.num_trials
    assert stored.repetitions_name(before) != stored.repetitions_name(study)


def test_a_settled_job_means_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("text,label\n")
    Path("model").mkdir()
    Path("minilm").mkdir()
    job = make_job(tmp_path, task={"files": {"train": "rows.csv"}}, model={"name": "model"})
    found = settled(job)
    assert found.task.files.train == str(tmp_path / "rows.csv")
    assert found.model.name == str(tmp_path / "model")
    for name in ("minilm", "owner/model"):
        other = make_job(tmp_path, model={"name": name})
        assert settled(other).model.name == name


def test_a_settled_job_keeps_no_password(tmp_path: Path):
    job = make_job(tmp_path, store="postgresql+psycopg://me:se@cret@host/studies")
    text = json.dumps(settled(job).model_dump())
    assert "cret" not in text
    assert "me:…@host/studies" in json.loads(text)["store"]


def test_a_study_dir_that_cannot_be_written_says_so(tmp_path: Path):
    study_dir = StudyDir(tmp_path)
    (tmp_path / "lock").mkdir()
    with pytest.raises(StoreError, match="cannot write"), study_dir.locked():
        pass
    (tmp_path / "reference.json").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        study_dir.write_json("reference", {})
