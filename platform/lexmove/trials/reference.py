"""The reference: TF-IDF + logistic regression on the same split, for a transformer to beat."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lexmove.trials.classical import STRENGTHS, Features, Model, features_of, fits, overlap_picks
from lexmove.trials.measuring import evaluate, measure
from lexmove.trials.metrics import Labels, Probabilities
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData

Goal = Literal["maximize", "minimize"]

_MAX_CONSTANT = 20
"""Constant answers are the up to so many commonest labels, or all of them."""

_MAX_COMPARED = 5000
"""Training texts on which constant answers are compared."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """A fitted reference, in memory.

    `validation` holds its metrics by name on the validation split, `metric` among them. `strength`
    is the inverse regularisation strength that was best there, None where nothing is fitted.
    """

    name: str
    strength: float | None
    validation: dict[str, float]
    metric: str
    no_label_column: bool
    features: Features
    model: Model

    def probabilities(self, examples: Examples) -> Probabilities:
        """Of every class, (N, C): rows that add up to 1, or one for each label of its own."""
        return self.model(self.features(examples))

    def scores(self, examples: Examples) -> dict[str, float]:
        """Metrics by name; a label is given above the probability .5."""
        return _scores(
            self.probabilities(examples),
            examples.labels,
            metric=self.metric,
            no_label_column=self.no_label_column,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceScores:
    """Metrics by name on the validation and on the test split, and the strength that was best."""

    name: str
    validation: dict[str, float]
    test: dict[str, float]
    strength: float | None


def fit_reference(
    task: TaskData,
    *,
    metric: str = "f1_macro",
    goal: Goal = "maximize",
    among: tuple[float | None, ...] = STRENGTHS,
) -> Reference:
    """Fits the reference on the training split; `metric` chooses its strength on validation.

    `among` are the strengths to choose from: one alone fits again what was chosen before.

    A regression on the features of `features_of`; one for each label where texts have several. Of
    endings plain word overlap is the reference where it is as good. Leaves the test split alone.
    Deterministic; takes seconds for thousands of texts, minutes for tens of thousands.
    """
    features = features_of(task)
    train, validation = features(task.train), features(task.validation)
    scored = [
        (
            fit,
            _scores(
                fit.model(validation),
                task.validation.labels,
                metric=metric,
                no_label_column=task.no_label_column,
            ),
        )
        for fit in fits(task, train, among=among)
    ]
    sign = 1 if goal == "maximize" else -1
    best, scores = max(scored, key=lambda each: sign * each[1][metric])
    return Reference(
        name=best.name,
        strength=best.strength,
        validation=scores,
        metric=metric,
        no_label_column=task.no_label_column,
        features=features,
        model=best.model,
    )


def reference_scores(
    task: TaskData, *, metric: str = "f1_macro", goal: Goal = "maximize"
) -> ReferenceScores:
    """`fit_reference`, and its metrics on both splits."""
    reference = fit_reference(task, metric=metric, goal=goal)
    return ReferenceScores(
        name=reference.name,
        validation=reference.validation,
        test=reference.scores(task.test),
        strength=reference.strength,
    )


def trivial_baseline(
    task: TaskData, *, metric: str = "f1_macro", goal: Goal = "maximize"
) -> dict[str, float]:
    """Metrics by name, on the validation split, of an answer that needs no training.

    The commonest class of the training split; of several labels the commonest ones, as many as are
    best for `metric` on the training split; of endings the one that shares most words with its text
    for its length.
    """
    predicted, probabilities = _trivial_answers(task, metric=metric, goal=goal)
    return evaluate(
        task.validation.labels,
        predicted,
        probabilities,
        metric=metric,
        no_label_column=task.no_label_column,
    )


def _scores(
    probabilities: Probabilities, labels: Labels, *, metric: str, no_label_column: bool
) -> dict[str, float]:
    is_given = (probabilities > 0.5).astype(np.int64)
    predicted: Labels = is_given if labels.ndim == 2 else probabilities.argmax(axis=1)
    return evaluate(
        labels, predicted, probabilities, metric=metric, no_label_column=no_label_column
    )


def _trivial_answers(task: TaskData, *, metric: str, goal: Goal) -> tuple[Labels, Probabilities]:
    if task.is_multiple_choice:
        probabilities = overlap_picks(task.validation)
        return probabilities.argmax(axis=1), probabilities
    size = len(task.validation)
    shares = task.train.counts(len(task.labels)) / len(task.train)
    if task.is_multi_label:
        answer = _best_constant(task, shares, metric=metric, goal=goal)
        return np.tile(answer, (size, 1)), np.tile(shares, (size, 1))
    return np.full(size, shares.argmax(), dtype=np.int64), np.tile(shares, (size, 1))


def _best_constant(
    task: TaskData, shares: NDArray[np.float64], *, metric: str, goal: Goal
) -> Labels:
    """The labels that are best given to every training text, 0 and 1, (C,)."""
    labels = task.train.labels[:: max(1, len(task.train) // _MAX_COMPARED)]
    probabilities = np.tile(shares, (len(labels), 1))
    num_labels = len(shares)
    rank = np.argsort(np.argsort(-shares, kind="stable"))
    answers = [
        (rank < size).astype(np.int64)
        for size in (*range(min(_MAX_CONSTANT, num_labels - 1) + 1), num_labels)
    ]
    scores = [
        measure(
            labels,
            np.tile(answer, (len(labels), 1)),
            probabilities,
            metric=metric,
            no_label_column=task.no_label_column,
        )
        for answer in answers
    ]
    sign = 1 if goal == "maximize" else -1
    best: Labels = answers[int(np.argmax(sign * np.array(scores)))]
    return best
