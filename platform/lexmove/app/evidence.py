"""The evidence of the repetitions: what every trained classifier says, and how that scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import TrialFailedError
from lexmove.job.spec import JobSpec
from lexmove.results.paired_bootstrap import Contestant, Index
from lexmove.study.study import Study
from lexmove.study.trial import Trial
from lexmove.trials.checkpoint import LOGIT_FILES, load_logits
from lexmove.trials.prediction import DecisionRule, Labels, Logits, Probabilities
from lexmove.trials.recipe import Recipe
from lexmove.trials.scoring import fitted_threshold, score
from lexmove.trials.tasks.task import TaskData


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repetition:
    """One trained classifier: its logits by split, and how they decide."""

    trial: Trial
    rule: DecisionRule
    logits: Mapping[str, Logits]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judge:
    """Scores on one task by one metric, more is better: `sign` turns a cost around."""

    task: TaskData
    metric: str
    sign: float

    def score(
        self, split: str, probabilities: Probabilities, decisions: Labels, index: Index
    ) -> float:
        """On some examples; NaN where the metric has no value for them."""
        labels = self.task.split(split).labels[index]
        try:
            value = score(
                labels,
                decisions[index],
                probabilities[index],
                metric=self.metric,
                no_label_column=self.task.no_label_column,
            )
        except TrialFailedError:  # a user's own function may refuse a draw without some class
            return float("nan")
        return self.sign * value

    def contestant(
        self, name: str, split: str, members: Mapping[int, tuple[DecisionRule, Logits]]
    ) -> Contestant:
        """A repeated config by seed, or, with one member at seed 0, what is not random."""
        said = {seed: rule.probabilities(logits) for seed, (rule, logits) in members.items()}
        decided = {seed: members[seed][0].decide(values) for seed, values in said.items()}

        def scored(seed: int, index: Index) -> float:
            return self.score(split, said[seed], decided[seed], index)

        return Contestant(name=name, seeds=tuple(said), score=scored)

    def fixed(
        self, name: str, split: str, probabilities: Probabilities, decisions: Labels
    ) -> Contestant:
        """Something in which nothing is random."""
        return Contestant(
            name=name,
            seeds=(),
            score=lambda _, index: self.score(split, probabilities, decisions, index),
        )

    def all_of(self, split: str) -> Index:
        """Every example of a split."""
        return np.arange(len(self.task.split(split)))


def checkpoint_of(trial: Trial) -> str | None:
    """What the last checkpoint of a trial is called in the study's storage."""
    return trial.measurements[-1].checkpoint if trial.measurements else None


def repeated_by_arm(
    job: JobSpec, repetitions: Study, judging: Judge, study_dir: StudyDir
) -> dict[str, dict[int, Repetition]]:
    """What every repetition left, by arm and seed.

    Raises:
        TrialFailedError: logits that cannot be read here.
        StorageError: nor where they are.
        TaskError: they are those of other data.
    """
    found: dict[str, dict[int, Repetition]] = {}
    for trial in repetitions.trials:
        checkpoint = checkpoint_of(trial)
        if checkpoint is None or trial.fidelity != trial.until:
            continue
        with study_dir.lent(checkpoint, LOGIT_FILES) as folder:
            logits = load_logits(folder, data=judging.task.fingerprint)
        repetition = Repetition(trial=trial, rule=_rule(job, trial, logits, judging), logits=logits)
        found.setdefault(trial.decision.expert, {})[trial.segment.seed] = repetition
    return found


def _rule(job: JobSpec, trial: Trial, logits: Mapping[str, Logits], judging: Judge) -> DecisionRule:
    recipe = Recipe.from_config(trial.config, job.model)
    rule = DecisionRule(is_multi_label=judging.task.is_multi_label, threshold=recipe.threshold)
    return with_fitted_threshold(job, rule, logits["validation"], judging)


def with_fitted_threshold(
    job: JobSpec, rule: DecisionRule, logits: Logits, judging: Judge
) -> DecisionRule:
    """With the threshold that is best on validation, where the job asks for that."""
    task = judging.task
    if job.decide.threshold == "fixed" or not task.is_multi_label:
        return rule
    return fitted_threshold(
        rule,
        logits,
        task.validation.labels,
        metric=judging.metric,
        no_label_column=task.no_label_column,
        sign=judging.sign,
    )
