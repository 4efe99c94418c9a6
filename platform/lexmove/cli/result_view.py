"""The result of a study: what was reached, by which moves, and what it is worth."""

from lexmove.app.stored import Outcome, num_asked_for, store_option
from lexmove.cli.console import write, write_sentence, write_table
from lexmove.cli.wording import NOTHING, say_arm, say_gain, say_metric, say_move, say_number
from lexmove.results.judgement import Winner
from lexmove.results.summary import DEFAULT_ARM, Arm, arm_name, best_moves, doubts
from lexmove.results.verdict import contenders, verdict
from lexmove.results.wording import (
    CLASS_HEADERS,
    class_rows,
    classifier_lines,
    say_count,
    say_repeated,
    say_spread,
    say_started,
    spread_note,
)
from lexmove.space.move import say_value
from lexmove.study.study import Study

_NUM_MOVES = 3
_MAX_CLASSES = 12


def write_result(outcome: Outcome, *, store: str | None = None) -> None:
    """Everything that `tune`, `resume`, `demo` and `best` say at the end, on stdout.

    `store` is the URL of the store that the study is in; None for the one that is looked in anyway.
    """
    study, winner = outcome.study, outcome.winner
    if outcome.state == "running":
        started = say_started(study.spec, len(study.trials))
        write_sentence(f"study {study.spec.name} is running, {started} trials: this may change yet")
        write()
    if outcome.state == "interrupted":
        _write_what_is_missing(study, store)
    if winner is None:
        write(f"study {study.spec.name}: no trial has succeeded yet")
        return
    _write_trajectory(study)
    _write_winner(outcome, winner)
    _write_moves(study)
    _write_comparison(outcome)
    _write_classes(outcome)
    _write_decision(outcome)
    _write_doubts(outcome)


def _write_what_is_missing(study: Study, store: str | None) -> None:
    """That this is no result yet, and what makes it one."""
    name = study.spec.name
    started = say_started(study.spec, len(study.trials))
    waiting = num_asked_for(study)
    state = f"{say_count(waiting, 'config')} to be tried" if waiting else "interrupted"
    line = f"study {name}: {state}, {started} trials"
    if not study.num_trials_left:
        line += ", its last steps are missing"
    if study.spec.job:  # else lexmove cannot resume it
        line += f"; `lexmove resume {name}{store_option(store)}` goes on"
    write_sentence(line)
    write()


def _heading(text: str) -> None:
    write()
    write(text, style="bold")


def _write_trajectory(study: Study) -> None:
    write(f"Trajectory of study {study.spec.name} ({say_metric(study.spec.metric)})", style="bold")
    # Trials run side by side: several may report before the next one is started.
    latest = dict(study.trajectory)
    headers = ("trials started", "best so far")
    write_table(
        headers, [[str(n), say_number(value)] for n, value in latest.items()], right=headers
    )


def _write_winner(outcome: Outcome, winner: Winner) -> None:
    study = outcome.study
    _heading(f"Best config ({winner.arm}, after epoch {winner.until})")
    config = winner.config
    write_table(("hyperparameter", "value"), [[name, say_value(config[name])] for name in config])
    trial = None if winner.trial_id is None else study.trials[winner.trial_id]
    score = None if trial is None else study.best_of(trial)
    if score is not None:
        line = f"validation {say_metric(study.spec.metric)} {say_number(score.value)}"
        if score.fidelity != winner.until:
            line += f" in the search, after epoch {score.fidelity}"
        write(line)
    incumbent = study.incumbent
    if incumbent is not None and incumbent.trial_id != winner.trial_id:
        found = f"trial {incumbent.trial_id} scored {say_number(incumbent.value)} in the search"
        write(f"({found}, and {_repeated_beside(outcome, incumbent.trial_id, winner)})")


def _repeated_beside(outcome: Outcome, trial_id: int, winner: Winner) -> str:
    """How a trial did beside the winner once both were repeated."""
    config = outcome.study.trials[trial_id].config
    scores = {arm.name: arm.validation for arm in outcome.arms}
    default = next((arm for arm in outcome.arms if arm.name == DEFAULT_ARM), None)
    is_default = default is not None and default.config == config
    own = scores.get(winner.arm)
    other = scores.get(DEFAULT_ARM if is_default else arm_name(trial_id))
    if own is None or other is None:
        return "was not repeated to its end"
    lead = outcome.study.sign * (own.mean - other.mean)
    if lead < 0:
        return f"better than this one when repeated, but with {say_count(other.num_seeds, 'seed')}"
    return f"{'worse than' if lead else 'the same as'} this one when both were repeated"


def _write_moves(study: Study) -> None:
    moves = best_moves(study, num=_NUM_MOVES)
    if not moves:
        return
    _heading("Best moves (gain over the best at the time)")
    rows = [
        [
            str(trial.trial_id),
            say_gain(trial.decision.predicted_gain),
            say_gain(gain),
            _move_words(study, trial.trial_id),
        ]
        for trial, gain in moves
    ]
    headers = ("trial", "predicted", "realised", "move")
    write_table(headers, rows, right=headers[:3])


def _move_words(study: Study, trial_id: int) -> str:
    decision = study.trials[trial_id].decision
    origin = decision.move.origin if decision.move else None
    return say_move(decision.text) + ("" if origin is None else f" (from trial {origin})")


def _write_comparison(outcome: Outcome) -> None:
    """The table of what was repeated, and the verdict on it."""
    reference = outcome.reference
    if not outcome.arms and reference is None:
        return
    best = "" if outcome.winner is None else outcome.winner.arm
    rows = [_arm_row(arm, best) for arm in outcome.arms]
    if reference is not None:
        scores = [say_number(reference.get(split)) for split in ("validation", "test")]
        rows.append([str(reference["name"]), *scores, NOTHING])
    metric = outcome.study.spec.metric
    rows += _published_rows(outcome, metric)
    if outcome.arms:
        spread = say_spread(outcome.arms)
        _heading(f"Repeated with fresh seeds: mean {say_metric(metric)}{spread}")
    else:
        _heading(f"To compare with ({say_metric(metric)}; nothing was repeated)")
    stressed = next((i for i, arm in enumerate(outcome.arms) if arm.name == best), None)
    headers = ("config", "validation", "test", "seeds")
    write_table(headers, rows, right=headers[1:], bold=stressed)
    is_paired = outcome.judgement is not None and bool(outcome.judgement.differences)
    if note := spread_note(outcome.arms, is_paired=is_paired):
        write_sentence(note)
    ranked = contenders(outcome.arms, reference, sign=outcome.study.sign)
    sentence = verdict(ranked, best=best or None, judgement=outcome.judgement)
    if sentence:
        write()
        write(sentence)


def _published_rows(outcome: Outcome, metric: str) -> list[list[str]]:
    """What others reached on the same test split, where the literature has this metric."""
    if metric not in ("f1_micro", "f1_macro"):
        return []
    found = [(item.model, getattr(item, metric)) for item in outcome.published]
    return [
        [f"{model} (published)", NOTHING, say_number(value), NOTHING]
        for model, value in found
        if value is not None
    ]


def _write_classes(outcome: Outcome) -> None:
    """How the winner tells the classes apart; of many those that it tells least."""
    classes = () if outcome.judgement is None else outcome.judgement.classes
    if not classes:
        return
    from lexmove.cli.guessing_columns import say_class

    few = "" if len(classes) <= _MAX_CLASSES else f", the {_MAX_CLASSES} lowest of {len(classes)}"
    _heading(f"The winner on test, class by class (mean of its seeds{few})")
    rows = class_rows(classes, most=_MAX_CLASSES, say=say_class)
    write_table(CLASS_HEADERS, rows, right=CLASS_HEADERS[1:5])


def _write_decision(outcome: Outcome) -> None:
    """What was made of the winner: an ensemble, calibrated probabilities, a threshold, a folder."""
    judgement = outcome.judgement
    if judgement is None:
        return
    lines = classifier_lines(judgement, say_metric(outcome.study.spec.metric))
    if lines:
        _heading("The classifier")
        for line in lines:
            write(line)


def _write_doubts(outcome: Outcome) -> None:
    judgement = outcome.judgement
    if judgement is None:
        return
    for line in doubts(judgement, outcome.arms, outcome.reference):
        write_sentence(f"warning: {line}", style="yellow")


def _arm_row(arm: Arm, best: str) -> list[str]:
    num_seeds = max((item.num_seeds for item in (arm.validation, arm.test) if item), default=0)
    return [
        say_arm(arm.name, best=best),
        say_repeated(arm.validation),
        say_repeated(arm.test),
        str(num_seeds),
    ]
