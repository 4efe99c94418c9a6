"""After the repetitions: the winner, its differences to the others, calibration, and its model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexmove.app.stored import judgement_name
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import TrialFailedError
from lexmove.job.spec import JobSpec
from lexmove.results.judgement import Calibration, Difference, Ensemble, Judgement
from lexmove.results.summary import DEFAULT_ARM, arm_name
from lexmove.study.study import Study
from lexmove.study.trial import Trial
from lexmove.trials.checkpoint import discard_weights, load_logits, load_weights_of
from lexmove.trials.prediction import (
    DecisionRule,
    Labels,
    Logits,
    Probabilities,
    expected_calibration_error,
)
from lexmove.trials.recipe import Recipe
from lexmove.trials.reference import fit_reference
from lexmove.trials.saved_model import save_model
from lexmove.trials.scoring import fitted_threshold, score
from lexmove.trials.tasks.task import TaskData, load_task

_log = logging.getLogger(__name__)

_NUM_RESAMPLES = 200
_SPLITS = ("validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answers:
    """What a classifier says of a split: probabilities (N, C) and decisions of each seed."""

    probabilities: Sequence[Probabilities]
    decisions: Sequence[Labels]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Arm:
    """Something to compare: its answers by split; of repeated configs also what each seed left."""

    name: str
    answers: Mapping[str, _Answers]
    rules: Sequence[DecisionRule] = ()
    logits: Sequence[Mapping[str, Logits]] = ()
    trials: Sequence[Trial] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judge:
    """Scores on one task by one metric; `sign` turns a metric to minimise around."""

    task: TaskData
    metric: str
    sign: float

    def scores(
        self, arm: _Arm, split: str, index: NDArray[np.int64] | slice = slice(None)
    ) -> list[float]:
        """Of every seed on these examples, more is better."""
        labels, answers = self.task.split(split).labels[index], arm.answers[split]
        return [
            self.sign
            * score(
                labels, decisions[index], probabilities[index], task=self.task, metric=self.metric
            )
            for probabilities, decisions in zip(
                answers.probabilities, answers.decisions, strict=True
            )
        ]

    def differences(self, winner: _Arm, others: Sequence[_Arm], split: str) -> list[Difference]:
        """Paired bootstrap: examples are drawn anew, the same for all, and so are seeds."""
        rng = np.random.default_rng(0)
        num = len(self.task.split(split))
        arms = [winner, *others]
        means = [float(np.mean(self.scores(arm, split))) for arm in arms]
        drawn = np.empty((_NUM_RESAMPLES, len(arms)))
        for row in drawn:
            index = rng.integers(num, size=num)
            seeds = rng.integers(len(winner.trials), size=len(winner.trials))
            for place, arm in enumerate(arms):
                scores = self.scores(arm, split, index)
                row[place] = np.mean([scores[seed % len(scores)] for seed in seeds])
        low, high = np.quantile(drawn[:, :1] - drawn[:, 1:], (0.025, 0.975), axis=0)
        return [
            Difference(
                other=arm.name,
                split=split,
                mean=means[0] - mean,
                low=float(low[place]),
                high=float(high[place]),
            )
            for place, (arm, mean) in enumerate(zip(others, means[1:], strict=True))
        ]


def judge(job: JobSpec, study: Study, repetitions: Study, study_dir: StudyDir) -> Judgement | None:
    """Compares what was repeated, keeps the winner's model, and writes both down.

    Reads the reference's score on the test split, too. Of the repetitions' checkpoints the logits
    stay. None where no logits can be read here: nothing is known beyond the scores.
    """
    judging = _Judge(task=load_task(job.task), metric=study.spec.metric, sign=study.sign)
    reference = _reference(job, judging, study_dir)
    arms = _repeated(job, repetitions, judging)
    names = [arm_name(item.trial_id) for item in study.ranking[: job.repetitions.top]]
    # The default may turn out best: tuning need not have found anything.
    candidates = [arm for name in (*names, DEFAULT_ARM) for arm in arms if arm.name == name]
    if not candidates:
        return None
    winner = max(candidates, key=lambda arm: np.mean(judging.scores(arm, "validation")))
    others = [arm for arm in (*arms, reference) if arm is not winner]
    judgement = Judgement(
        winner=winner.name,
        differences=tuple(
            item for split in _SPLITS for item in judging.differences(winner, others, split)
        ),
        sizes={split: len(judging.task.split(split)) for split in _SPLITS},
        ensemble=_ensemble(judging, winner) if job.decide.ensemble else None,
    )
    judgement = _kept(job, judging, winner, judgement, study_dir)
    study_dir.write_json(judgement_name(study), judgement.to_json())
    for trial in repetitions.trials:
        if trial.measurements:
            discard_weights(folder_of(trial))
    return judgement


def _reference(job: JobSpec, judging: _Judge, study_dir: StudyDir) -> _Arm:
    """The classifier that needs no tuning, now on the test split as well."""
    fitted = fit_reference(judging.task, metric=job.metric.name, goal=job.metric.goal)
    rule = DecisionRule(is_multi_label=judging.task.is_multi_label)
    answers = {}
    for split in _SPLITS:
        probabilities = fitted.probabilities(judging.task.split(split))
        answers[split] = _Answers(
            probabilities=[probabilities], decisions=[rule.decide(probabilities)]
        )
    arm = _Arm(name=fitted.name, answers=answers)
    values = {split: judging.sign * judging.scores(arm, split)[0] for split in _SPLITS}
    study_dir.write_json("reference", {"name": fitted.name, **values})
    return arm


def _repeated(job: JobSpec, repetitions: Study, judging: _Judge) -> list[_Arm]:
    """Every repeated config all of whose seeds left logits that can be read here."""
    by_name: dict[str, list[Trial]] = {}
    for trial in repetitions.trials:
        if trial.measurements and trial.fidelity == trial.until:
            by_name.setdefault(trial.decision.expert, []).append(trial)
    arms = [_arm(job, name, trials, judging) for name, trials in by_name.items()]
    return [arm for arm in arms if arm is not None]


def _arm(job: JobSpec, name: str, trials: Sequence[Trial], judging: _Judge) -> _Arm | None:
    try:
        logits = [load_logits(folder_of(trial)) for trial in trials]
    except TrialFailedError as error:
        _log.warning("%s is left out of the comparison: %s", name, error)
        return None
    if not all(set(_SPLITS) <= set(each) for each in logits):
        return None
    rules = [_rule(job, trial, each, judging) for trial, each in zip(trials, logits, strict=True)]
    answers = {}
    for split in _SPLITS:
        probabilities = [
            rule.probabilities(each[split]) for rule, each in zip(rules, logits, strict=True)
        ]
        decisions = [rule.decide(p) for rule, p in zip(rules, probabilities, strict=True)]
        answers[split] = _Answers(probabilities=probabilities, decisions=decisions)
    return _Arm(name=name, answers=answers, rules=rules, logits=logits, trials=trials)


def folder_of(trial: Trial) -> Path:
    """Where the last checkpoint of a trial is."""
    return Path(trial.measurements[-1].checkpoint or "")


def _rule(
    job: JobSpec, trial: Trial, logits: Mapping[str, Logits], judging: _Judge
) -> DecisionRule:
    task = judging.task
    recipe = Recipe.from_config(trial.config, job.model)
    rule = DecisionRule(is_multi_label=task.is_multi_label, threshold=recipe.threshold)
    if job.decide.threshold == "fixed" or not task.is_multi_label:
        return rule
    labels, sign = task.validation.labels, judging.sign
    return fitted_threshold(
        rule, logits["validation"], labels, task=task, metric=judging.metric, sign=sign
    )


def _ensemble(judging: _Judge, winner: _Arm) -> Ensemble:
    """The mean of the seeds' probabilities, decided as the first seed decides."""
    values = {}
    for split in _SPLITS:
        mean = np.mean(winner.answers[split].probabilities, axis=0)
        answers = _Answers(probabilities=[mean], decisions=[winner.rules[0].decide(mean)])
        arm = _Arm(name="ensemble", answers={split: answers})
        values[split] = judging.sign * judging.scores(arm, split)[0]
    return Ensemble(num_models=len(winner.trials), **values)


def _kept(
    job: JobSpec, judging: _Judge, winner: _Arm, judgement: Judgement, study_dir: StudyDir
) -> Judgement:
    """Calibrates the winner's best seed on validation and keeps its checkpoint."""
    best = int(np.argmax(judging.scores(winner, "validation")))
    rule, logits, task = winner.rules[best], winner.logits[best], judging.task
    calibration = None
    if job.decide.calibrate:
        before, rule = rule, rule.with_temperature(logits["validation"], task.validation.labels)
        calibration = Calibration(
            temperature=rule.temperature,
            error_before=_error(before, logits["test"], task.test.labels),
            error_after=_error(rule, logits["test"], task.test.labels),
        )
    if job.decide.keep_model:
        _save(job, winner.trials[best], task, rule, study_dir.model)
        for number, trial in enumerate(winner.trials if job.decide.ensemble else ()):
            _save(job, trial, task, winner.rules[number], study_dir.ensemble(number))
    return replace(
        judgement,
        calibration=calibration,
        threshold=rule.threshold if task.is_multi_label else None,
        model=str(study_dir.model) if job.decide.keep_model else None,
    )


def _error(rule: DecisionRule, logits: Logits, labels: Labels) -> float:
    return expected_calibration_error(rule.probabilities(logits), labels)


def _save(job: JobSpec, trial: Trial, task: TaskData, rule: DecisionRule, folder: Path) -> None:
    save_model(
        folder,
        load_weights_of(folder_of(trial)),
        model_name=job.model.name,
        recipe=Recipe.from_config(trial.config, job.model),
        task=task,
        rule=rule,
    )
