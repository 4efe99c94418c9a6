"""Classical classifiers of texts, pairs and endings: TF-IDF, word overlap, logistic regression."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lexmove.trials.metrics import Probabilities
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData

Features = Callable[[Examples], Any]
"""From examples to a sparse matrix, a row each; of a multiple choice to (N, C, F)."""
Model = Callable[[Any], Probabilities]
"""From features to probabilities, (N, C)."""

NAME = "TF-IDF + logistic regression"
PAIR_NAME = "TF-IDF of both texts + logistic regression"
CHOICE_NAME = "TF-IDF and word overlap + logistic regression"
OVERLAP_NAME = "word overlap"

STRENGTHS: tuple[float | None, ...] = (None, 1.0, 10.0, 100.0)
"""Inverse regularisation strengths tried, None where there is none; validation chooses."""

_MAX_WEIGHTS = 5_000_000
"""Weights of one regression, over all classes: L-BFGS keeps about twenty copies of them."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted model, and the inverse regularisation strength it was fitted with, if any."""

    name: str
    strength: float | None
    model: Model


def features_of(task: TaskData) -> Features:
    """The features that suit a task's kind, their vocabulary from its training split.

    Words and word pairs, sublinear counts; of pairs those of both texts, their differences and
    products, and the cosine; of each ending how it fits its text and the other endings.
    """
    return _choice_features(task) if task.is_multiple_choice else _text_features(task)


def fits(
    task: TaskData, train: Any, *, among: tuple[float | None, ...] = STRENGTHS
) -> Iterator[Fit]:
    """The classifiers worth a comparison, fitted to the features of the training split.

    `among` are their strengths; None is what needs none, which only a multiple choice has.
    """
    make = _choice_fits if task.is_multiple_choice else _text_fits
    return make(task, train, among)


def overlap_picks(examples: Examples) -> Probabilities:
    """Probabilities that grow with the words an ending shares with its text, for its length."""
    return _overlap_model(_standing(_word_overlap(examples))[..., None])


def _vectorizer(texts: Sequence[str], *, max_features: int | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    settings: dict[str, Any] = {"sublinear_tf": True, "max_features": max_features}
    try:
        return TfidfVectorizer(ngram_range=(1, 2), min_df=2, **settings).fit(texts)
    except ValueError:
        # No word occurs in two texts: there are very few, or their script has no spaces.
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 3), **settings).fit(texts)


def _text_features(task: TaskData) -> Features:
    train, blocks = task.train, 1 if task.train.pairs is None else 4
    vectorizer = _vectorizer(
        [*train.texts, *(train.pairs or ())],
        max_features=_MAX_WEIGHTS // (len(task.labels) * blocks),
    )

    def features(examples: Examples) -> Any:
        from scipy import sparse

        first = vectorizer.transform(examples.texts)
        if examples.pairs is None:
            return first
        second = vectorizer.transform(examples.pairs)
        product = first.multiply(second)
        cosine = sparse.csr_matrix(np.asarray(product.sum(axis=1)).reshape(-1, 1))
        return sparse.hstack([first, second, abs(first - second), product, cosine], format="csr")

    return features


def _text_fits(task: TaskData, train: Any, among: tuple[float | None, ...]) -> Iterator[Fit]:
    name = NAME if task.train.pairs is None else PAIR_NAME
    for strength in filter(None, among):
        classifier = _classifier(strength, is_multi_label=task.is_multi_label)
        with warnings.catch_warnings():
            # A label that all training texts have, or none, is always given, or never.
            warnings.filterwarnings("ignore", "Label .* is present in all training examples")
            classifier.fit(train, task.train.labels)
        yield Fit(name, strength, partial(_text_model, classifier, len(task.labels)))


def _classifier(strength: float, *, is_multi_label: bool) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    model = LogisticRegression(C=strength, max_iter=1000)
    return OneVsRestClassifier(model) if is_multi_label else model


def _text_model(classifier: Any, num_labels: int, features: Any) -> Probabilities:
    found: Probabilities = classifier.predict_proba(features)
    if len(classifier.classes_) > num_labels:
        # Whether a text has the only label there is comes as two classes.
        return found[:, 1:]
    probabilities = np.zeros((len(found), num_labels))
    # A class that no training text has is never predicted.
    probabilities[:, classifier.classes_] = found
    return probabilities


def _choice_features(task: TaskData) -> Features:
    vectorizer = _vectorizer([*task.train.texts, *_flat_endings(task.train)])

    def features(examples: Examples) -> NDArray[np.float64]:
        shared, of_ending, _ = _word_counts(examples)
        texts = vectorizer.transform(examples.texts)
        endings = vectorizer.transform(_flat_endings(examples))
        columns = [
            _word_overlap(examples),
            shared / np.maximum(of_ending, 1),
            np.log1p(of_ending),
            *_cosines(texts, endings),
        ]
        return np.stack([_standing(column) for column in columns], axis=-1)

    return features


def _choice_fits(
    task: TaskData, train: NDArray[np.float64], among: tuple[float | None, ...]
) -> Iterator[Fit]:
    """Regressions on what sets the right ending apart from each wrong one (Bradley–Terry)."""
    from sklearn.linear_model import LogisticRegression

    if None in among:
        yield Fit(OVERLAP_NAME, None, _overlap_model)
    labels = task.train.labels
    right = train[np.arange(len(train)), labels][:, None]
    is_wrong = np.arange(train.shape[1]) != labels[:, None]
    gain = (right - train)[is_wrong]
    both_ways = np.concatenate([gain, -gain]), np.repeat([1, 0], len(gain))
    for strength in filter(None, among):
        model = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000)
        weights = model.fit(*both_ways).coef_[0]
        yield Fit(CHOICE_NAME, strength, partial(_choice_model, weights))


def _choice_model(weights: NDArray[np.float64], features: NDArray[np.float64]) -> Probabilities:
    probabilities: Probabilities = softmax(features @ weights, axis=1)
    return probabilities


def _overlap_model(features: NDArray[np.float64]) -> Probabilities:
    """The first feature alone."""
    probabilities: Probabilities = softmax(features[..., 0], axis=1)
    return probabilities


def _standing(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each ending stands out from those it competes with, in standard deviations, (N, C).

    Of 3,000 real questions with hard negatives, cosines themselves told less than their _standing.
    """
    spread = values.std(axis=1, keepdims=True)
    centred = values - values.mean(axis=1, keepdims=True)
    standing: NDArray[np.float64] = np.divide(
        centred, spread, out=np.zeros_like(centred), where=spread > 1e-12
    )
    return standing


def _cosines(texts: Any, endings: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each ending with its text, and on average with its rivals: (N, C) each.

    Takes rows of unit length: (N, V), and (N C, V).
    """
    from scipy import sparse

    size = texts.shape[0]
    num_endings = endings.shape[0] // size
    of = np.repeat(np.arange(size), num_endings)
    sums = sparse.csr_matrix((np.ones(len(of)), (of, np.arange(len(of))))) @ endings
    with_text = np.asarray(texts[of].multiply(endings).sum(axis=1))
    with_all = np.asarray(sums[of].multiply(endings).sum(axis=1))
    with_itself = np.asarray(endings.multiply(endings).sum(axis=1))
    shape = size, num_endings
    rivals = (with_all - with_itself) / max(num_endings - 1, 1)
    return with_text.reshape(shape), rivals.reshape(shape)


def _flat_endings(examples: Examples) -> list[str]:
    return [ending for endings in examples.endings or () for ending in endings]


def _word_overlap(examples: Examples) -> NDArray[np.float64]:
    """How many words each ending shares with its text, for its length; in [0, 1], (N, C).

    The cosine of the two sets of distinct lower-cased words.
    """
    shared, of_ending, of_text = _word_counts(examples)
    overlap: NDArray[np.float64] = shared / np.sqrt(np.maximum(of_ending * of_text, 1))
    return overlap


def _word_counts(examples: Examples) -> NDArray[np.int64]:
    """Distinct lower-cased words shared with the text, of the ending, of the text: (3, N, C)."""
    counts = []
    for text, endings in zip(examples.texts, examples.endings or (), strict=True):
        words, choices = _words(text), [_words(ending) for ending in endings]
        counts.append([(len(words & each), len(each), len(words)) for each in choices])
    return np.array(counts, dtype=np.int64).transpose(2, 0, 1)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
