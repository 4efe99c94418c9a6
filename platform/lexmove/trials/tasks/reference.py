"""The reference: TF-IDF + logistic regression on the same split, for a transformer to beat."""

import warnings
from dataclasses import dataclass
from typing import Any

from lexmove.trials.metrics import evaluate
from lexmove.trials.tasks.task import TaskData

NAME = "TF-IDF + logistic regression"

_STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse regularisation strengths tried; the best on the validation split is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceScores:
    """Metrics by name on the validation and on the test split, and the strength that was best."""

    name: str
    validation: dict[str, float]
    test: dict[str, float]
    strength: float


def reference_scores(task: TaskData, *, metric: str = "f1_macro") -> ReferenceScores:
    """Fits the reference on the training split; `metric` chooses among three strengths.

    Words and word pairs of whole texts, sublinear counts; where texts have several labels, a
    regression for each. Takes seconds; deterministic.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    train = vectorizer.fit_transform(task.train.texts)
    validation = vectorizer.transform(task.validation.texts)
    test = vectorizer.transform(task.test.texts)
    best: ReferenceScores | None = None
    for strength in _STRENGTHS:
        model = _classifier(strength, is_multi_label=task.is_multi_label)
        with warnings.catch_warnings():
            # A label that all training texts have, or none, is always given, or never.
            warnings.filterwarnings("ignore", "Label .* is present in all training examples")
            model.fit(train, task.train.labels)
        scores = ReferenceScores(
            name=NAME,
            validation=evaluate(task.validation.labels, model.predict(validation)),
            test=evaluate(task.test.labels, model.predict(test)),
            strength=strength,
        )
        if best is None or scores.validation[metric] > best.validation[metric]:
            best = scores
    assert best is not None
    return best


def _classifier(strength: float, *, is_multi_label: bool) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    model = LogisticRegression(C=strength, max_iter=1000)
    return OneVsRestClassifier(model) if is_multi_label else model
