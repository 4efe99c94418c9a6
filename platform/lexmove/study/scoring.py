"""Scoring: what a trial's measurements are worth under a study's objective."""

import math
from dataclasses import dataclass
from typing import Literal

from lexmove.study.fidelity import Fidelity
from lexmove.study.trial import Measurement, Trial, TrialStatus

Goal = Literal["maximize", "minimize"]

WITHOUT_SCORE = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)
"""What such trials measured before they ended never counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The best measurement so far: its trial, fidelity and objective value."""

    trial_id: int
    fidelity: Fidelity
    value: float


@dataclass(frozen=True, slots=True)
class Scoring:
    """The objective: a metric by name, and whether more of it is better."""

    metric: str
    goal: Goal

    @property
    def sign(self) -> float:
        """+1 where more is better, −1 where less is."""
        return 1.0 if self.goal == "maximize" else -1.0

    def score_at(self, trial: Trial, fidelity: Fidelity) -> float | None:
        """The objective, higher is better, at one fidelity; None if missing, NaN or failed."""
        return trial.derive(("scores", self), lambda: self._scores(trial)).get(fidelity)

    def _scores(self, trial: Trial) -> dict[Fidelity, float | None]:
        if trial.status in WITHOUT_SCORE:
            return {}
        return {
            item.fidelity: self._score(item.metrics.get(self.metric)) for item in trial.measurements
        }

    def _score(self, value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else self.sign * value

    def best_of(self, trial: Trial) -> Incumbent | None:
        """A trial's own best measurement; None if it failed or has none that counts."""
        return trial.derive(("best_of", self), lambda: self._best_of(trial))

    def _best_of(self, trial: Trial) -> Incumbent | None:
        if trial.status in WITHOUT_SCORE:
            return None
        scored = [
            item
            for measurement in trial.measurements
            if (item := self.scored(trial.trial_id, measurement)) is not None
        ]
        return min(scored, key=self.rank, default=None)

    def scored(self, trial_id: int, measurement: Measurement) -> Incumbent | None:
        """A measurement as a possible incumbent; None where it is not finite or missing."""
        value = measurement.metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return None
        return Incumbent(trial_id=trial_id, fidelity=measurement.fidelity, value=value)

    def rank(self, item: Incumbent) -> tuple[float, int, Fidelity]:
        """The smaller the better: ties go to the earlier trial, then to the lower fidelity."""
        return -self.sign * item.value, item.trial_id, item.fidelity
