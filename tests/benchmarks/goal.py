"""A goal: a bound that one figure of a benchmark must keep."""

import math
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
        """The target's line; a figure that is missing or infinite is short."""
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
        """In three digits or so; in words where what it is about never happened."""
        if not math.isfinite(figure):
            return "never reached"
        digits = f"{figure:.0f}" if figure >= 100 else f"{figure:.3f}"
        return f"{digits} {self.unit}".rstrip()
