"""Fidelity: what one trial may spend, the rungs on the way, and ASHA's rule for climbing them."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lexmove.study.study import Study

Fidelity = int
"""What one trial has spent or may spend: epochs in a job, any whole unit in `AskTell`."""

Promotion = Literal["asha", "gain_per_epoch"]
"""What decides whether a free slot continues a paused trial or starts another one: ASHA's ranks at
each rung, which put every promotion before a start, or the gain that either promises per epoch. By
either, the agent trains its pilots to the end first (`agent.continuation`).
"""

_FIRST_RUNG_RATIO = 13
"""First rung = maximum / 13: earlier ranks of long trainings say too little (agent/README.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityPlan:
    """How far a trial may train and where it may be paused.

    `maximum` is the full length of a trial. `eta` is the factor between rungs; None means that
    every trial goes straight to the maximum. `first` overrides the first rung. `promotion` is the
    agent's rule for paused trials; baselines follow ASHA's whatever it says.
    """

    maximum: Fidelity = 1
    eta: int | None = None
    first: Fidelity | None = None
    promotion: Promotion = "asha"

    @property
    def rungs(self) -> tuple[Fidelity, ...]:
        """Fidelities at which a trial is paused, ascending; the last is the maximum."""
        if self.eta is None:
            return (self.maximum,)
        rung = self.first or max(1, round(self.maximum / _FIRST_RUNG_RATIO))
        rungs = []
        while rung < self.maximum:
            rungs.append(rung)
            rung *= self.eta
        return (*rungs, self.maximum)

    def next_rung(self, after: Fidelity) -> Fidelity:
        """The first rung above `after`, or the maximum."""
        return next((rung for rung in self.rungs if rung > after), self.maximum)


def promotable(study: "Study") -> tuple[int, ...]:
    """Ids of the paused trials that ASHA would continue now, highest rung first, best first.

    A trial may leave a rung when it is among the best 1/eta of all that were measured there
    (Li et al. 2020, arXiv 1810.05934, algorithm 2). A failed trial counts at no rung.
    """
    plan = study.spec.fidelity
    if plan.eta is None:
        return ()
    chosen: list[int] = []
    for rung in reversed(plan.rungs[:-1]):
        scored = study.scored_at(rung)
        for _, trial_id in scored[: math.floor(len(scored) / plan.eta)]:
            trial = study.trials[trial_id]
            if trial.is_paused and trial.fidelity == rung:
                chosen.append(trial_id)
    return tuple(chosen)
