"""A study told event by event: when what happened, in seconds, on one hyperparameter."""

from typing import Any

from lexmove.space.domain import Float
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Started,
    TrialStatus,
)

SPACE = SearchSpace(hyperparameters=(Hyperparameter(name="x", domain=Float(low=0.0, high=1.0)),))


class ToldStudy:
    """A study that grows by what it is told; each telling returns its event."""

    def __init__(self, **spec: Any) -> None:
        self.study = Study(spec=StudySpec(name="s", space=SPACE, **spec))

    def add(self, kind: Any, at_s: float, trial_id: int, **fields: Any) -> Event:
        event: Event = kind(seq=self.study.num_events, at_s=at_s, trial_id=trial_id, **fields)
        self.study = self.study.with_event(event)
        return event

    def started(
        self, at_s: float, trial_id: int, *, decided_s: float = 0.0, **decided: Any
    ) -> Event:
        decision = Decision(proposer="policy", lane=0, **decided)
        fields = {"config": {"x": 0.5}, "until": 4, "seed": 0}
        return self.add(Started, at_s, trial_id, **fields, decision=decision, decided_s=decided_s)

    def continued(self, at_s: float, trial_id: int) -> Event:
        return self.add(Continued, at_s, trial_id, until=4)

    def measured(
        self,
        at_s: float,
        trial_id: int,
        value: float = 0.1,
        *,
        duration_s: float = 1.0,
        **phases_s: float,
    ) -> Event:
        """The next epoch of the trial."""
        measurement = Measurement(
            fidelity=1 + self.study.trials[trial_id].fidelity,
            metrics={self.study.spec.metric: value},
            duration_s=duration_s,
            phases_s=phases_s,
        )
        return self.add(Measured, at_s, trial_id, measurement=measurement)

    def ended(self, at_s: float, trial_id: int, status: TrialStatus = TrialStatus.PAUSED) -> Event:
        return self.add(Ended, at_s, trial_id, status=status)
