"""A benchmark task: a space, an objective whose truth is known, and the scale of its regret."""

from collections.abc import Mapping
from dataclasses import dataclass

from lexmove.agent.simulated_workers import KnownObjective
from lexmove.space.domain import Value
from lexmove.space.search_space import SearchSpace

Config = Mapping[str, Value]

METRIC = "value"
"""The name under which every task reports; higher is better."""


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

    def teaches(self, other: "SearchTask") -> bool:
        """Whether what is known of this task may be used on the other: not on its own answers."""
        is_view = self.data is not None and self.data == other.data
        return self.name != other.name and not is_view

    def regret(self, value: float) -> float:
        """Normalised regret of a noiseless value: 0 the best, 1 the median random config."""
        return max(0.0, (self.best - value) / (self.best - self.median))
