"""Calibration: how much wider than the surrogate says the move log's predicted gains are.

Chosen points are those that the surrogate thinks too well of, and cliffs are unknown to it. So
the log multiplies its standard deviations; decisions do not depend on it.
"""

import math

from lexmove.agent.ledger import Ledger
from lexmove.study.study import Study

PRIOR_FACTOR = 3.0
"""The factor of a study without results, measured over many ("Calibration" in README.md)."""

COVERAGE = 0.8
"""Share of realised gains that should lie within 1.28 predicted standard deviations."""

_RATE = 0.5
_LOWEST, _HIGHEST = 0.25, 50.0


def gain_std_factor(study: Study) -> float:
    """By what the surrogate's standard deviation of the next gain is multiplied.

    Adaptive conformal inference (Gibbs & Candès 2021, eq. 2), on a logarithm: every completed
    trial outside its own 80 % interval widens the next ones, every other narrows them.
    """
    ledger = Ledger.of(study)
    missed = ledger.num_checked - ledger.num_covered
    log_factor = math.log(PRIOR_FACTOR) + _RATE * (missed - (1.0 - COVERAGE) * ledger.num_checked)
    return math.exp(min(max(log_factor, math.log(_LOWEST)), math.log(_HIGHEST)))
