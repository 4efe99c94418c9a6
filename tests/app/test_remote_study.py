"""A study whose storage is an object store: run here, then looked at and gone on with elsewhere."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import transformers

from app.judged_study import SPACE, WORDS, silent
from lexmove.app import running, stored
from lexmove.app.inputs import bring_inputs, keep_inputs, with_inputs
from lexmove.app.stopping import log_of
from lexmove.coordinator.remote_storage import RemoteStorage
from lexmove.coordinator.stage import Work
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StorageError, StudyNotFoundError, UsageError
from lexmove.job.spec import JobSpec
from lexmove.space.loading import space_from_mapping
from lexmove.study.trial import Segment
from s3_fixture import S3Server, start_s3
from trials.tiny_models import folder_of


@dataclass(frozen=True)
class Finished:
    """A study that has ended, and the server that has its folder."""

    job: JobSpec
    store: str
    server: S3Server
    outcome: stored.Outcome


def settings(folder: Path, storage: str) -> JobSpec:
    """A job of three trials and two repetitions of the best and of the default."""
    rows = [
        {"text": f"the {WORDS[i % 2]} is {'due' if i % 3 else 'the'}", "label": WORDS[i % 2]}
        for i in range(60)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return JobSpec.model_validate(
        {
            "name": "far",
            "task": {"files": {"train": str(folder / "rows.jsonl")}},
            "model": {"name": folder_of("Bert", folder / "model"), "max_length": 8},
            "space": SPACE,
            "budget": {"trials": 7},
            "finalists": {"top": 1, "seeds": 2},
            "fidelity": {"max_epochs": 2, "evaluate": "epochs"},
            "storage": storage,
        }
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, s3_server) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("far")
    server = start_s3()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEXMOVE_CACHE", str(folder / "here"))
        server.make_bucket("lex")
        job, store = settings(folder, server.uri("lex/studies")), f"sqlite:///{folder}/studies.db"
        outcome = running.tune(
            job,
            space_from_mapping(job.space),
            store=store,
            address="in-process",
            progress=silent,
        )
        yield Finished(job, store, server, outcome)
    server.close()


@pytest.fixture(autouse=True)
def elsewhere(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has nothing of the study on its disk."""
    monkeypatch.setenv("LEXMOVE_CACHE", str(tmp_path / "there"))
    stored._answers.cache_clear()
    return tmp_path


def storage_of(finished: Finished) -> RemoteStorage:
    return RemoteStorage(finished.job.storage)


def test_all_that_was_found_is_seen_elsewhere(finished):
    found = stored.load("far", store=finished.store)
    assert found == finished.outcome
    assert found.judgement.winner is not None
    assert found.reference["test"] is not None


def test_what_was_read_while_the_study_ran_is_read_anew(finished):
    """On a machine that looked at it then: its copies are of that time."""
    study_dir = stored.study_dir_of(finished.job)
    study_dir.root.mkdir(parents=True)
    reference = {**finished.outcome.reference, "test": None}
    (study_dir.root / "reference.json").write_text(json.dumps(reference))
    assert stored.load("far", store=finished.store).reference["test"] is not None
    study_dir.log.write_text("the first line\nthe second\n")
    study_dir.keep(study_dir.log)
    study_dir.log.write_text("the first line\n")
    said = log_of("far", None, store=finished.store).read_text()
    assert said == "the first line\nthe second\n"


def test_the_model_lies_in_the_bucket_as_transformers_wants_it(finished, elsewhere):
    assert finished.outcome.judgement.model == "s3://lex/studies/far/model"
    assert storage_of(finished).fetch("far/model", elsewhere / "model")
    assert json.loads((elsewhere / "model" / "config.json").read_text())["architectures"]
    transformers.AutoModelForSequenceClassification.from_pretrained(
        elsewhere / "model", trust_remote_code=True
    )


def test_of_the_repetitions_only_what_they_say_is_kept(finished):
    file_system, root = storage_of(finished)._opened
    from pyarrow.fs import FileSelector

    listed = file_system.get_file_info(FileSelector(f"{root}/far", recursive=True))
    names = [item.path for item in listed if item.is_file and "/repetitions." in item.path]
    assert sum(name.endswith("logits.safetensors") for name in names) == 4
    assert not any(name.endswith("/model.safetensors") for name in names)


@pytest.mark.slow
def test_a_lost_judgement_is_made_anew_elsewhere(finished):
    name = stored.judgement_name(finished.outcome.study)
    storage = storage_of(finished)
    storage.delete(f"far/kept/{name}.json")
    assert stored.load("far", store=finished.store).judgement is None
    again = running.resume("far", store=finished.store, address="in-process", progress=silent)
    assert again.judgement.winner == finished.outcome.judgement.winner
    assert again.judgement.differences == finished.outcome.judgement.differences
    assert storage.has(f"far/kept/{name}.json")


def test_a_lost_store_is_restored_from_the_bucket(finished, elsewhere):
    store = f"sqlite:///{elsewhere}/new.db"
    with pytest.raises(StudyNotFoundError):
        running.resume("far", store=store, address="in-process", progress=silent)
    with pytest.raises(StudyNotFoundError, match=r"no backup of it in s3://lex/other"):
        running.resume(
            "far",
            store=store,
            storage=finished.server.uri("lex/other"),
            address="in-process",
            progress=silent,
        )
    found = running.resume(
        "far", store=store, storage=finished.job.storage, address="in-process", progress=silent
    )
    assert found.study == finished.outcome.study
    assert found.arms == finished.outcome.arms
    assert found.state == "finished"


def test_a_new_study_does_not_write_over_one_of_another_store(finished, elsewhere):
    job = finished.job
    with pytest.raises(UsageError, match=r"`lexmove resume far --storage s3://.*` restores it"):
        running.tune(
            job,
            space_from_mapping(job.space),
            store=f"sqlite:///{elsewhere}/new.db",
            address="in-process",
            progress=silent,
        )


def test_what_is_deleted_is_gone_from_the_bucket(finished):
    storage = storage_of(finished)
    other = StudyDir.at(finished.job.storage, "gone")
    other.create()
    (other.trial(0) / "epoch_1").mkdir(parents=True)
    (other.trial(0) / "epoch_1" / "weights").write_bytes(b"1")
    name = other.hand_over(other.trial(0) / "epoch_1")
    other.write_json("reference", {})
    assert storage.has(name)
    other.remove()
    assert not other.root.exists()
    assert not storage.has(name)
    assert [item for item in storage.names() if item.startswith("gone")] == []
    assert [item for item in storage.names() if item.startswith("far")] != []


def test_what_a_job_brought_along_is_found_on_every_node(finished, elsewhere, monkeypatch):
    unpacked = elsewhere / "unpacked"
    unpacked.mkdir()
    (unpacked / "data.csv").write_text("text,label\n")
    (unpacked / "job.json").write_text("{}")
    kept = keep_inputs(unpacked, finished.job, finished.job.storage)
    files = finished.job.task.files.model_copy(update={"train": str(kept.parent / "data.csv")})
    task = finished.job.task.model_copy(update={"files": files})
    job = finished.job.model_copy(update={"task": task})
    assert bring_inputs(job) == job, "here it is there already"

    monkeypatch.setenv("LEXMOVE_CACHE", str(elsewhere / "another"))
    moved = bring_inputs(job)
    path = Path(moved.task.files.train)
    assert path.read_text() == "text,label\n"
    assert path.is_relative_to(elsewhere / "another")

    looked: list[Path] = []
    segment = Segment(trial_id=0, config={}, seed=0, until=1)

    def objective(segment: Segment, *, trial_dir: Path, report: object) -> None:
        looked.append(path)
        assert path.exists()

    work = with_inputs(Work(objective=objective), moved)
    path.unlink()
    path.parent.joinpath("job.json").unlink()
    path.parent.rmdir()
    work.objective(segment, trial_dir=elsewhere, report=print)
    assert looked == [path]
    monkeypatch.setenv("LEXMOVE_CACHE", str(elsewhere / "a third"))
    with pytest.raises(StorageError, match="set LEXMOVE_CACHE to the same folder on all nodes"):
        work.objective(segment, trial_dir=elsewhere, report=print)
    storage_of(finished).delete(f"inputs/{path.parent.name}")
    with pytest.raises(StorageError, match="the job's files are gone"):
        bring_inputs(job)


def test_a_job_that_brought_nothing_is_left_as_it_is(finished):
    work = Work(objective=print)
    assert with_inputs(work, finished.job) is work
    assert bring_inputs(finished.job) == finished.job


def test_without_the_bucket_the_scores_are_seen_still(finished):
    """Last: it ends the server."""
    finished.server.close()
    found = stored.load("far", store=finished.store)
    assert found.study == finished.outcome.study
    assert found.judgement is None
    assert [arm.test for arm in found.arms] == [arm.test for arm in finished.outcome.arms]
