"""A benchmark task: a space, an objective whose truth is known, and the scale of its regret."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lexmove.agent.simulated_workers import KnownObjective
from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.space.domain import Value
from lexmove.space.search_space import SearchSpace
from lexmove.study.trial import Measurement, Segment

Config = Mapping[str, Value]

METRIC = "value"
"""The name under which every task reports; higher is better."""

_NUM_TIMED = 65


@dataclass(frozen=True, kw_only=True)
class SearchTask:
    """One task.

    `family` groups tasks that are drawn from one source: figures are given for each, and what is
    learned on one family is judged on others. `max_fidelity` is a full training in epochs, 1
    where there is no curve. `best` and `median` are noiseless values at full fidelity: of the
    best config known and of the median random one. `pool`, where the task is a table, lists the
    configs that were measured. `data` is what several tasks are views of. `cost_s` of a
    measurement is its `duration_s`.
    """

    name: str
    family: str
    space: SearchSpace
    objective: KnownObjective
    best: float
    median: float
    max_fidelity: int = 1
    pool: tuple[Config, ...] | None = None
    data: str | None = None

    @cached_property
    def training_s(self) -> float:
        """Median time of a full training, in seconds, over random configs that can be trained."""
        rng = np.random.default_rng(0)
        times = [self._time_s(self.space.sample(rng), seed) for seed in range(_NUM_TIMED)]
        assert np.isfinite(times).any(), f"no random config of {self.name} can be trained"
        return float(np.nanmedian(times))

    def _time_s(self, config: Config, seed: int) -> float:
        found: list[Measurement] = []
        segment = Segment(
            trial_id=0, config=self.space.config(config), seed=seed, until=self.max_fidelity
        )
        try:
            self.objective(segment, trial_dir=Path(), report=found.append)
        except (TrialFailedError, InfeasibleError):
            return np.nan
        return sum(item.duration_s for item in found)

    def teaches(self, other: "SearchTask") -> bool:
        """Whether what is known of this task may be used on the other: not on its own answers."""
        is_view = self.data is not None and self.data == other.data
        return self.name != other.name and not is_view

    def regret(self, value: float) -> float:
        """Normalised regret of a noiseless value: 0 the best, 1 the median random config."""
        return max(0.0, (self.best - value) / (self.best - self.median))
