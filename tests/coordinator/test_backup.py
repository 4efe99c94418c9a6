"""The backup of a study: whatever the store had comes back, and no study ends of a bad backup."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.studies import make, stage_of
from lexmove.coordinator.backup import backed_up, backup_file, restore
from lexmove.coordinator.in_process import run_in_process
from lexmove.coordinator.store import MemoryStore, open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StoreError
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.starts import asked_for
from lexmove.study.study import Study
from lexmove.trials.simulated import SimulatedObjective

FIDELITY = FidelityPlan(maximum=4, eta=2)


def ignored(study: Study) -> None:
    """Nobody looks."""


def run_backed_up(
    root: Path, *, num_trials: int = 6, interval_s: float = 0.0
) -> tuple[Study, list]:
    """A study that has ended, and what was said of its backups."""
    coordinator, study_dir = make(root, num_trials=6, fidelity=FIDELITY)
    stage = stage_of(coordinator, study_dir, ignored)
    objective = SimulatedObjective(space=coordinator.study.spec.space, seed=1, max_fidelity=4)
    said: list[str] = []
    with backed_up(stage, said.append, interval_s=interval_s) as safe:
        run_in_process(safe, objective)
    return coordinator.study, said


@pytest.mark.parametrize("interval_s", [0.0, 3600.0])
@pytest.mark.parametrize("url", ["memory://", "sqlite:///{folder}/studies.db"])
def test_a_study_comes_back_as_it_was(tmp_path, url, interval_s):
    study, said = run_backed_up(tmp_path / "s", interval_s=interval_s)
    store = open_store(url.format(folder=tmp_path))
    restored = restore(store, StudyDir(tmp_path / "s"))
    assert restored == study
    assert store.load("s").events == study.events
    assert said == []


def test_a_study_without_a_backup_is_not_restored(tmp_path):
    assert restore(MemoryStore(), StudyDir(tmp_path / "s")) is None


def test_from_another_machine_the_remote_storage_has_it(tmp_path, monkeypatch, s3_server):
    monkeypatch.setenv("LEXMOVE_CACHE", str(tmp_path / "here"))
    uri = s3_server.uri(f"lex/{tmp_path.name}")
    coordinator, _ = make(tmp_path / "unused", num_trials=4, fidelity=FIDELITY)
    study_dir = StudyDir.at(uri, "s")
    study_dir.create()
    objective = SimulatedObjective(
        space=coordinator.study.spec.space, seed=1, max_fidelity=4, write_checkpoints=True
    )
    with backed_up(stage_of(coordinator, study_dir, ignored), pytest.fail) as safe:
        run_in_process(safe, objective)
    monkeypatch.setenv("LEXMOVE_CACHE", str(tmp_path / "there"))
    there = StudyDir.at(uri, "s")
    restored = restore(MemoryStore(), there)
    assert restored == coordinator.study
    checkpoints = [m.checkpoint for trial in restored.trials for m in trial.measurements]
    assert any(checkpoint and there.fetched(checkpoint).is_dir() for checkpoint in checkpoints)


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    study, _ = run_backed_up(tmp_path / "s")
    path = backup_file(StudyDir(tmp_path / "s"))
    path.write_text(path.read_text()[:-5])
    assert restore(MemoryStore(), StudyDir(tmp_path / "s")) == study.prefix(study.num_events - 1)


@pytest.mark.parametrize("content", ["", "no json\n", '{"name": "s"}\n', "[]\n"])
def test_a_damaged_backup_is_an_error(tmp_path, content):
    (tmp_path / "study.jsonl").write_text(content)
    with pytest.raises(StoreError, match="is damaged"):
        restore(MemoryStore(), StudyDir(tmp_path))


def test_a_store_is_given_what_it_lacks(tmp_path):
    study, _ = run_backed_up(tmp_path / "s")
    store = MemoryStore()
    store.create(study.spec)
    store.append("s", *study.events[:7])
    assert restore(store, StudyDir(tmp_path / "s")) == study
    assert restore(store, StudyDir(tmp_path / "s")) == study


def test_an_older_copy_of_the_store_gets_the_budget_and_the_starts_of_the_backup(tmp_path):
    study, _ = run_backed_up(tmp_path / "s")
    store = MemoryStore()
    store.create(replace(study.spec, num_trials=4))
    store.append("s", *study.events[:7])
    asked = asked_for(study.spec.space.default, by="you", after=6)
    bought = replace(study.spec, num_trials=9, starts=(asked,))
    lines = backup_file(StudyDir(tmp_path / "s")).read_text().split("\n")
    lines[0] = json.dumps(bought.to_json())
    backup_file(StudyDir(tmp_path / "s")).write_text("\n".join(lines))
    assert restore(store, StudyDir(tmp_path / "s")).spec == bought


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x1c"])
def test_what_unicode_calls_an_end_of_a_line_ends_none(tmp_path, end):
    coordinator, study_dir = make(tmp_path / "s", num_trials=2, fidelity=FIDELITY)
    with backed_up(stage_of(coordinator, study_dir, ignored), pytest.fail) as safe:
        work = coordinator.assign()
        coordinator.failed(work.trial_id, f"one{end}two")
        safe.on_change(coordinator.study)
    assert restore(MemoryStore(), study_dir) == coordinator.study


def test_what_comes_last_is_written_though_nothing_follows(tmp_path):
    """Both changes within an interval, and the study then waits for its trainings."""
    coordinator, study_dir = make(tmp_path / "s", num_trials=4, fidelity=FIDELITY)
    with backed_up(stage_of(coordinator, study_dir, ignored), pytest.fail, interval_s=0.2) as safe:
        for _ in range(2):
            coordinator.assign()
            safe.on_change(coordinator.study)
        until = time.monotonic() + 30
        while restore(MemoryStore(), study_dir) != coordinator.study and time.monotonic() < until:
            time.sleep(0.05)
        assert restore(MemoryStore(), study_dir) == coordinator.study


def test_a_store_with_another_study_of_that_name_is_left_alone(tmp_path):
    study, _ = run_backed_up(tmp_path / "s")
    store = MemoryStore()
    store.create(study.spec)
    store.append("s", replace(study.events[0], seed=-1))
    with pytest.raises(StoreError, match="another one"):
        restore(store, StudyDir(tmp_path / "s"))
    assert store.load("s").num_events == 1


def test_a_backup_that_cannot_be_written_is_said_once_and_made_up_for(tmp_path):
    coordinator, study_dir = make(tmp_path / "s", num_trials=8, fidelity=FIDELITY)
    objective = SimulatedObjective(space=coordinator.study.spec.space, seed=1, max_fidelity=4)
    path, said = backup_file(study_dir), []
    path.mkdir()  # in the way of the file

    def gone_after_a_while(study: Study) -> None:
        if study.num_events > 12 and path.is_dir():
            until = time.monotonic() + 30
            while not said and time.monotonic() < until:  # for the writer
                time.sleep(0.02)
            shutil.rmtree(path)

    stage = stage_of(coordinator, study_dir, gone_after_a_while)
    with backed_up(stage, said.append, interval_s=0.0) as safe:
        run_in_process(safe, objective)
    assert len(said) == 1
    assert said[0].startswith("the study goes on, but its backup cannot be written: ")
    assert restore(MemoryStore(), study_dir) == coordinator.study
