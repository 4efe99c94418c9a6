"""A setting of the comparison: what is spent, how many run at once, whether starts are given."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from benchmarks.search.play import Budget, Trace
from benchmarks.search.task import SearchTask

Axis = Literal["trials", "epochs", "time"]

_QUARTER = 2.5
"""A quarter of ten trainings: a target asks for it, the tables leave it out."""

_CHECKPOINTS: dict[Axis, tuple[float, ...]] = {
    "trials": (8, 16, 25, 32, 50, 64, 100, 128),
    "epochs": (2, _QUARTER, 5, 10, 20, 40),
    "time": (5, 10, 20, 40),
}
_HEADLINES: dict[Axis, tuple[float, ...]] = {
    "trials": (25, 50),
    "epochs": (5, 10),
    "time": (20, 40),
}
_BUDGETS: dict[Axis, int] = {"trials": 50, "epochs": 10, "time": 40}
_TITLES: dict[Axis, str] = {
    "trials": "Full fidelity",
    "epochs": "Epoch axis",
    "time": "Full fidelity by the clock",
}
UNITS: dict[Axis, str] = {
    "trials": "trials",
    "epochs": "full trainings' worth of epochs",
    "time": "median trainings' worth of time",
}
"""What a budget counts."""

USUAL_PARALLEL: dict[Axis, tuple[int, ...]] = {"trials": (1, 8), "epochs": (1,), "time": (1,)}
"""How many run at once unless one asks for more."""

_NAME = re.compile(r"(trials|epochs|time) (\d+) q(\d+)( starts)?")


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Setting:
    """`budget` counts what `UNITS` says; by the clock, too, every trial goes to full fidelity.

    `starts` hands every arm the same configs to begin with.
    """

    axis: Axis
    parallel: int
    starts: bool = False
    budget: int

    @classmethod
    def usual(cls, axis: Axis, parallel: int, *, starts: bool = False) -> Self:
        """50 trials one by one, 64 at 8 at once, 128 at 32; the epochs of 10, the time of 40."""
        budget = _BUDGETS[axis]
        if axis == "trials" and parallel > 1:
            budget = max(64, 4 * parallel)
        return cls(axis=axis, parallel=parallel, starts=starts, budget=budget)

    @classmethod
    def parse(cls, name: str) -> Self:
        """Reads what `name` gives."""
        match = _NAME.fullmatch(name)
        assert match is not None, name
        axis = next(axis for axis in UNITS if axis == match[1])
        return cls(
            axis=axis, budget=int(match[2]), parallel=int(match[3]), starts=match[4] is not None
        )

    @property
    def is_usual(self) -> bool:
        """Whether it is played without being asked for, or with `--starts`."""
        usual = type(self).usual(self.axis, self.parallel, starts=self.starts)
        return self == usual and self.parallel in USUAL_PARALLEL[self.axis]

    @property
    def name(self) -> str:
        """What records call it: `trials 50 q1`, `epochs 10 q1 starts`."""
        return f"{self.axis} {self.budget} q{self.parallel}" + " starts" * self.starts

    @property
    def title(self) -> str:
        """What a table calls it."""
        how = "one at a time" if self.parallel == 1 else f"{self.parallel} at once"
        given = ", the same start portfolio for all" if self.starts else ""
        return f"{_TITLES[self.axis]}, {how}, {self.budget} {UNITS[self.axis]}{given}"

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
        """The checkpoints that are given with an interval: those that the targets ask for.

        A budget beyond them is one, too.
        """
        if self.axis == "trials" and self.parallel > 1:
            return (self.budget,)
        asked = [at for at in self.checkpoints if at in _HEADLINES[self.axis]]
        is_beyond = self.budget > max(_HEADLINES[self.axis])
        return (*asked, *([self.budget] if is_beyond or not asked else []))

    def has(self, task: SearchTask) -> bool:
        """Whether the task can be played so: epochs are counted where there is a curve."""
        return self.axis != "epochs" or task.max_fidelity > 1

    def spend(self) -> Budget:
        """The budget of one study."""
        if self.axis == "trials":
            return Budget(trials=self.budget, parallel=self.parallel)
        if self.axis == "time":
            return Budget(training_times=self.budget, parallel=self.parallel)
        return Budget(trainings=self.budget, parallel=self.parallel)

    def reached(self, trace: Trace, task: SearchTask) -> dict[float, float]:
        """The regret at each checkpoint."""
        if self.axis == "trials":
            return {at: trace.after_trials(int(at)) for at in self.checkpoints}
        if self.axis == "time":
            return {at: trace.after_seconds(at * task.training_s) for at in self.checkpoints}
        return {at: trace.after_epochs(at * task.max_fidelity) for at in self.checkpoints}
