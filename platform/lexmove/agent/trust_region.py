"""The trust region: in a space of many hyperparameters most starts stay near the incumbent.

Far from all that was tried the surrogate knows nothing, so that expected improvement and the upper
bound are highest there; and the more hyperparameters a space has, the more of it is far from all.
Eriksson et al. 2019 (TuRBO, arXiv 1910.01739) keep to a box around the incumbent. This one is a
function of the study alone and opens for every fifth start, since a box may hold a plateau or a
local optimum only. Variants and figures: README.md.
"""

import math

import numpy as np

from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.agent.history import History
from lexmove.study.study import Study
from lexmove.study.trial import Trial

MIN_DIMS = 6
"""Smaller spaces are searched everywhere."""

OPEN_EVERY = 5
"""Every so many starts one may lie anywhere."""

HALVING = 20.0
"""Trials that end without a better one until the box is half as wide."""

_MIN_SCORED = 5
_WIDEST, _NARROWEST = 0.8, 0.1
_DIAGONAL = 2.0
"""The box is widest with this diagonal, in a cube whose own is √D."""


def outside(study: Study, encoding: Encoding, history: History, units_MD: Array) -> Mask:
    """Which points, (M,), lie outside the box around the incumbent; none where there is no box.

    Another level of a discrete hyperparameter is never too far, nor any category; what is inactive
    on either side does not count. There is no box before the incumbent is a full training: who
    leads after a few epochs is not yet worth staying with.
    """
    is_outside = np.zeros(len(units_MD), dtype=bool)
    centre = _centre(study, encoding, num_scored=history.num_scored)
    if centre is not None:
        centre_1D = history.tried[[centre.trial_id]]
        reach_D = np.maximum(
            0.5 * _width(study, encoding.num_dims), _level_reach(encoding, centre_1D[0])
        )
        distances_MD: Array = np.abs(units_MD - centre_1D)
        is_far_MD: Mask = distances_MD > reach_D
        if encoding.is_conditional:
            is_far_MD &= encoding.active(units_MD) & encoding.active(centre_1D)
        is_outside |= is_far_MD.any(axis=1)
    return is_outside


def _centre(study: Study, encoding: Encoding, *, num_scored: int) -> Trial | None:
    """The trial that the box is around; None where the next start may lie anywhere."""
    is_open = len(study.trials) % OPEN_EVERY == OPEN_EVERY - 1
    incumbent = study.incumbent
    if encoding.num_dims < MIN_DIMS or num_scored < _MIN_SCORED or is_open or incumbent is None:
        return None
    trial = study.trials[incumbent.trial_id]
    return trial if trial.fidelity >= study.spec.fidelity.maximum else None


def _width(study: Study, num_dims: int) -> float:
    """The width of the box in unit ranges."""
    num_ended = len(study.trials) - len(study.running)
    num_since = max(0, num_ended - study.num_started_at_best)
    widest = min(_WIDEST, _DIAGONAL / math.sqrt(num_dims))
    return max(_NARROWEST, widest * math.exp2(-num_since / HALVING))


def _level_reach(encoding: Encoding, centre_D: Array) -> Array:
    """How far the next levels of each hyperparameter are; 0 where there are none, (D,)."""
    return np.where(encoding.is_ordered, 1.01 * encoding.level_gaps(centre_D), 1.0)
