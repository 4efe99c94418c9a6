"""The classical floor's score: expected improvement and upper confidence bound, alternating."""

import numpy as np
from scipy.special import ndtr

from lexmove.agent.encoding import Array
from lexmove.agent.surrogate import Prediction

UCB_BETA = 2.0
"""Standard deviations that the upper confidence bound adds to the mean."""

_FAR = -6.0


def log_expected_improvement(means: Array, stds: Array, best: Array | float) -> Array:
    """Log of E[max(0, f − best)], stable far below the best (Ament et al., arXiv 2310.20708)."""
    z = (means - best) / stds
    near = np.maximum(z, _FAR)
    density = np.exp(-0.5 * near * near) / np.sqrt(2.0 * np.pi)
    far = np.minimum(z, _FAR)
    # φ(z)/z² (1 − 3/z²) is the tail of φ(z) + zΦ(z).
    tail = -0.5 * (far * far + np.log(2.0 * np.pi)) + np.log1p(-3.0 / far**2) - 2.0 * np.log(-far)
    scaled = np.where(z > _FAR, np.log(density + near * ndtr(near)), tail)
    result: Array = scaled + np.log(stds)
    return result


def rule_of(num_starts: int, *, is_timed: bool = False) -> str:
    """The floor's rule after that many starts: EI and UCB take turns, whatever is continued.

    Where time is the limit, every turn is EI's: a gain can be had per second, a bound cannot.
    """
    return "EI" if is_timed or num_starts % 2 == 0 else "UCB"


def floor_scores(prediction: Prediction, best: Array, *, rule: str) -> Array:
    """Score of M points, higher is better, on a logarithmic scale: the mean over both processes.

    EI is averaged as a gain, its logarithm taken after; UCB is in standard deviations of the
    history.
    """
    if rule == "UCB":
        bounds: Array = (prediction.means + UCB_BETA * prediction.stds).mean(axis=0)
        return bounds
    logs = log_expected_improvement(prediction.means, prediction.stds, best[:, None])
    averaged: Array = np.logaddexp(logs[0], logs[1]) - np.log(2.0)
    return averaged
