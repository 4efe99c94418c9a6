"""Optuna's studies as past results: params with their distributions, values, intermediate values.

Read through Optuna's own storage, so that whatever Optuna reads can be imported. Left out: what
Optuna's users keep in attributes.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lexmove.app.past.domains import as_one_kind, listed, plain
from lexmove.app.past.found import FoundStudy, FoundTrial
from lexmove.coordinator.store_location import connect_if_there, talking_to
from lexmove.coordinator.store_rules import SPEC
from lexmove.coordinator.store_url import StoreLocation, locate_store
from lexmove.errors import StudyNotFoundError, UsageError, did_you_mean
from lexmove.space.domain import Constant, Domain, Float, Integer, Value
from lexmove.study.fidelity import Fidelity
from lexmove.study.scoring import Goal
from lexmove.study.trial import TrialStatus

_STATES = {
    TrialState.COMPLETE: TrialStatus.COMPLETED,
    TrialState.PRUNED: TrialStatus.STOPPED,
    TrialState.FAIL: TrialStatus.FAILED,
}

_MIN_AMONG = 0.8
"""Share of the trials whose value must be one of its intermediate values, if these are to count."""


class OptunaStudies:
    """The studies of an Optuna storage.

    Args:
        url: of the storage, as for a store of lexmove.

    Raises:
        UsageError: not a URL, or nothing is there.
        StoreError: the storage cannot be read.
    """

    def __init__(self, url: str) -> None:
        self._location = locate_store(url)
        with talking_to(self._location, "read"):
            storage = connect_if_there(self._location)
        if storage is None:
            raise UsageError(f"{self._location} is not there: nothing to import")
        self._storage = storage

    def names(self) -> tuple[str, ...]:
        """All studies, but those that lexmove wrote."""
        with talking_to(self._location, "read"):
            studies = self._storage.get_all_studies()
        return tuple(item.study_name for item in studies if SPEC not in item.user_attrs)

    def read(self, name: str, *, metric: str | None, goal: Goal | None) -> FoundStudy:
        """One study.

        Raises:
            StudyNotFoundError: no study of that name.
            UsageError: it cannot be understood; the message says why.
        """
        with talking_to(self._location, "read"):
            return _read(self._storage, self._location, name, metric=metric, goal=goal)


def _read(
    storage: BaseStorage,
    location: StoreLocation,
    name: str,
    *,
    metric: str | None,
    goal: Goal | None,
) -> FoundStudy:
    known = {item.study_name: item for item in storage.get_all_studies()}
    if name not in known:
        hint = did_you_mean(name, tuple(known)) if known else "; there is none in it"
        raise StudyNotFoundError(f"no study {name!r} in {location}{hint}")
    study = known[name]
    if SPEC in study.user_attrs:
        raise UsageError(f"lexmove wrote it: `--store {location}` uses it where it is")
    if len(study.directions) > 1:
        raise UsageError(f"it has {len(study.directions)} objectives; a study of lexmove has one")
    theirs: Goal = "minimize" if study.directions[0] is StudyDirection.MINIMIZE else "maximize"
    if goal is not None and goal != theirs:
        raise UsageError(f"it says itself that its goal is to {theirs}: leave --goal {goal} out")
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    ended = [trial for trial in trials if trial.state in _STATES]
    remarks = tuple(_unfinished(trials))
    are_scores = _intermediate_are_scores(ended)
    if not are_scores:
        remarks += ("its intermediate values were left out: they are not of the objective's kind",)
    names = study.system_attrs.get("study:metric_names")
    domains, translations = _domains(ended)
    steps = _Steps(ended, are_scores=are_scores)
    return FoundStudy(
        name=name,
        source=f"Optuna study {name!r}",
        tool="optuna",
        domains=domains,
        metric=metric or (names[0] if names else "value"),
        goal=theirs,
        trials=[_trial(item, translations, steps) for item in ended],
        only_completed_win=True,
        remarks=remarks,
    )


def _unfinished(trials: Sequence[FrozenTrial]) -> Iterator[str]:
    counts = Counter(trial.state for trial in trials if trial.state not in _STATES)
    for state, num in counts.items():
        trials_ = "1 trial" if num == 1 else f"{num} trials"
        yield f"{trials_} left out: {state.name.lower()}, not ended"


def _intermediate_are_scores(trials: Sequence[FrozenTrial]) -> bool:
    """Whether intermediate values are of the same quantity as the final ones.

    Optuna does not ask for that; where they are, what a trial returned is one of them. Pruned ones
    say nothing: Optuna itself takes their last intermediate value for their value.
    """
    both = [
        (item.value, item.intermediate_values.values())
        for item in trials
        if item.state is TrialState.COMPLETE and item.value is not None and item.intermediate_values
    ]
    among = sum(any(math.isclose(value, step) for step in steps) for value, steps in both)
    return among >= _MIN_AMONG * len(both)


Translations = dict[str, dict[str, Value]]
"""By hyperparameter, what a listed value is here that its study has in another form."""


def _domains(trials: Sequence[FrozenTrial]) -> tuple[dict[str, Domain], Translations]:
    """The domains of all params, and what becomes of the values of lists."""
    theirs: dict[str, list[BaseDistribution]] = {}
    values: dict[str, list[Any]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            theirs.setdefault(name, []).append(distribution)
            values.setdefault(name, []).append(trial.params[name])
    translations: Translations = {}
    domains: dict[str, Domain] = {}
    for name, distributions in theirs.items():
        kinds = {type(item) for item in distributions}
        if len(kinds) > 1:
            raise UsageError(f"hyperparameter {name!r} is of different kinds in different trials")
        if kinds == {CategoricalDistribution}:
            choices = _choices(distributions)
            ours = as_one_kind([plain(choice) for choice in choices.values()])
            translations[name] = dict(zip(choices, ours, strict=True))
            domains[name] = listed(ours)
        else:
            domains[name] = _range(distributions, values[name])
    return domains, translations


def _choices(distributions: Sequence[Any]) -> dict[str, Any]:
    """All that was on offer, by key."""
    return {_key(choice): choice for item in distributions for choice in item.choices}


def _key(choice: Any) -> str:
    """Keeps True apart from 1, and holds for what cannot be a key itself."""
    return repr(choice)


def _range(distributions: Sequence[Any], values: Sequence[float]) -> Domain:
    """The range that holds all ranges, and what was tried outside of them (`enqueue_trial`)."""
    low = min([*(item.low for item in distributions), *values])
    high = max([*(item.high for item in distributions), *values])
    if low == high:
        return Constant(value=low)
    is_log = all(item.log for item in distributions) and low > 0
    if isinstance(distributions[0], IntDistribution):
        return Integer(low=int(low), high=int(high), log=is_log)
    assert isinstance(distributions[0], FloatDistribution), "Optuna has three kinds"
    return Float(low=low, high=high, log=is_log)


def _trial(trial: FrozenTrial, translations: Translations, steps: "_Steps") -> FoundTrial:
    status = _STATES[trial.state]
    return FoundTrial(
        label=f"trial {trial.number}",
        config={
            name: translations[name][_key(value)] if name in translations else value
            for name, value in trial.params.items()
        },
        curve=steps.curve(trial),
        status=status,
        reason="it failed in Optuna" if status is TrialStatus.FAILED else None,
        started_s=_unix_s(trial.datetime_start),
        ended_s=_unix_s(trial.datetime_complete),
    )


class _Steps:
    """Optuna's steps, which may begin anywhere, as fidelities, which begin at 1."""

    def __init__(self, trials: Sequence[FrozenTrial], *, are_scores: bool) -> None:
        self._are_scores = are_scores
        known = {step for item in trials for step in item.intermediate_values if are_scores}
        self._shift = max(0, 1 - min(known, default=1))
        self._last = max(known, default=1 - self._shift) + self._shift

    def curve(self, trial: FrozenTrial) -> dict[Fidelity, float]:
        """Values by fidelity; that of the last one is what a completed trial has returned."""
        steps = trial.intermediate_values if self._are_scores else {}
        curve = {step + self._shift: value for step, value in sorted(steps.items())}
        if trial.state is TrialState.COMPLETE and trial.value is not None:
            # Also of a trial with fewer steps: nothing more was to come, Optuna says.
            curve[self._last] = trial.value
        return curve


def _unix_s(time: datetime | None) -> float:
    return 0.0 if time is None else time.timestamp()
