"""Published test scores of LexGLUE, to stand beside one's own.

Micro- and macro-F1 of the leaderboard in the README of github.com/coastalcph/lex-glue (Chalkidis et
al., arXiv 2110.00976). CaseHOLD has one figure, its accuracy, which micro-F1 equals.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScore:
    """What a model reached on a task's test split: F1 scores between 0 and 1, None if not given."""

    model: str
    f1_micro: float
    f1_macro: float | None


def published_scores(task: str) -> tuple[PublishedScore, ...]:
    """The published scores of a task by its name, such as `lex_glue/ledgar`; of others none."""
    return PUBLISHED.get(task, ())


_MODELS = ("TF-IDF + SVM", "BERT", "Legal-BERT", "RoBERTa-large", "MiniLM v2 L12")

_Percent = tuple[float, float | None] | None
"""Micro- and macro-F1 in percent, as they are printed; None where a model was not run."""

_TABLE: dict[str, tuple[_Percent, ...]] = {
    "ecthr_a": ((64.7, 51.7), (71.2, 63.6), (70.0, 64.0), (73.8, 67.6), None),
    "ecthr_b": ((74.6, 65.1), (79.7, 73.4), (80.4, 74.7), (79.8, 71.6), None),
    "scotus": ((78.2, 69.5), (71.4, 57.2), (72.1, 57.4), (67.9, 50.3), (60.8, 45.5)),
    "eurlex": ((71.3, 51.4), (68.3, 58.3), (76.4, 66.5), (75.5, 66.3), (62.2, 35.6)),
    "ledgar": ((87.2, 82.4), (87.6, 81.8), (88.2, 83.0), (88.6, 83.6), (86.7, 79.6)),
    "unfair_tos": ((95.4, 78.8), (95.6, 81.3), (96.0, 83.0), (95.8, 81.6), (93.9, 13.2)),
    "case_hold": (None, (70.8, None), (75.3, None), (74.4, None), (71.3, None)),
}


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 4)


PUBLISHED: dict[str, tuple[PublishedScore, ...]] = {
    f"lex_glue/{config}": tuple(
        PublishedScore(model=model, f1_micro=round(f1[0] / 100, 4), f1_macro=_ratio(f1[1]))
        for model, f1 in zip(_MODELS, row, strict=True)
        if f1 is not None
    )
    for config, row in _TABLE.items()
}
"""Published scores by task."""
