"""Submitted studies on a real cluster: submit, watch, logs, stop, kill, resume, exit statuses."""

import contextlib
import json
import re
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from architecture.readme_commands import shown
from cluster.head import Head, running_head
from cluster.submitted import LONG_S, NUM_TRIALS, calling, jobs_of, lexmove, write_job
from lexmove.app.stored import load
from lexmove.cluster.dashboard import find_dashboard
from lexmove.cluster.jobs import Jobs
from lexmove.errors import StudyNotFoundError
from lexmove.study.study import Study
from lexmove.study.trial import Ended, Started
from lexmove_process import begun


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of whoever starts the heads of this module."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def head(home: Path) -> Iterator[Head]:
    """The cluster of all tests here; the first of them has ended an earlier one at that home."""
    with running_head(token=secrets.token_hex(32), home=home) as found:
        yield found


def there(command: str) -> list[str]:
    """The words of a command that the README shows with the address that a call gets anyway."""
    return shown(f"{command} --address $RAY_API_SERVER_ADDRESS")[:-2]


@pytest.fixture
def jobs(head: Head) -> Jobs:
    return jobs_of(head)


def stored(head: Head, name: str) -> Study | None:
    try:
        return load(name, store=head.store).study
    except StudyNotFoundError:
        return None


def until(found: Callable[[], Any], *, what: str) -> Any:
    """What is found, as soon as it is there."""
    for _ in range(LONG_S * 5):
        value = found()
        if value:
            return value
        time.sleep(0.2)
    pytest.fail(f"waited in vain for {what}")


def num_ended(head: Head, name: str) -> int:
    study = stored(head, name)
    return 0 if study is None else sum(isinstance(event, Ended) for event in study.events)


def drivers(head: Head) -> list[psutil.Process]:
    """The processes on the cluster that run a study."""
    found = []
    for process in psutil.Process(head.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words[1:3] == ["-m", "lexmove"] and words[3] in ("tune", "resume"):
                found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)  # one study, two heads and three drivers; a minute on an idle machine
def test_a_submitted_study_survives_its_driver_a_stop_and_its_head(
    home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_job(tmp_path, name="contracts")
    with running_head(token=secrets.token_hex(32), home=home) as first:
        before = _killed_and_stopped(first, tmp_path)
    _resumed(request.getfixturevalue("head"), tmp_path, before)


def _killed_and_stopped(head: Head, folder: Path) -> Study:
    """The study after its driver was killed, another one went on, and was stopped."""
    done = lexmove(head, folder, *shown("lexmove submit job.yaml"))
    assert done.returncode == 0, done.stderr
    assert "submitted study contracts as job lexmove-contracts-" in done.stderr
    assert "~/lexmove/studies.db on the head" in done.stderr
    assert f"{head.address}/#/jobs/lexmove-contracts-" in done.stderr
    assert "INFO" not in done.stderr, "Ray is quiet"
    for verb in ("watch", "logs", "stop", "best", "--resume"):
        assert f"{verb} contracts" in done.stderr

    # What everybody may read holds neither token nor path of this machine.
    jobs = jobs_of(head)
    job = jobs.of_study("contracts")[-1]
    told = json.dumps([dict(job.metadata), lexmove_processes(head)])
    assert str(head.token) not in told
    assert f"{folder}/job" not in told
    again = lexmove(head, folder, "submit", "job.yaml")
    assert again.returncode == 2
    assert "is being run by job lexmove-contracts-" in again.stderr

    watcher = calling(head, folder, *there("lexmove watch contracts"))
    until(lambda: num_ended(head, "contracts") >= 2, what="two segments")
    before = stored(head, "contracts")
    assert before is not None
    (driver,) = drivers(head)
    driver.send_signal(signal.SIGKILL)
    until(lambda: num_ended(head, "contracts") >= num_segments(before) + 2, what="another driver")
    assert "the driver was ended by SIGKILL; going on" in jobs.log(job.job_id)

    asked = lexmove(head, folder, *there("lexmove stop contracts"))
    assert asked.returncode == 0, asked.stderr
    stopped = jobs.look(job.job_id)
    assert (stopped.status, jobs.status_of(stopped)) == ("STOPPED", 130)
    assert not drivers(head)
    _, err = watcher.communicate(timeout=60)
    assert watcher.returncode == 130, err
    assert re.search(r"trial \d paused at epoch", err), err
    after = stored(head, "contracts")
    assert after is not None
    assert after.events[: before.num_events] == before.events, "nothing was lost or rewritten"
    assert not after.running, "what ran is recorded as preempted"
    return after


def _resumed(head: Head, folder: Path, before: Study) -> None:
    """Goes on with the study on a head that knows of no job, and reads it there."""
    assert jobs_of(head).of_study("contracts") == ()
    done = lexmove(head, folder, "enqueue", "contracts", "learning_rate=2e-3")
    assert done.returncode == 0, done.stderr
    assert f"next: lexmove submit --resume contracts --address {head.address}" in done.stderr
    again = lexmove(head, folder, "enqueue", "contracts", "learning_rate=2e-3")
    assert again.returncode == 2
    assert "this config waits already" in again.stderr
    words = [*shown("lexmove submit --resume contracts"), "--wait"]
    resumed = lexmove(head, folder, *words)
    assert resumed.returncode == 0, resumed.stderr
    assert "study contracts ended with exit status 0" in resumed.stderr
    after = stored(head, "contracts")
    assert after is not None
    assert after.events[: before.num_events] == before.events, "nothing was lost or rewritten"
    assert len(after.trials) == NUM_TRIALS + 1, "the budget is met exactly"
    rates = [trial.config["learning_rate"] for trial in after.trials[len(before.trials) :]]
    assert 2e-3 in rates
    for trial in after.trials:
        fidelities = [item.fidelity for item in trial.measurements]
        assert len(set(fidelities)) == len(fidelities), "nothing is there twice"
        assert sum(isinstance(event, Started) for event in trial.events) == 1

    # From the store, through the cluster: a client cannot read it.
    best = lexmove(head, folder, *there("lexmove best contracts --json"))
    assert best.returncode == 0, best.stderr
    assert json.loads(best.stdout)["repeated"]["num_seeds"] == 1
    assert [job for job in jobs_of(head).all() if "lexmove_purpose" in job.metadata] == []
    page = lexmove(head, folder, "report", "contracts")
    assert page.returncode == 0, page.stderr
    assert (folder / "contracts.report.html").stat().st_size > 1e6
    taken = lexmove(head, folder, "export", "contracts", "--out", "best")
    assert taken.returncode == 0, taken.stderr
    files = json.loads((folder / "best" / "provenance.json").read_text())["files"]
    assert {"data/train.jsonl", "model/model.safetensors"} < set(files)
    of_trial = lexmove(head, folder, *there("lexmove logs contracts 3"))
    assert " trial 3, " in of_trial.stdout
    told = lexmove(head, folder, "logs", "contracts")
    assert told.stdout.count("Running entrypoint") == 1
    here = begun(
        folder, "logs", "contracts", "0", "--store", head.store, environment=head.environment
    )
    assert here.communicate(timeout=60)[0].startswith("-- ")
    here = begun(folder, "logs", "contracts", "--store", head.store, environment=head.environment)
    said = here.communicate(timeout=60)[0]
    assert said.count(", process ") == 3, "of each driver, whatever head it ran on"
    assert said.count("\ndone\n") == 1


def num_segments(study: Study) -> int:
    return sum(isinstance(event, Ended) for event in study.events)


def lexmove_processes(head: Head) -> list[list[str]]:
    """The command lines of everything that the cluster runs."""
    found = []
    for process in psutil.Process(head.pid).children(recursive=True):
        try:
            found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_who_follows_a_study_exits_as_it_does_and_leaves_it_running(
    head: Head, jobs: Jobs, tmp_path: Path
) -> None:
    write_job(
        tmp_path,
        name="hopeless",
        metric={"name": "costs.py:broken"},
        agent={"memory": False, "proposer": "draws.py:Draws"},
        budget={"trials": 2, "parallel": 2},
        finalists={"top": 0},
    )
    waiting = calling(head, tmp_path, "submit", "job.yaml", "--wait")
    assert waiting.stderr is not None
    for line in waiting.stderr:
        if "checking the job" in line:
            break
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 130, err
    assert "left it running: `lexmove watch hopeless --address" in err

    watched = lexmove(head, tmp_path, "watch", "hopeless")
    assert watched.returncode == 3, watched.stderr
    assert "no costs are known" in watched.stderr, "the metric's file travelled along"
    study = stored(head, "hopeless")
    assert study is not None
    assert {trial.decision.proposer for trial in study.trials} == {"draws"}, "so did the proposer's"
    assert "INFO" not in watched.stderr, "Ray is quiet"
    (job,) = jobs.of_study("hopeless")
    job = jobs.wait(job.job_id, patience_s=60.0)
    assert jobs.status_of(job) == 3
    assert job.exit_status == 3
    assert job.metadata["lexmove_storage"] == "~/lexmove/studies"

    absent = lexmove(head, tmp_path, "submit", "--resume", "elsewhere", "--wait")
    assert absent.returncode == 2
    assert "no study 'elsewhere'" in absent.stderr


@pytest.mark.slow
def test_a_password_is_not_sent(head: Head, jobs: Jobs, tmp_path: Path) -> None:
    write_job(tmp_path, name="secret")
    url = "postgresql://me:opensesame@127.0.0.1:1/studies"
    for words, changes in (
        (["submit", "job.yaml", "--store", url], {}),
        (["submit", "job.yaml"], {"LEXMOVE_STORE": url}),
        (["submit", "--resume", "secret", "--store", url], {}),
        (["ls", "--store", url], {}),
        (["report", "secret", "--store", url], {}),
    ):
        done = lexmove(head, tmp_path, *words, **changes)
        assert done.returncode == 2
        assert "~/.pgpass" in done.stderr
        assert "opensesame" not in done.stderr + done.stdout
    assert jobs.of_study("secret") == ()


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({"RAY_AUTH_TOKEN": "f" * 64}, "refuses this token"),
        ({"RAY_AUTH_TOKEN": "", "HOME": "/nonexistent"}, "asks for a token, and there is none"),
    ],
)
def test_who_has_no_token_is_told_at_once(
    head: Head, tmp_path: Path, token: dict[str, str], said: str
) -> None:
    write_job(tmp_path, name="stranger")
    began_s = time.monotonic()
    done = lexmove(head, tmp_path, "submit", "job.yaml", **token)
    assert time.monotonic() - began_s < 10
    assert done.returncode == 4
    assert said in done.stderr
    assert "RAY_AUTH_TOKEN" in done.stderr.splitlines()[-1]


def test_a_plan_says_what_fits_the_cluster(head: Head, tmp_path: Path) -> None:
    write_job(tmp_path, name="planned", budget={"trials": 7, "parallel": 3})
    done = lexmove(head, tmp_path, *there("lexmove plan job.yaml"), "--offline")
    assert done.returncode == 0, done.stderr
    assert "does not fit: 3 trials at once with 1 CPU" in done.stdout
    assert "the cluster has 1 node up now with 2 CPUs and 0 GPUs, room for 2 at once" in done.stdout
    assert f"next: lexmove submit job.yaml --address {head.address}" in done.stderr


def test_the_clusters_own_address_will_do_too(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", str(head.token))
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, head.address)
        assert find_dashboard().url == head.address
        monkeypatch.delenv(name)
    assert find_dashboard(head.address.removeprefix("http://")).url == head.address
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    assert find_dashboard(f"{head.address}/").url == head.address, "what is said wins"
