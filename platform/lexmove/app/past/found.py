"""What another tool found: configs with their curves, and the study that they make."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lexmove.app.past.conditions import conditions_of
from lexmove.errors import UsageError, did_you_mean
from lexmove.space.domain import Domain, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.scoring import Goal, Scoring
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Decision, Ended, Event, Measured, Measurement, Started, TrialStatus

PROPOSER = "import"
"""What the move log calls whoever chose the configs of another tool's study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTrial:
    """A trial that has ended: the values of its `curve` by fidelity, from 1, are the objective's.

    The one at its highest fidelity is what the trial is worth. `label` is what its tool calls it;
    the times are Unix time in seconds.
    """

    label: str
    config: Mapping[str, Value]
    curve: Mapping[Fidelity, float]
    status: TrialStatus
    reason: str | None = None
    started_s: float = 0.0
    ended_s: float = 0.0

    @property
    def final(self) -> float:
        """What it is worth; NaN without a value."""
        return self.curve[max(self.curve)] if self.curve else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """A study of another tool, as far as it is understood; `remarks` say what was left out.

    `source` is in words where it comes from: `Optuna study 'x'`. `only_completed_win` says that
    its tool takes no stopped trial for the best one.
    """

    name: str
    source: str
    tool: str
    domains: Mapping[str, Domain]
    metric: str
    goal: Goal
    trials: Sequence[FoundTrial]
    only_completed_win: bool = False
    remarks: tuple[str, ...] = ()


def renamed(found: FoundStudy, names: Mapping[str, str]) -> FoundStudy:
    """The study with hyperparameters under other names, by the name that its tool has.

    Raises:
        UsageError: a name that it does not have, or two hyperparameters under one name.
    """
    if not found.domains:
        return found  # what is wrong with it is not the names
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
        UsageError: no trial has ended with a config, or none has a hyperparameter.
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
    counted, said = _as_counted(found, fit)
    maximum = max((fidelity for trial in counted for fidelity in trial.curve), default=1)
    spec = StudySpec(
        name=name,
        space=space,
        metric=found.metric,
        goal=found.goal,
        fidelity=FidelityPlan(maximum=maximum),
        num_trials=len(fit),
    )
    return Study.from_events(spec, _events(found, counted, maximum)), (*remarks, *said)


def _trials(num: int) -> str:
    return "1 trial" if num == 1 else f"{num} trials"


def _space_of(found: FoundStudy) -> SearchSpace:
    """The domains with the conditions under which the hyperparameters are there.

    Failed trials say nothing of conditions: they may have ended before they had all.

    Raises:
        InvalidConfigError: no conditions explain the configs.
        UsageError: there are no domains.
    """
    if not found.domains:
        none = "none of its trials has a hyperparameter"
        raise UsageError("; ".join((none, *found.remarks)))
    whole = [dict(trial.config) for trial in found.trials if trial.curve]
    conditions = conditions_of(whole, found.domains)
    return SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=name, domain=domain, when=conditions.get(name, {}))
            for name, domain in found.domains.items()
        )
    )


def _as_counted(
    found: FoundStudy, trials: Sequence[FoundTrial]
) -> tuple[list[FoundTrial], list[str]]:
    """The trials with as much of their curves as agrees with their tool, and what that leaves out.

    A trial of lexmove counts with its best value, whose checkpoint it keeps. Another tool has only
    what a trial came to in the end: nothing better than that may stand in its curve.
    """
    sign = Scoring(found.metric, found.goal).sign
    beaten = _below_the_best(trials, sign) if found.only_completed_win else list(trials)
    counted = [_below_its_end(trial, sign) for trial in beaten]
    remarks = []
    if num := _num_shorter(trials, beaten):
        remarks.append(
            f"values of {_trials(num)} left out: stopped, and no worse than the best completed one"
        )
    if num := _num_shorter(beaten, counted):
        remarks.append(
            f"in {_trials(num)} a value on the way was better than the final one: the final one "
            "counts"
        )
    return counted, remarks


def _below_the_best(trials: Sequence[FoundTrial], sign: float) -> list[FoundTrial]:
    """The trials; what stopped ones reached is left out where no completed one came to more."""
    completed = [
        sign * trial.final
        for trial in trials
        if trial.status is TrialStatus.COMPLETED and math.isfinite(trial.final)
    ]
    if not completed:
        return list(trials)
    best = max(completed)
    return [
        _without(trial, lambda value: not sign * value < best)
        if trial.status is TrialStatus.STOPPED and sign * trial.final >= best
        else trial
        for trial in trials
    ]


def _below_its_end(trial: FoundTrial, sign: float) -> FoundTrial:
    """The trial without what is better than its final value; whole where it has no score anyway."""
    final = trial.final
    if trial.status is TrialStatus.FAILED or not math.isfinite(final):
        return trial
    return _without(trial, lambda value: math.isfinite(value) and sign * value > sign * final)


def _without(trial: FoundTrial, is_left_out: Callable[[float], bool]) -> FoundTrial:
    kept = {step: value for step, value in trial.curve.items() if not is_left_out(value)}
    return replace(trial, curve=kept)


def _num_shorter(before: Sequence[FoundTrial], after: Sequence[FoundTrial]) -> int:
    return sum(len(a.curve) < len(b.curve) for a, b in zip(after, before, strict=True))


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
    """How a trial ended here: one that came to no number has failed."""
    if trial.status is TrialStatus.FAILED or math.isfinite(trial.final):
        return trial.status, trial.reason
    if trial.curve:
        return TrialStatus.FAILED, f"{found.metric} is {trial.final}"
    if trial.status is TrialStatus.COMPLETED:
        return TrialStatus.FAILED, f"it measured no {found.metric}"
    return trial.status, trial.reason
