"""Scoring: the metrics of logits under a decision rule, as a task counts them."""

from lexmove.trials.measuring import evaluate, measure
from lexmove.trials.prediction import DecisionRule, Labels, Logits, Probabilities


def scored(
    rule: DecisionRule, logits: Logits, labels: Labels, *, metric: str, no_label_column: bool
) -> dict[str, float]:
    """All metrics of logits (N, C) under true labels, and `metric`, by name."""
    probabilities = rule.probabilities(logits)
    return evaluate(
        labels,
        rule.decide(probabilities),
        probabilities,
        metric=metric,
        no_label_column=no_label_column,
    )


def score(
    labels: Labels,
    predicted: Labels,
    probabilities: Probabilities,
    *,
    metric: str,
    no_label_column: bool,
) -> float:
    """One metric."""
    return measure(labels, predicted, probabilities, metric=metric, no_label_column=no_label_column)


def fitted_threshold(
    rule: DecisionRule,
    logits: Logits,
    labels: Labels,
    *,
    metric: str,
    no_label_column: bool,
    sign: float = 1.0,
) -> DecisionRule:
    """The rule with the threshold under which `sign` times `metric` is largest here."""
    probabilities = rule.probabilities(logits)
    return rule.with_threshold(
        logits,
        lambda predicted: (
            sign
            * score(
                labels, predicted, probabilities, metric=metric, no_label_column=no_label_column
            )
        ),
    )
