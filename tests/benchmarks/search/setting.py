"""A setting of the comparison: what is spent, how many run at once, whether starts are given."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from benchmarks.search.play import Budget, Trace
from benchmarks.search.task import SearchTask

Axis = Literal["trials", "epochs"]

_QUARTER = 2.5
"""A quarter of ten trainings: a target asks for it, the tables leave it out."""

_CHECKPOINTS: dict[Axis, tuple[float, ...]] = {
    "trials": (8, 16, 25, 32, 50, 64, 100, 128),
    "epochs": (2, _QUARTER, 5, 10, 20, 40),
}
_HEADLINES: dict[Axis, tuple[float, ...]] = {"trials": (25, 50), "epochs": (5, 10)}
_NAME = re.compile(r"(trials|epochs) (\d+) q(\d+)( starts)?")


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Setting:
    """`budget` counts trials at full fidelity, or full trainings' worth of epochs.

    `starts` hands every arm the same configs to begin with.
    """

    axis: Axis
    parallel: int
    starts: bool = False
    budget: int

    @classmethod
    def usual(cls, axis: Axis, parallel: int, *, starts: bool = False) -> Self:
        """50 trials one by one, 64 at 8 at once, 128 at 32; 10 trainings' worth of epochs."""
        trials = 50 if parallel == 1 else max(64, 4 * parallel)
        budget = trials if axis == "trials" else 10
        return cls(axis=axis, parallel=parallel, starts=starts, budget=budget)

    @classmethod
    def parse(cls, name: str) -> Self:
        """Reads what `name` gives."""
        match = _NAME.fullmatch(name)
        assert match is not None, name
        axis: Axis = "trials" if match[1] == "trials" else "epochs"
        return cls(
            axis=axis, budget=int(match[2]), parallel=int(match[3]), starts=match[4] is not None
        )

    @property
    def name(self) -> str:
        """What records call it: `trials 50 q1`, `epochs 10 q1 starts`."""
        return f"{self.axis} {self.budget} q{self.parallel}" + " starts" * self.starts

    @property
    def title(self) -> str:
        """What a table calls it."""
        what = "Full fidelity" if self.axis == "trials" else "Epoch axis"
        how = "one at a time" if self.parallel == 1 else f"{self.parallel} at once"
        unit = "trials" if self.axis == "trials" else "full trainings' worth of epochs"
        given = ", the same start portfolio for all" if self.starts else ""
        return f"{what}, {how}, {self.budget} {unit}{given}"

    @property
    def checkpoints(self) -> tuple[float, ...]:
        """Where the regret is kept; the budget itself is always among them."""
        below = [at for at in _CHECKPOINTS[self.axis] if at < self.budget]
        return (*below, self.budget)

    @property
    def columns(self) -> tuple[float, ...]:
        """The checkpoints that the tables show."""
        return tuple(at for at in self.checkpoints if at != _QUARTER)

    @property
    def headline(self) -> tuple[float, ...]:
        """The checkpoints that are given with an interval: those that the targets ask for."""
        if self.axis == "trials" and self.parallel > 1:
            return (self.budget,)
        return tuple(at for at in self.checkpoints if at in _HEADLINES[self.axis]) or (self.budget,)

    def has(self, task: SearchTask) -> bool:
        """Whether the task can be played so: epochs are counted where there is a curve."""
        return self.axis == "trials" or task.max_fidelity > 1

    def spend(self) -> Budget:
        """The budget of one study."""
        if self.axis == "trials":
            return Budget(trials=self.budget, parallel=self.parallel)
        return Budget(trainings=self.budget, parallel=self.parallel)

    def reached(self, trace: Trace, task: SearchTask) -> dict[float, float]:
        """The regret at each checkpoint."""
        if self.axis == "trials":
            return {at: trace.after_trials(int(at)) for at in self.checkpoints}
        return {at: trace.after_epochs(at * task.max_fidelity) for at in self.checkpoints}
