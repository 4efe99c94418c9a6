"""The Optuna side of the store: what its tools see, what crashes leave, what errors say."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from coordinator.histories import config, decision, measurement, scripted, spec
from lexmove.coordinator.store import open_store
from lexmove.coordinator.store_location import locate_store
from lexmove.errors import StoreError, StudyNotFoundError, UsageError
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study
from lexmove.study.trial import (
    Ended,
    Measured,
    Measurement,
    Started,
    TrialStatus,
    event_to_json,
)

EVENTS = list(islice(scripted(), 36))


@pytest.fixture(params=["sqlite", "journal"])
def url(request, tmp_path) -> str:
    return store_url(request.param, tmp_path)


def store_url(kind: str, folder: Path) -> str:
    return f"sqlite:///{folder}/studies.db" if kind == "sqlite" else f"{folder}/studies.log"


def optuna_study(url: str, name: str = "contracts") -> optuna.Study:
    journal = None if "://" in url else JournalStorage(JournalFileBackend(url))
    return optuna.load_study(study_name=name, storage=journal or url)


def fill(url: str, events, **changes) -> Study:
    store = open_store(url)
    store.create(spec(**changes))
    for event in events:
        store.append("contracts", event)
    return store.load("contracts")


def one_trial(trial_id: int, seq: int, status: TrialStatus, score: float | None) -> list:
    at = {"at_s": 1.7e9 + seq, "trial_id": trial_id}
    started = Started(
        seq=seq, **at, config=config(trial_id), until=4, seed=9, decision=decision(trial_id)
    )
    value = 0.0 if score is None else score
    middle = Measured(seq=seq + 1, **at, measurement=measurement(1, value))
    ended = Ended(seq=seq + 2, **at, status=status, reason="why not")
    return [started, middle, ended]


def test_optuna_reads_params_values_and_times(url):
    fill(url, EVENTS)
    study = optuna_study(url)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert len(study.trials) == 6
    trial = study.trials[3]
    assert trial.params == config(3)
    assert trial.distributions == {
        "learning_rate": FloatDistribution(1e-6, 1e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.5),
        "epochs": IntDistribution(1, 64, log=True),
        "batch": CategoricalDistribution((8, 16, 32)),
        "pooling": CategoricalDistribution(("mean", "cls")),
        "bias": CategoricalDistribution((False, True)),
        "rank": IntDistribution(1, 8),
        "clip": CategoricalDistribution((1.0,)),
    }
    assert trial.state is TrialState.COMPLETE
    measured = [event.measurement for event in EVENTS[18:24] if isinstance(event, Measured)]
    shown = {item.fidelity: item.metrics["f1_macro"] for item in measured}
    assert trial.intermediate_values == shown
    assert trial.value == max(shown.values())
    started = datetime.fromtimestamp(EVENTS[18].at_s)  # noqa: DTZ006 - Optuna's times are naive
    assert trial.datetime_start == started
    assert trial.datetime_complete > started
    assert optuna.importance.get_param_importances(study)


def test_the_decision_is_readable(url):
    fill(url, EVENTS)
    first, second = optuna_study(url).trials[:2]
    assert {key: value for key, value in second.user_attrs.items() if "event_" not in key} == {
        "move": "learning_rate 2.0e-05 → 4.6e-05 (×2.3)",
        "parent": 0,
        "proposer": "policy (expected improvement)",
        "policy_version": "5e884898",
        "seed": 1,
        "checkpoint": "trials/epoch_4",
    }
    assert first.user_attrs["proposer"] == "random"
    assert "move" not in first.user_attrs
    assert optuna_study(url).user_attrs["job"] == spec().job


@pytest.mark.parametrize(
    ("status", "state", "value"),
    [
        (TrialStatus.PAUSED, TrialState.RUNNING, None),
        (TrialStatus.PREEMPTED, TrialState.RUNNING, None),
        (TrialStatus.COMPLETED, TrialState.COMPLETE, 0.25),
        (TrialStatus.STOPPED, TrialState.PRUNED, 0.25),
        (TrialStatus.FAILED, TrialState.FAIL, None),
        (TrialStatus.INFEASIBLE, TrialState.FAIL, None),
    ],
)
def test_statuses_become_states(url, status, state, value):
    fill(url, one_trial(0, 0, status, 0.25), goal="minimize")
    trial = optuna_study(url).trials[0]
    assert (trial.state, trial.value) == (state, value)
    assert (trial.datetime_complete is not None) == state.is_finished()
    assert trial.user_attrs["reason"] == "why not"


def test_a_trial_that_ended_without_a_measurement(url):
    events = one_trial(0, 0, TrialStatus.STOPPED, 0.5)
    unmeasured = [events[0], Ended(seq=1, at_s=1.0, trial_id=0, status=TrialStatus.STOPPED)]
    fill(url, unmeasured)
    trial = optuna_study(url).trials[0]
    assert (trial.state, trial.value) == (TrialState.PRUNED, None)


def test_of_a_fidelity_measured_twice_the_first_is_shown(url):
    events = one_trial(0, 0, TrialStatus.COMPLETED, 0.5)[:2]
    again = Measured(
        seq=2, at_s=1.0, trial_id=0, measurement=Measurement(fidelity=1, metrics={"f1_macro": 0.9})
    )
    fill(url, [*events, again])
    assert optuna_study(url).trials[0].intermediate_values == {1: 0.5}


def test_optuna_stays_quiet(url, capfd):
    verbosity = optuna.logging.get_verbosity()
    fill(url, EVENTS[:12])
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity


def test_foreign_studies_and_trials_are_passed_over(url):
    fill(url, EVENTS[:7])
    optuna_study(url).add_trial(optuna.create_trial(value=9.0))
    storage = url if "://" in url else JournalStorage(JournalFileBackend(url))
    foreign = optuna.create_study(study_name="foreign", storage=storage)
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    store = open_store(url)
    assert store.names() == ("contracts",)
    for event in EVENTS[7:20]:
        store.append("contracts", event)
    assert open_store(url).load("contracts") == Study.from_events(spec(), EVENTS[:20])
    with pytest.raises(StudyNotFoundError, match="no study 'foreign'"):
        store.load("foreign")
    with pytest.raises(StoreError, match="that lexmove did not write: give the new study another"):
        store.create(spec("foreign"))


def test_a_creation_cut_short_is_taken_up(url):
    fill(url, EVENTS[:2])
    storage = url if "://" in url else JournalStorage(JournalFileBackend(url))
    optuna.create_study(study_name="begun", direction="maximize", storage=storage)
    store = open_store(url)
    assert store.names() == ("contracts",)
    store.create(spec("begun"))
    assert store.load("begun") == Study(spec=spec("begun"))


@pytest.mark.parametrize("last", [4, 5])
@pytest.mark.parametrize("reopen", ["load", "append"])
def test_a_crash_between_event_and_state_is_repaired(url, last, reopen):
    """The event is stored, its mirror is not: as a kill between the two transactions leaves it."""
    fill(url, EVENTS[:last])
    storage = optuna_study(url)._storage
    optuna_id = storage.get_all_trials(0 if "://" not in url else 1)[0]._trial_id
    storage.set_trial_user_attr(optuna_id, f"event_{last:06d}", event_to_json(EVENTS[last]))
    store = open_store(url)
    if reopen == "load":
        assert store.load("contracts") == Study.from_events(spec(), EVENTS[: last + 1])
    else:
        store.append("contracts", EVENTS[last])
    trial = optuna_study(url).trials[0]
    assert set(trial.intermediate_values) == {1, 4}
    assert trial.state is (TrialState.COMPLETE if last == 5 else TrialState.RUNNING)


@pytest.mark.parametrize(("kind", "num_kills"), [("sqlite", 3), ("journal", 2)])
def test_kill_9_leaves_a_prefix(tmp_path, kind, num_kills):
    """Every event whose append returned is there; at most the one in flight is there beside."""
    url, moments = store_url(kind, tmp_path), random.Random(0)
    fill(url, [])
    for _ in range(num_kills):
        acknowledged = append_and_kill(url, after_s=moments.uniform(0.05, 0.6))
        found = open_store(url).load("contracts")
        assert acknowledged < found.num_events <= acknowledged + 2
        assert found == Study.from_events(spec(), list(islice(scripted(), found.num_events)))
    states = [trial.state for trial in optuna_study(url).trials[:-1]]
    assert set(states) == {TrialState.COMPLETE}


def append_and_kill(url: str, after_s: float) -> int:
    """The last event that the killed process said it had stored."""
    tests, platform = Path(__file__).parents[1], Path(__file__).parents[2] / "platform"
    process = subprocess.Popen(
        [sys.executable, tests / "coordinator" / "append_forever.py", url],
        env={**os.environ, "PYTHONPATH": f"{tests}:{platform}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = [process.stdout.readline()]
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return int([line for line in said if line.strip()][-1])


def test_a_torn_line_is_cut_off_before_the_next(tmp_path):
    url = store_url("journal", tmp_path)
    fill(url, EVENTS[:9])
    with Path(url).open("ab") as file:
        file.write(b'{"op_code":8,"worker_id":"x","trial_i')
    store = open_store(url)
    assert store.load("contracts").num_events == 9
    store.append("contracts", EVENTS[9])
    store.append("contracts", EVENTS[10])
    assert open_store(url).load("contracts") == Study.from_events(spec(), EVENTS[:11])


def test_a_damaged_journal_is_told(tmp_path):
    url = store_url("journal", tmp_path)
    fill(url, EVENTS[:9])
    lines = Path(url).read_bytes().splitlines(keepends=True)
    Path(url).write_bytes(b"".join([*lines[:5], lines[5][:20] + b"\n", *lines[6:]]))
    with pytest.raises(StoreError, match="file is damaged; restore it from a copy") as caught:
        open_store(url).load("contracts")
    assert_sentence(caught.value)


@contextmanager
def file_size_limit(num_bytes: int) -> Iterator[None]:
    """Makes the disk look full: no file may grow beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill_disk(store: TrialStore) -> None:
    for seq in range(2, 500):
        long = Measurement(fidelity=seq, metrics={"f1_macro": 0.5}, checkpoint="x" * 5000)
        store.append("contracts", Measured(seq=seq, at_s=1.0, trial_id=0, measurement=long))


def test_a_full_disk_is_told_and_costs_nothing_stored(url, tmp_path):
    fill(url, EVENTS[:2])
    largest = max(path.stat().st_size for path in tmp_path.iterdir())
    store = open_store(url)
    assert store.load("contracts").num_events == 2
    with file_size_limit(largest + 20_000), pytest.raises(StoreError, match="free some") as caught:
        fill_disk(store)
    assert_sentence(caught.value)
    kept = open_store(url).load("contracts")
    assert kept.events[:2] == tuple(EVENTS[:2])
    store.append("contracts", replace(EVENTS[2], seq=kept.num_events))
    assert open_store(url).load("contracts").num_events == kept.num_events + 1


def assert_sentence(error: Exception) -> None:
    text = str(error)
    assert "\n" not in text
    for word in ("sqlalche", "sqlite3.", "Traceback", "exception is raised", "sqlalche.me"):
        assert word not in text


@contextmanager
def unprivileged() -> Iterator[None]:
    """Gives up root's right to write everywhere; nothing to give up for any other user."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may look into, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_read_only_store_can_be_read_and_says_why_not_written(open_folder, kind):
    url = store_url(kind, open_folder)
    fill(url, EVENTS[:9])
    for path in open_folder.iterdir():
        path.chmod(0o444)
    open_folder.chmod(0o555)
    with unprivileged():
        store = open_store(url)
        assert store.names() == ("contracts",)
        assert store.load("contracts").num_events == 9
        with pytest.raises(StoreError, match=r"cannot write study 'contracts' to .*; ") as caught:
            store.append("contracts", EVENTS[9])
        assert_sentence(caught.value)
        with pytest.raises(StoreError, match=r"cannot create study 'new' in .*; ") as caught:
            open_store(store_url(kind, open_folder / "below")).create(spec("new"))
        assert_sentence(caught.value)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_file_that_is_something_else_is_left_alone(tmp_path, kind):
    url = store_url(kind, tmp_path)
    path = tmp_path / ("studies.db" if kind == "sqlite" else "studies.log")
    path.write_text("Dear diary, " * 100)
    for act in (
        open_store(url).names,
        lambda: open_store(url).load("contracts"),
        lambda: open_store(url).create(spec()),
        lambda: open_store(url).append("contracts", EVENTS[0]),
    ):
        with pytest.raises(StoreError, match=r"not a (database|journal); choose another") as caught:
            act()
        assert_sentence(caught.value)
    assert path.read_text() == "Dear diary, " * 100


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "studies").write_text("")
    for kind in ("sqlite", "journal"):
        with pytest.raises(StoreError, match=r"cannot create .*folder") as caught:
            open_store(store_url(kind, tmp_path / "studies")).create(spec())
        assert_sentence(caught.value)


def test_reading_makes_no_file(url, tmp_path):
    store = open_store(url)
    assert store.names() == ()
    with pytest.raises(StudyNotFoundError, match=r"no study 'x' in .*there is none in it yet"):
        store.load("x")
    with pytest.raises(StudyNotFoundError):
        store.append("x", EVENTS[0])
    assert not list(tmp_path.iterdir())


def test_a_server_that_does_not_answer_is_told_without_the_password():
    store = open_store("postgresql+psycopg://me:secret@127.0.0.1:1/studies")
    with pytest.raises(StoreError, match="cannot read postgresql") as caught:
        store.names()
    assert "secret" not in str(caught.value)
    assert_sentence(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqllite:///studies.db", "did you mean 'sqlite'"),
        ("mysql://host/studies", "known: sqlite"),
        ("studies.db", "is no store's URL: write sqlite:///studies.db"),
        ("", "is no store's URL"),
        ("sqlite://studies.db", "names no file: write sqlite:///NAME"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "memory:// for none"),
        ("sqlite:///a.db?mode=ro", "names no file"),
        ("journal://studies.log", "names no file: write journal:///NAME"),
        ("postgresql://", "is no store's URL"),
    ],
)
def test_a_url_of_nothing(url, message):
    with pytest.raises(UsageError, match=message):
        open_store(url)


def test_paths_are_taken_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate_store("sqlite:///a.db").path == tmp_path / "a.db"
    assert locate_store("journal:///b/c.log").path == tmp_path / "b" / "c.log"
    assert locate_store("c.log").path == tmp_path / "c.log"
    assert locate_store(f"sqlite:///{tmp_path}/d.db").path == tmp_path / "d.db"


def test_a_path_with_odd_characters(tmp_path):
    url = f"sqlite:///{tmp_path}/söme {{odd}} 100% #1/studies.db"
    assert fill(url, EVENTS[:3]).num_events == open_store(url).load("contracts").num_events == 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda storage, trial, study: storage.set_trial_user_attr(trial, "event_000000", "{"),
         "event_000000 of trial 0 was damaged"),
        (lambda storage, trial, study: storage.set_study_user_attr(study, "lexmove_spec", "{}"),
         "its spec was damaged"),
    ],
)  # fmt: skip
def test_damage_is_told(url, spoil, message):
    fill(url, EVENTS[:3])
    study = optuna_study(url)
    spoil(study._storage, study.trials[0]._trial_id, study._study_id)
    with pytest.raises(StoreError, match=message) as caught:
        open_store(url).load("contracts")
    assert_sentence(caught.value)


def test_a_study_with_a_hole_can_be_read_but_not_continued(url):
    fill(url, EVENTS[:9])
    study = optuna_study(url)
    open_trial = study.trials[1]._trial_id
    study._storage.set_trial_user_attr(open_trial, "event_000011", event_to_json(EVENTS[11]))
    store = open_store(url)
    assert store.load("contracts").num_events == 9
    with pytest.raises(StoreError, match="lacks event 9, so it can be read but not continued"):
        store.append("contracts", EVENTS[9])
