"""Class by class: how well the winner tells each one, and what it takes it for."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lexmove.app.evidence import Repetition
from lexmove.results.judgement import ClassScore
from lexmove.trials.prediction import Labels
from lexmove.trials.tasks.task import TaskData

Counts = NDArray[np.int64]


def class_scores(task: TaskData, members: Mapping[int, Repetition]) -> tuple[ClassScore, ...]:
    """Every class of a task on its test split, as the mean of the seeds; none of endings."""
    if task.is_multiple_choice:  # their positions say nothing
        return ()
    num, labels = len(task.labels), task.test.labels
    decided = [
        each.rule.decide(each.rule.probabilities(each.logits["test"])) for each in members.values()
    ]
    has = _given(labels, num)
    said = [_given(each, num) for each in decided]
    taken = None if task.is_multi_label else _taken(labels, decided, num)
    return tuple(
        _score(name, has[:, at], [each[:, at] for each in said], _most(taken, at, task.labels))
        for at, name in enumerate(task.labels)
    )


def _given(labels: Labels, num: int) -> Counts:
    """0 and 1 per class, (N, C), of classes (N,) or of what is so already."""
    return labels if labels.ndim == 2 else np.eye(num, dtype=np.int64)[labels]


def _taken(labels: Labels, decided: Sequence[Labels], num: int) -> NDArray[np.float64]:
    """What examples of a class, by row, were taken for, by column: mean numbers, (C, C)."""
    taken = np.zeros((num, num))
    for each in decided:
        np.add.at(taken, (labels, each), 1.0 / len(decided))
    return taken


def _most(
    taken_CC: NDArray[np.float64] | None, at: int, names: Sequence[str]
) -> tuple[str, float] | None:
    """What most of the missed examples of a class are taken for, and how many."""
    if taken_CC is None:
        return None
    others = taken_CC[at].copy()
    others[at] = 0.0
    most = int(others.argmax())
    return (names[most], float(others[most])) if others[most] else None


def _score(
    name: str, has_N: Counts, said: Sequence[Counts], most: tuple[str, float] | None
) -> ClassScore:
    hits = [int((has_N & each).sum()) for each in said]
    num, given = int(has_N.sum()), [int(each.sum()) for each in said]
    precisions = [hit / of for hit, of in zip(hits, given, strict=True) if of]
    both = [num + of for of in given]
    f1s = [2 * hit / of for hit, of in zip(hits, both, strict=True) if of]
    return ClassScore(
        name=name,
        examples=num,
        precision=_mean(precisions),
        recall=_mean([hit / num for hit in hits]) if num else None,
        f1=_mean(f1s),
        taken_for=None if most is None else most[0],
        num_taken=0.0 if most is None else most[1],
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
