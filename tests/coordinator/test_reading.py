"""Looking at a study without reading it: what the digest says is what the whole study says."""

import sqlite3
from contextlib import closing

import optuna
import pytest
from hypothesis import HealthCheck, given, settings

from coordinator.histories import spec
from coordinator.optuna_files import EVENTS, fill, optuna_study, store_url
from lexmove.coordinator import sqlite_reader
from lexmove.coordinator.sqlite_reader import StoredTrials
from lexmove.coordinator.store import open_reader, open_store
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.study import Study
from lexmove.study.trial import TrialStatus, event_to_json
from strategies import journals


def said(study: Study) -> tuple[object, ...]:
    """What `ls`, `show` and `best` ask."""
    return (
        study.spec,
        study.num_events,
        len(study.trials),
        study.incumbent,
        study.counts,
        study.trajectory,
        study.top_moves,
    )


def is_read(study: Study) -> bool:
    return not isinstance(study.trials, StoredTrials)


@pytest.mark.parametrize("num_events", [0, 1, 2, 9, 36])
def test_looking_shows_what_loading_shows(url, num_events):
    fill(url, EVENTS[:num_events])
    seen, loaded = open_reader(url).look("contracts"), open_store(url).load("contracts")
    assert is_read(seen) == (not url.startswith("sqlite") or not num_events)
    assert said(seen) == said(loaded)
    assert tuple(seen.trials) == tuple(loaded.trials)
    assert [seen.trials[index] for index in range(len(seen.trials))] == list(loaded.trials)
    assert seen.trials[-2:] == loaded.trials[-2:]
    assert seen.ranking == loaded.ranking
    assert seen.with_status(TrialStatus.COMPLETED) == loaded.with_status(TrialStatus.COMPLETED)
    assert open_reader(url).names() == ("contracts",)


def test_any_history_is_seen_as_it_is(tmp_path_factory):
    @settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
    @given(journal=journals(max_events=12))
    def check(journal):
        made, events = journal
        url = store_url("sqlite", tmp_path_factory.mktemp("seen"))
        store = open_store(url)
        store.create(made)
        store.append(made.name, *events)
        seen = open_reader(url).look(made.name)
        assert said(seen) == said(Study.from_events(made, events))
        assert list(map(event_to_json, seen.events)) == list(map(event_to_json, events))

    check()


def test_a_study_that_goes_on_is_seen_as_it_was(tmp_path):
    url = store_url("sqlite", tmp_path)
    fill(url, EVENTS[:9])
    seen = open_reader(url).look("contracts")
    open_store(url).append("contracts", *EVENTS[9:])
    assert tuple(seen.trials) == Study.from_events(spec(), EVENTS[:9]).trials
    assert said(seen) == said(Study.from_events(spec(), EVENTS[:9]))


def test_what_the_digest_does_not_know_is_read(tmp_path, monkeypatch):
    url = store_url("sqlite", tmp_path)
    fill(url, EVENTS[:9])
    storage = optuna_study(url)._storage
    optuna_id = optuna_study(url).trials[1]._trial_id
    storage.set_trial_user_attr(optuna_id, "event_000009", event_to_json(EVENTS[9]))
    assert said(open_reader(url).look("contracts")) == said(Study.from_events(spec(), EVENTS[:10]))


def test_trials_of_others_are_passed_over(tmp_path):
    url = store_url("sqlite", tmp_path)
    fill(url, EVENTS[:9])
    optuna_study(url).add_trial(optuna.create_trial(value=9.0))
    seen = open_reader(url).look("contracts")
    assert is_read(seen)
    assert said(seen) == said(Study.from_events(spec(), EVENTS[:9]))


def test_an_unknown_study_is_named_with_the_nearest(tmp_path):
    url = store_url("sqlite", tmp_path)
    fill(url, EVENTS[:2])
    for reader in (open_reader(url), open_store(url)):
        with pytest.raises(StudyNotFoundError) as caught:
            reader.look("contract")
        assert str(caught.value) == (f"no study 'contract' in {url}; did you mean 'contracts'?")


def test_no_file_is_made(tmp_path):
    url = store_url("sqlite", tmp_path)
    assert open_reader(url).names() == ()
    with pytest.raises(StudyNotFoundError):
        open_reader(url).look("contracts")
    assert not list(tmp_path.iterdir())


def test_a_store_at_rest_is_one_file_again(tmp_path):
    url = store_url("sqlite", tmp_path)
    fill(url, EVENTS[:9])
    seen = open_reader(url).look("contracts")
    assert len(seen.trials[0].events) == 6
    del seen
    assert [path.name for path in tmp_path.iterdir()] == ["studies.db"]


def test_a_file_that_is_something_else_is_told(tmp_path):
    (tmp_path / "studies.db").write_text("Dear diary, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_reader(store_url("sqlite", tmp_path)).look("contracts")


def test_damage_is_told(tmp_path):
    url = store_url("sqlite", tmp_path)
    fill(url, EVENTS[:3])
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection, connection:
        connection.execute("UPDATE trial_user_attributes SET value_json = '\"{\"' "
                           "WHERE key = 'event_000001'")  # fmt: skip
    with pytest.raises(StoreError, match="event_000001 of trial 0 was damaged"):
        open_reader(url).look("contracts").trials[0]


def test_only_a_few_statements_are_needed(tmp_path, monkeypatch):
    """Whatever the number of trials: they are what takes the time."""
    url = store_url("sqlite", tmp_path)
    fill(url, EVENTS)
    statements: list[str] = []
    connect = sqlite_reader._connect

    def listening(path):
        connection = connect(path)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite_reader, "_connect", listening)
    said(open_reader(url).look("contracts"))
    assert len(statements) <= 8
