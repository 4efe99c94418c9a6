"""Shows events in Optuna's own fields, for its dashboard, plots and importances.

Only the events are ever read back. Every function may be called again for the same event.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from lexmove.study.fidelity import Fidelity
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
        user_attrs={**attributes, **readable(event)},
        system_attrs={},
        intermediate_values={},
    )


def readable(event: Started) -> dict[str, Any]:
    """The user attributes in which people read a start."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """What an event other than a start changes in Optuna's own fields of its trial.

    `attributes` are user attributes to set; `step` a fidelity with its value. `state` ends the
    trial, with `value` where it has one.
    """

    attributes: Mapping[str, str] = field(default_factory=dict)
    step: tuple[Fidelity, float] | None = None
    state: TrialState | None = None
    value: float | None = None


_NOTHING = Mirrored()


def mirrored(event: Event, study: Study) -> Mirrored:
    """What an event that is in the study already shows."""
    if isinstance(event, Measured):
        return _measurement(event, study)
    return _end(event, study) if isinstance(event, Ended) else _NOTHING


def _measurement(event: Measured, study: Study) -> Mirrored:
    measurement = event.measurement
    if measurement not in study.trials[event.trial_id].measurements:
        return _NOTHING  # of a fidelity measured twice the first counts
    checkpoint, value = measurement.checkpoint, measurement.metrics.get(study.spec.metric)
    return Mirrored(
        attributes={} if checkpoint is None else {"checkpoint": checkpoint},
        step=None if value is None else (measurement.fidelity, value),
    )


def _end(event: Ended, study: Study) -> Mirrored:
    attributes = {} if event.reason is None else {"reason": event.reason}
    if not event.status.is_final:
        return Mirrored(attributes=attributes)
    trial = study.trials[event.trial_id]
    best = study.best_of(trial)
    # Where there are no rungs nobody prunes: a repetition ends at the epoch of its config's best.
    is_whole = study.spec.fidelity.eta is None and trial.fidelity == trial.until
    done = TrialState.COMPLETE if best else TrialState.FAIL
    state = {
        TrialStatus.COMPLETED: done,
        TrialStatus.STOPPED: done if is_whole else TrialState.PRUNED,
    }.get(event.status, TrialState.FAIL)
    return Mirrored(attributes=attributes, state=state, value=None if best is None else best.value)


def show(storage: BaseStorage, optuna_id: int, event: Event, study: Study) -> None:
    """Shows an event that is in the study already, whose trial is `optuna_id` in the storage."""
    shown = mirrored(event, study)
    # A reader that found the writer between its event and here may have shown it already.
    with contextlib.suppress(UpdateFinishedTrialError):
        for key, text in shown.attributes.items():
            storage.set_trial_user_attr(optuna_id, key, text)
        if shown.step is not None:
            storage.set_trial_intermediate_value(optuna_id, *shown.step)
        if shown.state is not None:
            values = None if shown.value is None else [shown.value]
            storage.set_trial_state_values(optuna_id, shown.state, values)


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
