"""`kill -9` of the driver in mid-study, then `lexmove resume`: all of it real."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lexmove.app.stored import load
from lexmove.errors import StudyNotFoundError
from lexmove.study.study import Study
from lexmove.study.trial import Continued, Ended, Started, TrialStatus
from lexmove_process import begun

NUM_TRIALS = 5
"""Of the search: the two repetitions take the rest of the budget."""
RUNGS = (1, 2, 4)
"""Of the job below."""

JOB = """
name: killed
task: {name: license_role, max_train: 60, max_validation: 40, max_test: 40}
model: {name: minilm, num_hidden_layers: 1, max_length: 32}
space:
  parameters:
    learning_rate: {min: 1.0e-4, max: 5.0e-3, log: true, default: 1.0e-3}
    model.pooling: {values: [mean, cls]}
budget: {trials: 7, parallel: 2}
fidelity: {max_epochs: 4, eta: 2}
resources: auto
finalists: {top: 1, seeds: 1}
store: sqlite:///studies.db
storage: studies
"""


def stored(folder: Path) -> Study | None:
    if not (folder / "studies.db").exists():
        return None
    try:
        return load("killed", store=f"sqlite:///{folder}/studies.db").study
    except StudyNotFoundError:
        return None


def wait_for(folder: Path, driver: subprocess.Popen[str], *, num_ended: int) -> Study:
    """The study when `num_ended` segments have ended and another runs."""
    for _ in range(1200):
        study = stored(folder)
        if study is not None and study.running:
            ended = [event for event in study.events if isinstance(event, Ended)]
            if len(ended) >= num_ended:
                return study
        if driver.poll() is not None:
            pytest.fail(f"ended early: {driver.communicate()}")
        time.sleep(0.1)
    pytest.fail("the study made no progress in two minutes")


@pytest.mark.slow
@pytest.mark.timeout(900)  # five commands, two of which start Ray; a minute on an idle machine
def test_a_killed_driver_loses_nothing(tmp_path: Path):
    (tmp_path / "job.yaml").write_text(JOB)
    driver = begun(tmp_path, "tune", "job.yaml")
    wait_for(tmp_path, driver, num_ended=3)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    before = stored(tmp_path)

    resumed = begun(tmp_path, "resume", "killed")
    _, stderr = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, stderr
    assert "Traceback" not in stderr
    after = stored(tmp_path)

    assert after.events[: len(before.events)] == before.events, "nothing was lost or rewritten"
    assert len(after.trials) == NUM_TRIALS, "the budget is met exactly"
    assert all(
        trial.status in (TrialStatus.COMPLETED, TrialStatus.STOPPED) for trial in after.trials
    )
    for trial in before.running:
        later = [
            event
            for event in after.trials[trial.trial_id].events
            if event.seq >= len(before.events)
        ]
        assert isinstance(later[0], Ended)
        assert later[0].status is TrialStatus.PREEMPTED
        assert isinstance(later[1], Continued)
    for trial in after.trials:
        starts = [event for event in trial.events if isinstance(event, Started)]
        fidelities = [item.fidelity for item in trial.measurements]
        assert len(starts) == 1
        assert fidelities == [rung for rung in RUNGS if rung <= trial.fidelity], "each rung once"
    versions = {decision.policy_version for _, decision in after.decisions}
    assert len(versions) == 1, "the weights are the same before and after"

    again = begun(tmp_path, "resume", "killed")
    _, told = again.communicate(timeout=120)
    assert again.returncode == 0
    assert "nothing was left to do; --trials +N gives it more trials" in told
    assert stored(tmp_path).events == after.events, "resume is idempotent"

    best = begun(tmp_path, "best", "killed", "--json")
    out, _ = best.communicate(timeout=60)
    found = json.loads(out)
    # The winner is chosen by its repetition: the best of the search beside the default, or that.
    default = after.spec.space.default
    finalist = next(i for i in after.ranking if after.trials[i.trial_id].config != default)
    assert found["trial_id"] in {finalist.trial_id, 0}
    assert found["repeated"]["mean"] >= found["default"]["validation"]
    assert found["repeated"]["num_seeds"] == 1
    assert 0 <= found["test"] <= 1

    # Whether with Ray or without: what is extended is the study.
    extended = begun(tmp_path, "resume", "killed", "--trials", "+1", "--address", "in-process")
    _, stderr = extended.communicate(timeout=240)
    assert extended.returncode == 0, stderr
    assert len(stored(tmp_path).trials) == NUM_TRIALS + 1
