"""A real study whose store is a PostgreSQL server that is killed in the middle of it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lexmove.coordinator.store import open_store
from lexmove.errors import StudyNotFoundError
from lexmove.study.trial import TrialStatus
from lexmove_process import begun
from postgres_fixture import PostgresServer

JOB = """
name: shared
task: {name: license_role, max_train: 40, max_validation: 40, max_test: 40}
model: {name: minilm, num_hidden_layers: 1, max_length: 32}
space:
  parameters:
    learning_rate: {min: 1.0e-4, max: 5.0e-3, log: true, default: 1.0e-3}
    model.pooling: {values: [mean, cls]}
budget: {trials: 4, parallel: 1}
fidelity: {max_epochs: 1}
finalists: {top: 1, seeds: 1}
storage: studies
"""


def lexmove(
    folder: Path, store: str, password: str, *arguments: str, stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """The command as a team uses it: the password stands in the environment alone."""
    environment = os.environ | {"LEXMOVE_STORE": store, "PGPASSWORD": password}
    return begun(folder, *arguments, environment=environment, stderr=stderr, start_new_session=True)


def is_measured(url: str) -> bool:
    """Whether the study has begun and knows something."""
    try:
        return any(trial.measurements for trial in open_store(url).load("shared").trials)
    except StudyNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)  # four commands, one of which starts Ray
def test_a_study_outlives_a_restart_of_its_store(tmp_path, mortal: PostgresServer):
    url = mortal.url(mortal.new_user())
    store = url.replace(f":{mortal.password}@", "@")
    (tmp_path / "job.yaml").write_text(JOB)
    progress = tmp_path / "progress"
    with progress.open("w") as file:
        words = ("tune", "job.yaml")
        driver = lexmove(tmp_path, store, mortal.password, *words, stderr=file.fileno())
    try:
        while driver.poll() is None and not is_measured(url):
            time.sleep(0.1)
        mortal.kill()
        while driver.poll() is None and "waiting up to 60 s" not in progress.read_text():
            time.sleep(0.1)
        mortal.start()
        driver.communicate(timeout=400)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    told = progress.read_text()
    assert driver.returncode == 0, told
    assert "is there again after" in told
    study = open_store(url).load("shared")
    assert all(trial.status is TrialStatus.COMPLETED for trial in study.trials)
    seqs = [event.seq for event in study.events]
    assert seqs == list(range(study.num_events))
    readers = {
        words: lexmove(tmp_path, store, mortal.password, *words, "--json")
        for words in (("ls",), ("show", "shared"), ("best", "shared", "--store", store))
    }
    for words, reader in readers.items():
        said, errors = reader.communicate(timeout=100)
        assert reader.returncode == 0, (words, errors)
        assert "shared" in json.dumps(json.loads(said))
        told += said + errors
    assert mortal.password not in told + study.spec.job
