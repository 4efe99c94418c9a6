"""The agent's story: a study's trials and segments in words."""

from collections.abc import Sequence

from lexmove.results.summary import TEST_PREFIX
from lexmove.results.wording import (
    NOTHING,
    gain_over_parent,
    say_arm,
    say_count,
    say_duration,
    say_epoch,
    say_gain,
    say_metric,
    say_move,
    say_number,
    say_probability,
    say_value_of,
    say_why,
)
from lexmove.study.study import Study
from lexmove.study.trial import Continued, Ended, Trial, TrialStatus

TRIAL_HEADERS = ("trial", "state", "value", "Δ parent", "move", "why", "epoch", "age")
"""Columns of `trial_row`; the third carries the metric's name."""

RIGHT_HEADERS = ("trial", "value", "Δ parent", "epoch", "age")
"""Columns that hold numbers."""

_STATES = {
    TrialStatus.PAUSED: "paused",
    TrialStatus.COMPLETED: "completed",
    TrialStatus.STOPPED: "stopped",
    TrialStatus.PREEMPTED: "lost its worker",
    TrialStatus.FAILED: "failed",
    TrialStatus.INFEASIBLE: "is infeasible",
}


def trial_row(study: Study, trial: Trial, *, age_s: float) -> list[str]:
    """One trial as a row; `age_s` is the last column, in seconds."""
    return [
        str(trial.trial_id),
        trial.status.value.lower(),
        say_value_of(study, trial),
        say_gain(gain_over_parent(study, trial)),
        trial.reason
        if trial.status in _UNUSABLE and trial.reason
        else say_move(trial.decision.text),
        say_why(trial.decision),
        say_epoch(trial),
        say_duration(age_s),
    ]


_UNUSABLE = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)


def age_s(trial: Trial, *, now_s: float) -> float:
    """Seconds from a trial's start to its end, or to now."""
    return (trial.ended_s or now_s) - trial.started_s


def training_s(trial: Trial) -> float:
    """Seconds that a trial has trained, pauses left out."""
    return sum(item.duration_s for item in trial.measurements)


def latest_trials(study: Study, *, num: int) -> list[Trial]:
    """The trials to which something happened last, and the incumbent, in order of their ids."""
    chosen = list(study.latest_trials(num))
    incumbent = study.incumbent
    if incumbent is not None and all(t.trial_id != incumbent.trial_id for t in chosen):
        chosen = [*chosen[: num - 1], study.trials[incumbent.trial_id]]
    return sorted(chosen, key=lambda trial: trial.trial_id)


def standing(study: Study) -> str:
    """The incumbent so far and what is left of the budget, on one line."""
    incumbent = study.incumbent
    best = (
        "no value yet"
        if incumbent is None
        else f"best {say_number(incumbent.value)} (trial {incumbent.trial_id})"
    )
    if study.spec.wall_clock_s is not None:
        return f"{best} · {say_count(len(study.trials), 'trial')} by the clock"
    return f"{best} · {study.num_trials_left} of {study.spec.num_trials} trials left to start"


def segment_line(study: Study, event: Ended) -> str:
    """The end of one segment on one line: what was reached, by which move, and why it was made.

    `study` is the study right after the event.
    """
    trial = study.trials[event.trial_id]
    parts = [f"trial {trial.trial_id} {_STATES[event.status]}"]
    if event.status in _UNUSABLE or event.status is TrialStatus.PREEMPTED:
        return f"{parts[0]}: {event.reason or 'no reason given'}"
    parts[0] += (
        f" at epoch {trial.fidelity}: {say_metric(study.spec.metric)} {_reached(study, trial)}"
    )
    parts += [text for text in (_gain_text(study, trial), _move_text(trial)) if text]
    return " · ".join(parts)


def _reached(study: Study, trial: Trial) -> str:
    """The latest value, and the trial's best where that is another: gains are told of the best."""
    if not trial.measurements:
        return NOTHING
    latest = say_number(trial.measurements[-1].metrics.get(study.spec.metric))
    best = say_value_of(study, trial)
    return latest if best in (latest, NOTHING) else f"{latest} (its best {best})"


def _gain_text(study: Study, trial: Trial) -> str:
    gain, move = gain_over_parent(study, trial), trial.decision.move
    if gain is None or move is None or move.origin is None:
        return ""
    said, parent = f"{say_gain(gain)} over trial {move.origin}", study.trials[move.origin]
    best = study.best_of(parent)
    if best is None or parent.fidelity == trial.fidelity:
        return said
    # Of trials that were trained for different lengths a gain says little of the move.
    return f"{said} after {say_count(best.fidelity, 'epoch')}"


def _move_text(trial: Trial) -> str:
    continued = [event for event in trial.events if isinstance(event, Continued) and event.decision]
    decision = continued[-1].decision if continued else trial.decision
    if decision is None or not decision.text:
        return ""
    return f"{say_move(decision.text)} ({say_why(decision)})"


def repetition_line(study: Study, event: Ended) -> str:
    """The end of one repetition on one line."""
    trial = study.trials[event.trial_id]
    name = f"{say_arm(trial.decision.expert)}, {trial.decision.text}"
    if event.status in _UNUSABLE or event.status is TrialStatus.PREEMPTED:
        return f"{name}: {_STATES[event.status]}, {event.reason or 'no reason given'}"
    metric = study.spec.metric
    metrics = trial.measurements[-1].metrics if trial.measurements else {}
    return (
        f"{name}: {say_metric(metric)} {say_number(metrics.get(metric))} on validation, "
        f"{say_number(metrics.get(TEST_PREFIX + metric))} on test"
    )


def repetition_row(study: Study, trial: Trial, *, now_s: float) -> list[str]:
    """One repetition as a row of the live table."""
    metric = study.spec.metric
    metrics = trial.measurements[-1].metrics if trial.measurements else {}
    return [
        say_arm(trial.decision.expert),
        trial.decision.text,
        "done" if _is_done(trial) else trial.status.value.lower(),
        say_number(metrics.get(metric)),
        say_number(metrics.get(TEST_PREFIX + metric)),
        say_epoch(trial),
        say_duration(age_s(trial, now_s=now_s)),
    ]


def _is_done(trial: Trial) -> bool:
    """Whether a repetition reached what it was asked for, be it less than the full length."""
    return trial.fidelity == trial.until and trial.status not in _UNUSABLE


REPETITION_HEADERS = ("config", "seed", "state", "validation", "test", "epoch", "age")
"""Columns of `repetition_row`."""


def runners_up_lines(trial: Trial) -> Sequence[str]:
    """What the agent nearly did instead, one line each."""
    return [
        f"p {say_probability(item.probability)}  {item.text}" for item in trial.decision.runners_up
    ]
