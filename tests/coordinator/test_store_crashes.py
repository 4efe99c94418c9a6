"""What kills, full disks and damage leave of a study, and how it goes on."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy import Connection, NullPool, Select, create_engine, text
from sqlalchemy.exc import InternalError

from coordinator.histories import scripted, spec
from coordinator.optuna_files import (
    EVENTS,
    all_rows,
    assert_sentence,
    fill,
    optuna_study,
    store_url,
)
from lexmove.cluster.supervisor import FINAL
from lexmove.coordinator.store import open_store
from lexmove.errors import OvertakenStudyError, StoreError
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study
from lexmove.study.trial import (
    Measured,
    Measurement,
    event_to_json,
)


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


def test_kill_9_leaves_a_prefix(url):
    """Every event whose append returned is there; at most the one in flight is there beside."""
    moments = random.Random(0)
    fill(url, [])
    for _ in range(3 if url.startswith("sqlite") else 2):
        acknowledged = append_and_kill(url, after_s=moments.uniform(0.05, 0.6))
        found = open_store(url).load("contracts")
        assert acknowledged < found.num_events <= acknowledged + 2
        assert found == Study.from_events(spec(), list(islice(scripted(), found.num_events)))
    states = [trial.state for trial in optuna_study(url).trials[:-1]]
    assert set(states) == {TrialState.COMPLETE}


def test_the_log_of_a_deleted_store_is_not_taken_for_that_of_the_next(tmp_path):
    """A crash leaves it beside the file, and whoever deletes `studies.db` may not see it."""
    url = store_url("sqlite", tmp_path)
    fill(url, [])
    append_and_kill(url, after_s=0.2)
    (tmp_path / "studies.db").unlink()
    assert (tmp_path / "studies.db-wal").stat().st_size
    fill(url, EVENTS[:2])
    assert open_store(url).load("contracts") == Study.from_events(spec(), EVENTS[:2])
    assert (tmp_path / "studies.db-wal.earlier").stat().st_size, "nothing is lost"


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


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_group_that_breaks_off_leaves_nothing(url, monkeypatch):
    """Whatever statement of a transaction is the last one."""
    fill(url, EVENTS[:9])
    before = all_rows(url)
    execute = Connection.execute
    for num_left in range(12):
        left = iter(range(num_left))

        def breaking(self, statement, *rest, left=left, **options):
            if not isinstance(statement, Select) and next(left, None) is None:
                raise InternalError("", {}, Exception("disk I/O error"))
            return execute(self, statement, *rest, **options)

        store = open_store(url)
        assert store.load("contracts").num_events == 9
        with monkeypatch.context() as patch, contextlib.suppress(StoreError):
            patch.setattr(Connection, "execute", breaking)
            store.append("contracts", *EVENTS[9:14])
        if all_rows(url) != before:
            break
        assert store.load("contracts") == Study.from_events(spec(), EVENTS[:9])
    assert num_left > 6
    assert open_store(url).load("contracts") == Study.from_events(spec(), EVENTS[:14])


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


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
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


@pytest.mark.parametrize("kind", ["postgresql"])
def test_damage_leaves_no_transaction_open(url):
    """Not even while the error is still in somebody's hands: it would hold up the server."""
    fill(url, EVENTS[:3])
    study = optuna_study(url)
    study._storage.set_trial_user_attr(study.trials[0]._trial_id, "event_000000", "{")
    store = open_store(url)
    with pytest.raises(StoreError, match="was damaged") as caught:
        store.load("contracts")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        states = connection.execute(text("SELECT state FROM pg_stat_activity WHERE usename = user"))
        assert "idle in transaction" not in set(states.scalars())
    assert caught.value.__traceback__ is not None


def test_a_study_with_a_hole_can_be_read_but_not_continued(url):
    fill(url, EVENTS[:9])
    study = optuna_study(url)
    open_trial = study.trials[1]._trial_id
    study._storage.set_trial_user_attr(open_trial, "event_000011", event_to_json(EVENTS[11]))
    store = open_store(url)
    assert store.load("contracts").num_events == 9
    with pytest.raises(StoreError, match="lacks event 9, so it can be read but not continued"):
        store.append("contracts", EVENTS[9])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_store_in_the_making_is_whole_or_not_there(url, tmp_path):
    """Two processes make one file or the tables of one database while a third reads."""
    start = tmp_path / "start"
    tests, platform = Path(__file__).parents[1], Path(__file__).parents[2] / "platform"
    writers = [
        subprocess.Popen(
            [sys.executable, tests / "coordinator" / "create_together.py", url, start, name],
            env={**os.environ, "PYTHONPATH": f"{tests}:{platform}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    start.touch()
    seen: set[str] = set()
    while any(writer.poll() is None for writer in writers):
        seen |= set(open_store(url).names())
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    assert set(open_store(url).names()) == {"one", "two"} >= seen
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("last", [6, 7])  # a start, which makes a trial; a measurement
def test_of_two_writers_the_one_who_was_overtaken_stops(url, last):
    """Neither has anything of the other's, whatever the event."""
    fill(url, EVENTS[:last])
    slow, fast = open_store(url), open_store(url)
    for store in (slow, fast):
        store.append("contracts", EVENTS[last - 1])  # both have the study now
    fast.append("contracts", *(replace(event, at_s=1.0) for event in EVENTS[last : last + 2]))
    before = all_rows(url)
    for again in (slow, open_store(url)):
        words = "another process is writing the study; end"
        with pytest.raises(OvertakenStudyError, match=words) as caught:
            again.append("contracts", EVENTS[last], EVENTS[last + 1])
        assert_sentence(caught.value)
        assert caught.value.exit_code in FINAL, "two supervisors would take turns without end"
    assert all_rows(url) == before
    fast.append("contracts", EVENTS[last + 2])
    assert open_store(url).load("contracts").num_events == last + 3


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_two_who_write_at_the_same_time_one_stops(url):
    fill(url, EVENTS[:6])
    stopped: list[StoreError] = []
    start = threading.Barrier(2)

    def write(at_s: float) -> None:
        store = open_store(url)
        store.load("contracts")
        start.wait()
        try:
            for event in EVENTS[6:24]:
                store.append("contracts", replace(event, at_s=at_s))
        except StoreError as error:
            stopped.append(error)

    writers = [threading.Thread(target=write, args=[at_s]) for at_s in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(stopped) == 1, stopped
    assert "another process" in str(stopped[0])
    found = open_store(url).load("contracts")
    assert found.num_events == 24
    assert len({event.at_s for event in found.events[6:]}) == 1
    assert len(all_rows(url)["trials"]) == 4
