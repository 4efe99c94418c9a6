"""What an arm did with its trials: every score, and when it was there."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from lexmove.study.study import Study
from lexmove.study.trial import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A validation score of one trial, `at_s` seconds after the arm was called."""

    trial: int
    at_s: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """All scores of an arm, in any order; `wall_s` seconds from the call to the result."""

    wall_s: float
    scores: tuple[Score, ...]

    @property
    def best(self) -> float:
        """The highest score of any trial after any epoch."""
        return max(item.value for item in self.scores)

    @property
    def mean(self) -> float:
        """Mean over the trials of their last scores."""
        ordered = sorted(self.scores, key=lambda item: item.at_s)
        return fmean({item.trial: item.value for item in ordered}.values())

    @property
    def num_trials(self) -> int:
        """Trials with a score."""
        return len({item.trial for item in self.scores})

    @property
    def trials_per_hour(self) -> float:
        """Trials with a score per hour of the whole call."""
        return 3600 * self.num_trials / self.wall_s

    def reached_s(self, value: float) -> float:
        """When a score was first as high as this; infinite if none was."""
        return min((item.at_s for item in self.scores if item.value >= value), default=math.inf)


def played_of(study: Study, *, called_at_s: float, ended_at_s: float) -> Played:
    """What a study did, between two Unix times."""
    return Played(wall_s=ended_at_s - called_at_s, scores=tuple(_scores(study, called_at_s)))


def _scores(study: Study, called_at_s: float) -> Iterable[Score]:
    for event in study.events:
        if isinstance(event, Measured):
            value = study.score_at(study.trials[event.trial_id], event.measurement.fidelity)
            if value is not None:
                yield Score(trial=event.trial_id, at_s=event.at_s - called_at_s, value=value)
