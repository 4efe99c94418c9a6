"""What a study says about itself: the JSON of `ls`, `show` and `best` (schema_version 1)."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexmove.job.own_code import with_own_file
from lexmove.results.judgement import Judgement, Winner, warnings_of
from lexmove.space.search_space import Config
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Trial

SCHEMA_VERSION = 1
TEST_PREFIX = "test_"
"""Metrics of the test split carry this prefix in a measurement."""

_MADE = ("ensemble", "calibration", "threshold", "model", "model_scores", "classes")
"""What a judgement says of the winner, and of the classifier that was made of it."""

DEFAULT_ARM = "default"
"""The arm of the repetitions that holds the space's default config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """Scores of one config over several seeds: mean and half-width of the 95 % interval.

    The interval is Student's t on the seeds; NaN for a single seed. It speaks of the training
    noise alone, not of the finite validation or test split. `values` are the scores themselves.
    """

    mean: float
    ci95: float
    num_seeds: int
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Sequence[float]) -> "Repeated | None":
        """The summary of some values; None for none."""
        if not values:
            return None
        num = len(values)
        mean = math.fsum(values) / num
        if num == 1:
            return cls(mean=mean, ci95=math.nan, num_seeds=1, values=tuple(values))
        variance = math.fsum((value - mean) ** 2 for value in values) / (num - 1)
        # Imported here: scipy takes longer to load than a command that shows a study may last.
        from scipy.special import stdtrit

        half = float(stdtrit(num - 1, 0.975)) * math.sqrt(variance / num)
        return cls(mean=mean, ci95=half, num_seeds=num, values=tuple(values))

    def to_json(self) -> dict[str, Any]:
        """Absent values are null."""
        ci95 = None if math.isnan(self.ci95) else self.ci95
        return {"mean": self.mean, "ci95": ci95, "num_seeds": self.num_seeds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One config that was repeated: its scores on validation and on the untouched test split."""

    name: str
    config: Config
    validation: Repeated | None
    test: Repeated | None


def repeated_arms(repetitions: Study | None) -> tuple[Arm, ...]:
    """The arms of a study of repetitions, in the order of their first trial.

    Trials belong together by `Decision.expert`, which names the arm. A score is the one at the
    fidelity that the repetition was asked for. None before the first score is there.
    """
    if repetitions is None:
        return ()
    by_arm: dict[str, list[Trial]] = {}
    for trial in repetitions.trials:
        by_arm.setdefault(trial.decision.expert, []).append(trial)
    metric = repetitions.spec.metric
    arms = tuple(
        Arm(
            name=name,
            config=trials[0].config,
            validation=Repeated.of(_last_values(trials, metric)),
            test=Repeated.of(_last_values(trials, TEST_PREFIX + metric)),
        )
        for name, trials in by_arm.items()
    )
    return arms if any(arm.validation for arm in arms) else ()


def _last_values(trials: Sequence[Trial], metric: str) -> list[float]:
    values = [
        trial.measurements[-1].metrics.get(metric, math.nan)
        for trial in trials
        if trial.measurements and trial.fidelity == trial.until
    ]
    return [value for value in values if math.isfinite(value)]


def arm_name(trial_id: int) -> str:
    """The name of the arm that repeats a trial."""
    return f"trial {trial_id}"


def list_json(studies: Sequence[tuple[Study, str, Arm | None]]) -> dict[str, Any]:
    """`ls --json`: every study with its state, and what won its repetitions if that is known."""
    return {
        "schema_version": SCHEMA_VERSION,
        "studies": [
            {
                **_study_json(study, state),
                "trials": len(study.trials),
                "winner": None if winner is None else winner.name,
                "repeated": _repeated_json(None if winner is None else winner.validation),
            }
            for study, state, winner in studies
        ],
    }


def show_json(study: Study, state: str) -> dict[str, Any]:
    """`show --json`: the study with every trial and its row of the move log."""
    return {
        "schema_version": SCHEMA_VERSION,
        **_study_json(study, state),
        "trials": [trial_json(study, trial) for trial in study.trials],
    }


def _study_json(study: Study, state: str) -> dict[str, Any]:
    return {
        "study": study.spec.name,
        "state": state,
        "goal": study.spec.goal,
        "metric": study.spec.metric,
        "budget": {"trials": study.spec.num_trials, "wall_clock_s": study.spec.wall_clock_s},
        "incumbent": _incumbent_json(study),
    }


def trial_json(study: Study, trial: Trial) -> dict[str, Any]:
    """One trial as `show --json` has it."""
    best = study.best_of(trial)
    return {
        "trial_id": trial.trial_id,
        "state": trial.status.value,
        "value": None if best is None else best.value,
        "config": dict(trial.config),
        "move": _move_json(study, trial, trial.decision),
        "fidelity": trial.fidelity,
        "reason": trial.reason,
        "started": trial.started_s,
        "finished": trial.ended_s,
    }


def metric_name(name: str) -> str:
    """A metric's name for people and in tables: of a function in a file, without the folder."""
    return with_own_file(name, lambda path: Path(path).name)


def trial_table(study: Study) -> dict[str, list[Any]]:
    """The trials as columns of equal length; None where a trial has no value.

    `trial`, `state`, `epochs` trained, the trial's best value under the metric's name, `seconds` of
    training, pauses left out, `move` in words, and `config/NAME` of each hyperparameter.
    """
    trials = study.trials
    bests = [study.best_of(trial) for trial in trials]
    configs = {
        f"config/{item.name}": [trial.config.get(item.name) for trial in trials]
        for item in study.spec.space.hyperparameters
    }
    return {
        "trial": [trial.trial_id for trial in trials],
        "state": [trial.status.value for trial in trials],
        "epochs": [trial.fidelity for trial in trials],
        metric_name(study.spec.metric): [None if best is None else best.value for best in bests],
        "seconds": [sum(item.duration_s for item in trial.measurements) for trial in trials],
        "move": [trial.decision.text for trial in trials],
        **configs,
    }


def _move_json(study: Study, trial: Trial, decision: Decision) -> dict[str, Any]:
    return {
        "text": decision.text,
        "origin": None if decision.move is None else decision.move.origin,
        "probability": decision.probability,
        "predicted_gain": decision.predicted_gain,
        "realised_gain": study.realised_gain(trial),
        "expert": decision.expert,
    }


def winner_of(study: Study, judgement: Judgement | None) -> Winner | None:
    """What won its repetitions; before them the incumbent; None before any score."""
    if judgement is not None:
        return judgement.winner
    incumbent = study.incumbent
    if incumbent is None:
        return None
    return Winner(
        arm=arm_name(incumbent.trial_id),
        config=study.trials[incumbent.trial_id].config,
        until=incumbent.fidelity,
        trial_id=incumbent.trial_id,
    )


def best_json(
    study: Study,
    *,
    arms: Sequence[Arm],
    reference: Mapping[str, Any] | None,
    judgement: Judgement | None = None,
) -> dict[str, Any]:
    """`best --json`: the winner, its repetitions, what to compare it with, and what is doubtful.

    `reference` holds name, validation and test of the classifier that needs no tuning.
    """
    winner = winner_of(study, judgement)
    trial_id = None if winner is None else winner.trial_id
    trial = None if trial_id is None else study.trials[trial_id]
    named = {arm.name: arm for arm in arms}
    own = None if winner is None else named.get(winner.arm)
    default = named.get(DEFAULT_ARM)
    score = None if trial is None else study.best_of(trial)
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.spec.name,
        "trial_id": trial_id,
        "config": None if winner is None else dict(winner.config),
        "validation": None if score is None else score.value,
        "repeated": _repeated_json(own.validation if own else None),
        "test": _mean(own.test if own else None),
        "default": {
            "validation": _mean(default.validation if default else None),
            "test": _mean(default.test if default else None),
        },
        "reference": {
            key: None if reference is None else reference.get(key)
            for key in ("name", "validation", "test")
        },
        "policy_version": None if trial is None else trial.decision.policy_version,
        **_judgement_json(judgement, arms, reference),
    }


def _judgement_json(
    judgement: Judgement | None, arms: Sequence[Arm], reference: Mapping[str, Any] | None
) -> dict[str, Any]:
    if judgement is None:
        return {"differences": [], **dict.fromkeys(_MADE), "warnings": []}
    data = judgement.to_json()
    return {
        "differences": data["differences"],
        **{key: data[key] or None for key in _MADE},
        "warnings": list(doubts(judgement, arms, reference)),
    }


def doubts(
    judgement: Judgement, arms: Sequence[Arm], reference: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """What a user should hear before trusting the winner, in sentences."""
    names = [arm.name for arm in arms]
    finalists = [name for name in names if re.fullmatch(r"trial \d+", name)]
    return warnings_of(
        judgement,
        finalists=finalists,
        comparisons=[name for name in names if name not in (*finalists, DEFAULT_ARM)],
        default=DEFAULT_ARM,
        reference=None if reference is None else reference.get("name"),
    )


def _incumbent_json(study: Study) -> dict[str, Any] | None:
    incumbent = study.incumbent
    if incumbent is None:
        return None
    return {"trial_id": incumbent.trial_id, "value": incumbent.value}


def _repeated_json(repeated: Repeated | None) -> dict[str, Any]:
    if repeated is None:
        return {"mean": None, "ci95": None, "num_seeds": None}
    return repeated.to_json()


def _mean(repeated: Repeated | None) -> float | None:
    return None if repeated is None else repeated.mean


def best_moves(study: Study, *, num: int) -> tuple[tuple[Trial, float], ...]:
    """The trials whose move gained most over the incumbent of their time, best first; at most 10.

    Each with its gain, in units of the objective.
    """
    return tuple((study.trials[trial_id], gain) for trial_id, gain in study.top_moves[:num])
