"""Shows events in Optuna's own fields, for its dashboard, plots and importances.

Only the events are ever read back. Every function may be called again for the same event.
"""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lexmove.space.domain import Domain, Float, Integer
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Ended, Event, Measured, Started, TrialStatus


def direction_of(spec: StudySpec) -> StudyDirection:
    """Optuna's name for the goal."""
    return StudyDirection.MAXIMIZE if spec.goal == "maximize" else StudyDirection.MINIMIZE


def trial_of(space: SearchSpace, event: Started, attributes: Mapping[str, str]) -> FrozenTrial:
    """The Optuna trial that a start makes, running, with these and its readable attributes."""
    started = datetime.fromtimestamp(event.at_s, tz=UTC).astimezone()
    return FrozenTrial(
        number=-1,  # the storage numbers it
        trial_id=-1,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=started.replace(tzinfo=None),  # Optuna's times are local and naive
        datetime_complete=None,
        params=dict(event.config),
        distributions={name: distribution_of(space[name].domain) for name in event.config},
        user_attrs={**attributes, **_readable(event)},
        system_attrs={},
        intermediate_values={},
    )


def _readable(event: Started) -> dict[str, Any]:
    decision = event.decision
    proposer = f"{decision.proposer} ({decision.expert})" if decision.expert else decision.proposer
    shown = {
        "move": decision.text or None,
        "parent": decision.move.origin if decision.move else None,
        "proposer": proposer,
        "policy_version": decision.policy_version,
        "seed": event.seed,
    }
    return {name: value for name, value in shown.items() if value is not None}


def distribution_of(domain: Domain) -> BaseDistribution:
    """Optuna's distribution for a domain."""
    if isinstance(domain, Float):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, Integer):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return CategoricalDistribution(getattr(domain, "values", (domain.default_value,)))


def show(storage: BaseStorage, optuna_id: int, event: Event, study: Study) -> None:
    """Shows an event that is in the study already, whose trial is `optuna_id` in the storage."""
    # A reader that found the writer between its event and here may have shown it already.
    with contextlib.suppress(UpdateFinishedTrialError):
        if isinstance(event, Measured):
            _show_measurement(storage, optuna_id, event, study)
        elif isinstance(event, Ended):
            _show_end(storage, optuna_id, event, study)


def shows(trial: FrozenTrial, event: Event, metric: str) -> bool:
    """Whether an Optuna trial shows an event of its own already."""
    if trial.state.is_finished():
        return True
    if isinstance(event, Measured):
        measurement = event.measurement
        return (
            metric not in measurement.metrics or measurement.fidelity in trial.intermediate_values
        )
    return not (isinstance(event, Ended) and event.status.is_final)


def _show_measurement(storage: BaseStorage, optuna_id: int, event: Measured, study: Study) -> None:
    measurement = event.measurement
    if measurement not in study.trials[event.trial_id].measurements:
        return  # of a fidelity measured twice the first counts
    if measurement.checkpoint is not None:
        storage.set_trial_user_attr(optuna_id, "checkpoint", measurement.checkpoint)
    if study.spec.metric in measurement.metrics:
        value = measurement.metrics[study.spec.metric]
        storage.set_trial_intermediate_value(optuna_id, measurement.fidelity, value)


def _show_end(storage: BaseStorage, optuna_id: int, event: Ended, study: Study) -> None:
    if event.reason is not None:
        storage.set_trial_user_attr(optuna_id, "reason", event.reason)
    if not event.status.is_final:
        return
    best = study.best_of(study.trials[event.trial_id])
    state = {
        TrialStatus.COMPLETED: TrialState.COMPLETE if best else TrialState.FAIL,
        TrialStatus.STOPPED: TrialState.PRUNED,
    }.get(event.status, TrialState.FAIL)
    storage.set_trial_state_values(optuna_id, state, None if best is None else [best.value])
