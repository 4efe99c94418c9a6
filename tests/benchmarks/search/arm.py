"""An arm: one way of searching, as it enters the comparison."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from benchmarks.search.play import Budget
from benchmarks.search.task import Config, SearchTask
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Proposer

Group = Literal["ours", "ablation", "peer", "baseline"]


class Make(Protocol):
    """Makes the proposer of one study; `starts` are configs to try before anything else."""

    def __call__(
        self, task: SearchTask, budget: Budget, *, seed: int, starts: Sequence[Config]
    ) -> Proposer: ...


def straight(task: SearchTask) -> FidelityPlan:
    """Every trial goes to full fidelity."""
    return FidelityPlan(maximum=task.max_fidelity)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of the tables.

    `plan` says where trials may be paused on the epoch axis. `version` changes when the arm
    would decide differently: results are kept under it. Whoever `knows_time` is told by the clock
    how long the study may take. A `Proposer` of a peer may keep state
    between calls, one study long. Not every peer `searches_pools`: the config that it asked for
    and did not get stays open for it.
    """

    name: str
    group: Group
    make: Make
    version: str
    plan: Callable[[SearchTask], FidelityPlan] = straight
    searches_pools: bool = True
    knows_time: bool = True
