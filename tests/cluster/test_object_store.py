"""A study whose checkpoints are in an object store: the machine that ran it goes, disk and all."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import transformers

from cluster.head import Head, running_head
from cluster.test_submit import NUM_TRIALS, jobs_of, lexmove, num_ended, stored, until, write_job
from lexmove.coordinator.remote_storage import RemoteStorage
from lexmove.study.trial import TrialStatus
from s3_fixture import S3Server

TOKEN = "a" * 64


def called(head: Head, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    result = lexmove(head, folder, *words)
    assert result.returncode == 0, f"{words}\n{result.stdout}\n{result.stderr}"
    return result


def backed_up_events(storage: RemoteStorage, name: str, to: Path) -> int:
    """How many events of a study its backup has."""
    if not storage.fetch(f"{name}/kept/study.jsonl", to):
        return 0
    return len((to / "study.jsonl").read_text().splitlines()) - 1


@pytest.mark.slow
@pytest.mark.timeout(600)  # two heads and a study; a minute on an idle machine
def test_another_machine_goes_on_with_all_that_was_found(
    tmp_path: Path, s3_server: S3Server
) -> None:
    uri = s3_server.uri(f"lex/{tmp_path.name}")
    storage = RemoteStorage(uri)
    folder = tmp_path / "client"
    folder.mkdir()
    write_job(folder, name="far", storage=uri)

    with running_head(token=TOKEN, home=tmp_path / "first") as head:
        told = called(head, folder, "submit", "job.yaml")
        assert "s3://lex/" in told.stderr
        until(lambda: num_ended(head, "far") >= 4, what="segments that ended")
        until(
            lambda: backed_up_events(storage, "far", tmp_path / "copy") >= 8, what="a backup of it"
        )
        before = stored(head, "far")
    # The head was killed, and its disk is gone: store, caches, the job's own files.
    shutil.rmtree(tmp_path / "first")

    with running_head(token=TOKEN, home=tmp_path / "second") as head:
        lost = lexmove(head, folder, "submit", "--resume", "far", "--wait")
        assert lost.returncode == 2, lost.stderr
        assert "no study 'far'" in lost.stderr
        called(head, folder, "submit", "--resume", "far", "--storage", uri, "--wait")
        study = stored(head, "far")
        assert study is not None
        _same_as_far_as_backed_up(before, study)
        assert len(study.trials) == NUM_TRIALS
        assert all(trial.status.is_final for trial in study.trials)
        assert not study.with_status(TrialStatus.FAILED)
        (job,) = [job for job in jobs_of(head).of_study("far") if job.is_over][-1:]
        assert f"trial {study.incumbent.trial_id} after" in job.metadata["incumbent"]
        assert job.metadata["search"] == f"{NUM_TRIALS} of {NUM_TRIALS} trials ended"
        assert job.metadata["repetitions"] == "2 of 2 trials ended"
        log = called(head, folder, "logs", "far", "0")
        assert "trial 0" in log.stdout
        best = called(head, folder, "best", "far")
        assert f"s3://lex/{tmp_path.name}/far/model" in best.stdout + best.stderr

    assert storage.fetch("far/model", tmp_path / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "model", trust_remote_code=True
    )
    assert model.config.num_labels == 3


def _same_as_far_as_backed_up(before: Any, after: Any) -> None:
    """All that was known when the machine went, but for the last few events."""
    kept = min(before.num_events, 8)
    assert after.events[:kept] == before.events[:kept]
