"""What a comparison ends with: a small table, and one figure that is held against its target."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.goal import Goal


class ComparisonError(Exception):
    """The arms did not do the same work, or one of them failed: there is no figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One comparison, measured. `head` names the columns of `rows`; `notes` follow the table."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    figure: float
    notes: Sequence[str] = ()

    @property
    def text(self) -> str:
        """The table in Markdown under its title."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = ["", *self.notes] if self.notes else []
        return "\n".join([f"**{self.title}**", "", table, *notes, ""])


GOALS: Mapping[str, Goal] = {
    "throughput": Goal(
        measure="training samples/s against a bare PyTorch loop", bound=0.92, is_least=True
    ),
    "trials_per_hour": Goal(
        measure="trials/h at equal epochs against the documented way", bound=2.0, is_least=True
    ),
    "time_to_best": Goal(measure="time to the documented way's best against its own", bound=0.25),
    "slots": Goal(measure="share of slot-time inside the objective", bound=0.90, is_least=True),
}
"""The target of every comparison by its name, in the order in which they are made."""


def ratio(figure: float) -> str:
    """A ratio in three digits; in words where what it is about never happened."""
    return f"{figure:.3f}" if math.isfinite(figure) else "never reached"


def seconds(value: float) -> str:
    """A time with its unit."""
    return f"{value:.1f} s" if math.isfinite(value) else "never"


def score(value: float) -> str:
    """A score in three digits."""
    return f"{value:.3f}"
