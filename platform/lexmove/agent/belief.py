"""Belief: how much a user's priors count beside what has been measured.

Hvarfner et al. 2022 (πBO, arXiv 2204.11051), equation 6, add β / n times the prior's logarithm to
that of the acquisition. Here results may also take the priors back: measured in README.md.
"""

import numpy as np

from lexmove.agent.encoding import Array, Encoding
from lexmove.agent.history import History

_BETA = {"EI": 10.0, "UCB": 5.0}
"""Results that the priors count for, by the floor's rule. The bound counts in standard deviations,
of which `observation.PRIOR_SHARPNESS` has one for two of the gain's logarithm.
"""

_MIN_SCORED = 3


def log_belief(encoding: Encoding, history: History, units_ND: Array, *, rule: str) -> Array:
    """What priors add to the floor's scores of some points, (N,), at most 0.

    It fades with the number of results, and sooner where these speak against the priors.
    """
    weight = _BETA[rule] * _credit(encoding, history) / max(1, history.num_scored)
    return weight * encoding.log_prior(units_ND)


def _credit(encoding: Encoding, history: History) -> float:
    """In [0, 1]: 0 where better scores lie elsewhere, by one standard error of rank correlation."""
    is_scored = ~history.failed
    believed = encoding.log_prior(history.units[is_scored])
    correlation = rank_correlation(believed, history.scores[is_scored])
    if correlation is None or len(believed) < _MIN_SCORED:
        return 1.0
    return float(np.clip(1.0 + correlation * np.sqrt(len(believed) - 1), 0.0, 1.0))


def rank_correlation(first_N: Array, second_N: Array) -> float | None:
    """Spearman's correlation, ties in the order of their index; None where either is constant."""
    if len(first_N) < 2 or not np.ptp(first_N) or not np.ptp(second_N):
        return None
    return float(np.corrcoef(_ranks(first_N), _ranks(second_N))[0, 1])


def _ranks(values_N: Array) -> Array:
    ranks: Array = np.argsort(np.argsort(values_N, kind="stable"), kind="stable").astype(float)
    return ranks
