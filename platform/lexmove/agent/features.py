"""Features: scale-free numbers that say the same thing in any search space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lexmove.agent.acquisition import floor_scores
from lexmove.agent.encoding import Array, Encoding, nearest
from lexmove.agent.ledger import Ledger
from lexmove.agent.surrogate import Prediction, Surrogate
from lexmove.study.study import Study
from lexmove.study.trial import TrialStatus

FEATURE_NAMES = (
    "mean",
    "std",
    "log_ei",
    "ucb",
    "probability_of_improvement",
    "mean_rank",
    "std_rank",
    "ei_rank",
    "disagreement",
    "distance_to_incumbent",
    "distance_to_evaluated",
    "distance_to_pending",
    "changed_ratio",
    "mean_step",
    "largest_step",
    "origin_rank",
    "is_move",
    "is_global",
    "is_continue",
    "changed_sensitivity",
    "past_success",
    "past_success_in_direction",
    "discrete_ratio",
    "cost",
    "crash_probability",
    "fidelity_used",
    "fidelity_asked",
    "last_value_rank",
    "curve_slope",
    "curve_curvature",
    "mean_asked",
    "std_asked",
    "passes_incumbent",
    "cost_to_end",
    "net_step",
)
GLOBAL_NAMES = (
    "used_budget",
    "left_budget",
    "log_trials",
    "pending",
    "since_improvement",
    "best",
    "best_over_median",
    "num_dims",
    "noise",
    "trust",
    "failed_ratio",
    "has_fidelity",
    "paused",
    "rule_is_ucb",
)
_NO_DISTANCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slate:
    """The C candidates of one decision as arrays, in the order of their slots.

    `kinds` are names; `origin_rank` counts from 0, −1 without one. `after` and `until`
    are shares of the maximal fidelity. `last_rank`, `slope` and `curvature` describe the learning
    curve of a paused trial and are 0 for the others.
    """

    units: Array
    origins: Array
    origin_rank: NDArray[np.int_]
    kinds: NDArray[np.str_]
    after: Array
    until: Array
    last_rank: Array
    slope: Array
    curvature: Array


def candidate_features(
    study: Study,
    encoding: Encoding,
    surrogate: Surrogate,
    slate: Slate,
    prediction: Prediction,
    asked: Prediction,
) -> NDArray[np.float32]:
    """One row per candidate in the order of `FEATURE_NAMES`, (C, F), all within a few units.

    `prediction` is at full fidelity, `asked` at the one that each candidate would train to.
    """
    history = surrogate.history
    means, stds = prediction.means.mean(axis=0), prediction.stds.mean(axis=0)
    log_ei = floor_scores(prediction, surrogate.best, rule="EI")
    steps = slate.units - slate.origins
    changed = np.abs(steps) > 1e-9
    num_changed = np.maximum(changed.sum(axis=1), 1)
    largest = np.abs(steps).argmax(axis=1)
    sensitivity = 1.0 / surrogate.length_scales
    success, in_direction = _success_rates(Ledger.of(study), steps, changed)
    best = study.incumbent
    columns = [
        means,
        stds,
        np.clip(log_ei, -20.0, 5.0) / 5.0,
        floor_scores(prediction, surrogate.best, rule="UCB"),
        ndtr((prediction.means - surrogate.best[:, None]) / prediction.stds).mean(axis=0),
        _rank_ratio(means),
        _rank_ratio(stds),
        _rank_ratio(log_ei),
        np.abs(prediction.means[0] - prediction.means[1]),
        _distance(slate.units, None if best is None else history.tried[[best.trial_id]]),
        _distance(slate.units, history.points),
        _distance(slate.units, history.pending),
        changed.mean(axis=1),
        steps.sum(axis=1) / num_changed,
        steps[np.arange(len(steps)), largest],
        np.where(slate.origin_rank < 0, 0.0, 1.0 / (1.0 + np.maximum(slate.origin_rank, 0))),
        slate.kinds == "move",
        slate.kinds == "global",
        slate.kinds == "continue",
        (changed * sensitivity).sum(axis=1) / sensitivity.sum(),
        success,
        in_direction,
        (changed & encoding.is_discrete).sum(axis=1) / num_changed,
        slate.until - slate.after,
        1.0 - surrogate.feasibility(slate.units),
        slate.after,
        slate.until,
        slate.last_rank,
        slate.slope,
        slate.curvature,
        asked.means.mean(axis=0),
        asked.stds.mean(axis=0),
        ndtr(prediction.gains / prediction.gain_stds),
        1.0 - slate.after,
        # All that has an order, whether a number or a level of one: the sum, not the mean.
        steps[:, encoding.is_ordered].sum(axis=1),
    ]
    return _bounded(np.stack(columns, axis=1))


def global_features(
    study: Study, encoding: Encoding, surrogate: Surrogate, *, rule: str
) -> NDArray[np.float32]:
    """The study in the order of `GLOBAL_NAMES`, (G,)."""
    history, num_trials = surrogate.history, len(study.trials)
    targets = surrogate.targets[0] if history.num_scored else np.zeros(1)
    values = [
        num_trials / max(1, study.spec.num_trials),
        study.num_trials_left / max(1, study.spec.num_trials),
        np.log1p(num_trials) / 5.0,
        len(history.pending) / max(1, study.spec.parallel),
        (num_trials - study.num_started_at_best) / (10.0 + num_trials),
        targets.max(),
        targets.max() - np.median(targets),
        encoding.num_dims / 20.0,
        surrogate.noise,
        surrogate.trust(),
        history.failed.sum() / max(1, num_trials),
        study.spec.fidelity.eta is not None,
        study.counts.get(TrialStatus.PAUSED, 0) / max(1, num_trials),
        rule == "UCB",
    ]
    return _bounded(np.array(values, dtype=float))


def _bounded(values: Array) -> NDArray[np.float32]:
    bounded: NDArray[np.float32] = np.clip(values, -10.0, 10.0).astype(np.float32)
    return bounded


def _rank_ratio(values_C: Array) -> Array:
    """Ranks in [0, 1], the highest value 1."""
    ranks: Array = np.argsort(np.argsort(values_C, kind="stable"), kind="stable").astype(float)
    return ranks / max(1, len(values_C) - 1)


def _distance(units_CD: Array, others_ND: Array | None) -> Array:
    """Largest difference in any dimension to the nearest of the others, in unit ranges."""
    if others_ND is None:
        return np.full(len(units_CD), _NO_DISTANCE)
    return np.minimum(nearest(units_CD, others_ND), _NO_DISTANCE)


def _success_rates(
    ledger: Ledger, steps_CD: Array, changed_CD: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """How often earlier moves of the same hyperparameters improved on their origin, (C,) each.

    Once for moves in any direction, once for those in the candidate's own; both start at 1/2.
    """
    known, won = ledger.outcomes
    sides = np.stack([ledger.steps > 1e-9, ledger.steps < -1e-9])
    made_2D, won_2D = sides[:, known].sum(axis=1), sides[:, won].sum(axis=1)
    both_D = (won_2D.sum(axis=0) + 1.0) / (made_2D.sum(axis=0) + 2.0)
    rates_2D = (won_2D + 1.0) / (made_2D + 2.0)
    directed_CD = np.where(steps_CD > 0, rates_2D[0], rates_2D[1])
    num_changed = np.maximum(changed_CD.sum(axis=1), 1)
    return (
        np.where(changed_CD, both_D, 0.0).sum(axis=1) / num_changed,
        np.where(changed_CD, directed_CD, 0.0).sum(axis=1) / num_changed,
    )
