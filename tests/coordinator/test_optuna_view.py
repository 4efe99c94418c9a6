"""What Optuna's own tools see of a study."""

import itertools
from dataclasses import replace
from datetime import datetime

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from coordinator.histories import config, decision, measurement, spec
from coordinator.optuna_files import (
    EVENTS,
    all_rows,
    fill,
    new_store,
    optuna_storage,
    optuna_study,
    store_url,
)
from lexmove.coordinator.store import open_store
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study
from lexmove.study.trial import (
    Ended,
    Measured,
    Measurement,
    Started,
    TrialStatus,
)
from strategies import journals


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


@pytest.mark.parametrize("together", [False, True])
def test_a_fidelity_measured_twice_alike_is_shown_once(url, together):
    events = one_trial(0, 0, TrialStatus.COMPLETED, 0.5)[:2]
    again = Measured(seq=2, at_s=1.0, trial_id=0, measurement=events[1].measurement)
    store = open_store(url)
    store.create(spec())
    for group in ([events[0]], [events[1], again]) if together else [[*events], [again]]:
        store.append("contracts", *group)
    assert optuna_study(url).trials[0].intermediate_values == {1: 0.5}


def test_optuna_stays_quiet(url, capfd):
    verbosity = optuna.logging.get_verbosity()
    fill(url, EVENTS[:12])
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity


def test_foreign_studies_and_trials_are_passed_over(url):
    fill(url, EVENTS[:7])
    optuna_study(url).add_trial(optuna.create_trial(value=9.0))
    foreign = optuna.create_study(study_name="foreign", storage=optuna_storage(url))
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
    optuna.create_study(study_name="begun", direction="maximize", storage=optuna_storage(url))
    store = open_store(url)
    assert store.names() == ("contracts",)
    store.create(spec("begun"))
    assert store.load("begun") == Study(spec=spec("begun"))


def seen_by_optuna(url: str, name: str) -> list[dict[str, object]]:
    """All that Optuna says of every trial, but when it was written."""
    return [
        {
            "number": trial.number,
            "state": trial.state,
            "values": repr(trial.values),
            "params": trial.params,
            "types": [type(value) for value in trial.params.values()],
            "distributions": trial.distributions,
            "intermediate_values": repr(sorted(trial.intermediate_values.items())),
            "user_attrs": trial.user_attrs,
            "system_attrs": trial.system_attrs,
            "started": trial.datetime_start,
            "is_complete": trial.datetime_complete is not None,
        }
        for trial in optuna_study(url, name).trials
    ]


@pytest.mark.parametrize("group", [1, 2, 5, 36])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_are_those_that_optuna_writes(url, tmp_path, group):
    """A journal is written by Optuna's own API, a database by statements of ours."""
    urls = [url, store_url("journal", tmp_path)]
    for place in urls:
        store = open_store(place)
        store.create(spec())
        for start in range(0, len(EVENTS), group):
            store.append("contracts", *EVENTS[start : start + group])
    rows, lines = (seen_by_optuna(place, "contracts") for place in urls)
    assert rows == lines


@pytest.mark.parametrize(
    ("kind", "num_examples"),
    [("sqlite", 8), ("postgresql", 8), pytest.param("sqlite", 25, marks=pytest.mark.slow)],
)
def test_any_history_is_written_as_optuna_writes_it(url, tmp_path, num_examples):
    counter = itertools.count()

    @settings(max_examples=num_examples, suppress_health_check=list(HealthCheck), deadline=None)
    @given(journal=journals(max_events=14), group=st.integers(1, 14))
    def check(journal, group):
        random_spec, events = journal
        made = replace(random_spec, name=f"history-{next(counter)}")
        urls = [url, store_url("journal", tmp_path)]
        for place in urls:
            store = open_store(place)
            store.create(made)
            for start in range(0, len(events), group):
                store.append(made.name, *events[start : start + group])
        rows, lines = (seen_by_optuna(place, made.name) for place in urls)
        assert rows == lines

    check()


def test_numbers_go_on_behind_trials_of_others(url):
    fill(url, EVENTS[:6])
    for _ in range(2):
        optuna_study(url).add_trial(optuna.create_trial(value=9.0))
    open_store(url).append("contracts", *EVENTS[6:20])
    trials = optuna_study(url).trials
    assert [trial.number for trial in trials] == list(range(6))
    assert [trial.number for trial in trials if "proposer" in trial.user_attrs] == [0, 3, 4, 5]


def test_the_schema_is_the_one_that_the_statements_are_for(tmp_path):
    """Optuna changes its tables by migrations: a new one has to be looked at."""
    fill(store_url("sqlite", tmp_path), EVENTS[:1])
    storage = RDBStorage(store_url("sqlite", tmp_path))
    assert storage.get_head_version() == "v3.2.0.a"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_is_left_in_any_table_of_what_was_deleted(kind, tmp_path, request):
    url = new_store(kind, tmp_path, request)
    fill(url, EVENTS)
    store = open_store(url)
    store.create(spec("other"))
    before = all_rows(url)
    assert all(before[name] for name in ("trials", "trial_user_attributes", "trial_values"))
    store.delete("contracts")
    left = all_rows(url)
    assert [row[1] for row in left["studies"]] == ["other"]
    assert not any(rows for name, rows in left.items() if name.startswith("trial"))
    store.delete("other")
    empty = all_rows(url)
    assert [name for name, rows in empty.items() if rows] == ["version_info"]


@pytest.mark.parametrize(("eta", "state"), [(None, TrialState.COMPLETE), (2, TrialState.PRUNED)])
def test_a_repetition_that_ends_before_the_last_epoch_is_complete(eta, state, tmp_path):
    """Else Optuna's best trial of repetitions would be one of the configs that lost."""
    url = store_url("sqlite", tmp_path)
    events = one_trial(0, 0, TrialStatus.STOPPED, 0.5)
    events[0] = replace(events[0], until=1)
    fill(url, events, fidelity=FidelityPlan(maximum=4, eta=eta))
    (trial,) = optuna_study(url).trials
    assert (trial.state, trial.value) == (state, 0.5)
