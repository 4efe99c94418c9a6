"""What `ls` and `show` print: studies, trials, and one trial with its move."""

from collections.abc import Sequence

from lexmove.app.stored import Outcome
from lexmove.cli.console import write, write_table
from lexmove.cli.wording import (
    NOTHING,
    say_config,
    say_duration,
    say_gain,
    say_metric,
    say_number,
    say_value_of,
    say_why,
)
from lexmove.results import story
from lexmove.results.summary import Arm
from lexmove.results.wording import say_started
from lexmove.space.move import say_value
from lexmove.study.study import Study
from lexmove.study.trial import Trial

_MAX_SHOWN = 200
"""Trials that `show` lists: more than anyone reads, few enough to be there at once."""


def write_studies(outcomes: Sequence[Outcome]) -> None:
    """One line per study."""
    rows = []
    for outcome in outcomes:
        study = outcome.study
        incumbent, winner = study.incumbent, repeated_winner(outcome)
        rows.append(
            [
                study.spec.name,
                outcome.state,
                say_started(study.spec, len(study.trials)),
                say_metric(study.spec.metric),
                say_number(None if incumbent is None else incumbent.value),
                NOTHING if incumbent is None else str(incumbent.trial_id),
                NOTHING if winner is None else winner.name,
                say_number(_mean(winner)),
            ]
        )
    headers = ("study", "state", "trials", "metric", "best", "by trial", "winner", "repeated")
    write_table(headers, rows, right=("best", "by trial", "repeated"))


def repeated_winner(outcome: Outcome) -> Arm | None:
    """What won the repetitions, which need not be what the search liked best."""
    if outcome.judgement is None:
        return None
    return next((arm for arm in outcome.arms if arm.name == outcome.judgement.winner.arm), None)


def _mean(arm: Arm | None) -> float | None:
    return None if arm is None or arm.validation is None else arm.validation.mean


def write_study(outcome: Outcome) -> None:
    """A study with its trials and their moves; of very many the last and the best."""
    study = outcome.study
    found = ", ".join(f"{number} {status.value.lower()}" for status, number in study.counts.items())
    write(f"study {study.spec.name}: {outcome.state}; trials: {found or 'none'}", style="bold")
    write(story.standing(study))
    if (winner := repeated_winner(outcome)) is not None:
        write(
            f"winner of the repetitions: {winner.name}, mean {say_number(_mean(winner))} on "
            "validation: `lexmove best` says what that is worth"
        )
    write()
    renamed = {"value": say_metric(study.spec.metric), "age": "trained"}
    headers = [renamed.get(name, name) for name in story.TRIAL_HEADERS]
    shown = _shown(study)
    rows = [story.trial_row(study, trial, age_s=story.training_s(trial)) for trial in shown]
    right = [*renamed.values(), *story.RIGHT_HEADERS]
    best = None if study.incumbent is None else study.incumbent.trial_id
    bold = next((row for row, trial in enumerate(shown) if trial.trial_id == best), None)
    write_table(headers, rows, right=right, bold=bold)
    if len(shown) < len(study.trials):
        write()
        write(f"{len(study.trials) - len(shown)} earlier trials are left out; --json has them all")


def _shown(study: Study) -> list[Trial]:
    """All trials of a study of at most `_MAX_SHOWN`; else the best and those started last."""
    first = max(0, len(study.trials) - _MAX_SHOWN)
    best = study.incumbent
    is_earlier = best is not None and best.trial_id < first
    return [
        *([study.trials[best.trial_id]] if best is not None and is_earlier else []),
        *study.trials[first + is_earlier :],
    ]


def write_trial(study: Study, trial: Trial) -> None:
    """One trial: its config, why it was tried, its curve, and how it ended."""
    write(f"trial {trial.trial_id} of study {study.spec.name}", style="bold")
    facts = [
        ("state", trial.status.value.lower()),
        ("reason", trial.reason or NOTHING),
        (say_metric(study.spec.metric), say_value_of(study, trial)),
        ("config", say_config(trial.config)),
        ("move", trial.decision.text or NOTHING),
        ("why", say_why(trial.decision)),
        ("predicted gain", _predicted(trial)),
        ("realised gain", say_gain(study.realised_gain(trial))),
        ("policy version", trial.decision.policy_version or NOTHING),
        ("seed", str(trial.started.seed)),
    ]
    write_table(("", ""), [list(fact) for fact in facts])
    _write_curve(trial)
    lines = story.runners_up_lines(trial)
    if lines:
        write()
        write("What the agent nearly did instead", style="bold")
        for line in lines:
            write(line)


def _predicted(trial: Trial) -> str:
    gain, std = trial.decision.predicted_gain, trial.decision.predicted_gain_std
    return say_gain(gain) + ("" if std is None else f" ± {say_number(std)}")


def _write_curve(trial: Trial) -> None:
    if not trial.measurements:
        return
    names = list(trial.measurements[-1].metrics)
    rows = [
        [str(item.fidelity)]
        + [say_value(float(item.metrics.get(name, float("nan")))) for name in names]
        + [say_duration(item.duration_s)]
        for item in trial.measurements
    ]
    write()
    headers = ("epoch", *map(say_metric, names), "took")
    write_table(headers, rows, right=headers)
