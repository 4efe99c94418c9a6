"""The targets at scale: for each a measure, its unit, and the bound that its figure must keep."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.search.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure should be: at least or at most `bound`, in `unit`."""

    measure: str
    bound: float
    unit: str = ""
    is_least: bool = False

    def judged(self, figure: float | None) -> Target:
        """The target's line; what was not measured is short."""
        is_met = figure is not None and (
            figure >= self.bound if self.is_least else figure <= self.bound
        )
        return Target(
            measure=self.measure,
            figure=None if figure is None else self._said(figure),
            target=f"at {'least' if self.is_least else 'most'} {self._said(self.bound)}",
            is_met=is_met,
        )

    def _said(self, figure: float) -> str:
        digits = f"{figure:.0f}" if figure >= 100 else f"{figure:.2f}"
        return f"{digits} {self.unit}".rstrip()


GOALS: Mapping[str, Goal] = {
    "throughput": Goal(
        measure="trials/s of 50 ms on 8 slots, the agent deciding, over bare Ray Tune's",
        bound=1.0,
        is_least=True,
    ),
    "results": Goal(
        measure="results on disk, as they come together from 8 slots, at the last trials",
        bound=500,
        unit="/s",
        is_least=True,
    ),
    "growth": Goal(measure="time of a result at the last trials over that at the first", bound=1.5),
    "memory": Goal(measure="memory of the driver for 1,000 trials", bound=1.0, unit="MiB"),
    "load": Goal(measure="reading the study", bound=5.0, unit="s"),
    "ls": Goal(measure="lexmove ls", bound=1.0, unit="s"),
    "show": Goal(measure="lexmove show", bound=1.0, unit="s"),
    "best": Goal(measure="lexmove best", bound=1.0, unit="s"),
    "decision": Goal(measure="time of a decision after all trials over that after 100", bound=3.0),
}
"""Every target by its name, in the order of the lines."""
