"""Calibration: how much wider than the surrogate says the move log's predicted gains are.

Chosen points are those that the surrogate thinks too well of, and cliffs are unknown to it. So
the log multiplies its standard deviations; decisions do not depend on it.
"""

import math

from lexmove.study.study import Study
from lexmove.study.trial import Trial, TrialStatus

PRIOR_FACTOR = 3.0
"""The factor of a study without results, measured over many ("Calibration" in README.md)."""

COVERAGE = 0.8
"""Share of realised gains that should lie within `WIDTH` predicted standard deviations."""

WIDTH = 1.2816
"""Half of the central 80 % of a normal, in standard deviations."""

_RATE = 0.5
_LOWEST, _HIGHEST = 0.25, 50.0


def gain_std_factor(study: Study) -> float:
    """By what the surrogate's standard deviation of the next gain is multiplied.

    Adaptive conformal inference (Gibbs & Candès 2021, eq. 2), on a logarithm: every completed
    trial outside its own 80 % interval widens the next ones, every other narrows them.
    """
    covered = [hit for trial in study.trials if (hit := _is_covered(study, trial)) is not None]
    missed = len(covered) - sum(covered)
    log_factor = math.log(PRIOR_FACTOR) + _RATE * (missed - (1.0 - COVERAGE) * len(covered))
    return math.exp(min(max(log_factor, math.log(_LOWEST)), math.log(_HIGHEST)))


def _is_covered(study: Study, trial: Trial) -> bool | None:
    """Whether the realised gain lies in its 80 % interval; None where one of both is missing."""
    gain, std = trial.decision.predicted_gain, trial.decision.predicted_gain_std
    if trial.status is not TrialStatus.COMPLETED or gain is None or not std:
        return None
    realised = study.realised_gain(trial)
    return None if realised is None else abs(realised - gain) <= WIDTH * std
