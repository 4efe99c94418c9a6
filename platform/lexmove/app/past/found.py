"""What another tool found: configs with their curves, and the study that they make."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lexmove.app.past.conditions import conditions_of
from lexmove.errors import UsageError, did_you_mean
from lexmove.space.domain import Domain, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.scoring import Goal
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Decision, Ended, Event, Measured, Measurement, Started, TrialStatus

PROPOSER = "import"
"""What the move log calls whoever chose the configs of another tool's study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTrial:
    """A trial that has ended: the values of its `curve` by fidelity, from 1, are the objective's.

    `label` is what its tool calls it; the times are Unix time in seconds.
    """

    label: str
    config: Mapping[str, Value]
    curve: Mapping[Fidelity, float]
    status: TrialStatus
    reason: str | None = None
    started_s: float = 0.0
    ended_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """A study of another tool, as far as it is understood; `remarks` say what was left out.

    `source` is in words where it comes from: `Optuna study 'x'`.
    """

    name: str
    source: str
    tool: str
    domains: Mapping[str, Domain]
    metric: str
    goal: Goal
    trials: Sequence[FoundTrial]
    remarks: tuple[str, ...] = ()


def renamed(found: FoundStudy, names: Mapping[str, str]) -> FoundStudy:
    """The study with hyperparameters under other names, by the name that its tool has.

    Raises:
        UsageError: a name that it does not have, or two hyperparameters under one name.
    """
    for name in names:
        if name not in found.domains:
            raise UsageError(
                f"--rename {name}={names[name]}: {found.source} has no hyperparameter {name!r}"
                + did_you_mean(name, tuple(found.domains))
            )
    after = Counter(names.get(name, name) for name in found.domains)
    for name, num in after.items():
        if num > 1:
            raise UsageError(f"--rename gives the name {name!r} to {num} hyperparameters of one")

    def under_new_names(values: Mapping[str, Value]) -> dict[str, Value]:
        return {names.get(name, name): value for name, value in values.items()}

    return replace(
        found,
        domains={names.get(name, name): domain for name, domain in found.domains.items()},
        trials=[replace(item, config=under_new_names(item.config)) for item in found.trials],
    )


def study_of(found: FoundStudy, name: str) -> tuple[Study, tuple[str, ...]]:
    """The finished study of that name, and what of its source is not in it, in words.

    Trials are numbered in the order of their start.

    Raises:
        InvalidConfigError: no search space explains the configs.
        UsageError: no trial has ended with a config.
    """
    if not found.trials:
        raise UsageError("none of its trials has ended")
    space = _space_of(found)
    fit = [trial for trial in found.trials if space.is_valid(trial.config)]
    remarks = list(found.remarks)
    if num_unfit := len(found.trials) - len(fit):
        remarks.append(f"{_trials(num_unfit)} left out: they ended before they had a whole config")
    if not fit:
        raise UsageError("none of its trials has a whole config")
    maximum = max((fidelity for trial in fit for fidelity in trial.curve), default=1)
    spec = StudySpec(
        name=name,
        space=space,
        metric=found.metric,
        goal=found.goal,
        fidelity=FidelityPlan(maximum=maximum),
        num_trials=len(fit),
    )
    return Study.from_events(spec, _events(found, fit, maximum)), tuple(remarks)


def _trials(num: int) -> str:
    return "1 trial" if num == 1 else f"{num} trials"


def _space_of(found: FoundStudy) -> SearchSpace:
    """The domains with the conditions under which the hyperparameters are there.

    Failed trials say nothing of conditions: they may have ended before they had all.
    """
    whole = [dict(trial.config) for trial in found.trials if trial.curve]
    conditions = conditions_of(whole, found.domains)
    return SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=name, domain=domain, when=conditions.get(name, {}))
            for name, domain in found.domains.items()
        )
    )


def _events(found: FoundStudy, trials: Sequence[FoundTrial], maximum: Fidelity) -> list[Event]:
    """All that happened, in the order of time."""
    happened: list[tuple[float, int, Event]] = []
    for trial_id, trial in enumerate(sorted(trials, key=lambda trial: trial.started_s)):
        ended_s = max(trial.started_s, trial.ended_s)
        for event in _trial_events(found, trial, maximum):
            is_start = isinstance(event, Started)
            at_s = trial.started_s if is_start else ended_s
            happened.append((at_s, trial_id, replace(event, at_s=at_s, trial_id=trial_id)))
    happened.sort(key=lambda item: item[:2])
    return [replace(event, seq=seq) for seq, (_, _, event) in enumerate(happened)]


def _trial_events(found: FoundStudy, trial: FoundTrial, maximum: Fidelity) -> list[Event]:
    """The events of one trial; their numbers and times are still to come."""
    decision = Decision(
        proposer=PROPOSER, expert=found.tool, text=f"{trial.label} of {found.source}"
    )
    started = Started(
        seq=0,
        at_s=0.0,
        trial_id=0,
        config=dict(trial.config),
        until=maximum,
        seed=0,
        decision=decision,
    )
    curve = sorted(trial.curve.items())
    step_s = max(0.0, trial.ended_s - trial.started_s) / max(1, len(curve))
    measurements = [
        Measurement(fidelity=fidelity, metrics={found.metric: value}, duration_s=step_s)
        for fidelity, value in curve
    ]
    measured = [Measured(seq=0, at_s=0.0, trial_id=0, measurement=item) for item in measurements]
    status, reason = _ending(found, trial)
    return [
        started,
        *measured,
        Ended(seq=0, at_s=0.0, trial_id=0, status=status, reason=reason),
    ]


def _ending(found: FoundStudy, trial: FoundTrial) -> tuple[TrialStatus, str | None]:
    """How a trial ended here: one that has no number to show for it has failed."""
    values = list(trial.curve.values())
    is_failed = trial.status is TrialStatus.FAILED
    if is_failed or any(math.isfinite(value) for value in values):
        return trial.status, trial.reason
    if values:
        return TrialStatus.FAILED, f"{found.metric} is {values[-1]}"
    if trial.status is TrialStatus.COMPLETED:
        return TrialStatus.FAILED, f"it measured no {found.metric}"
    return trial.status, trial.reason
