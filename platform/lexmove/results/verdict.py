"""What won on the test split, and whether the lead is more than the seeds' noise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lexmove.results.summary import Arm, Repeated


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A classifier with its score on the test split.

    `ci95` is the half-width of the interval over the seeds: 0 where nothing is random, NaN where
    one seed says nothing about noise.
    """

    name: str
    test: float
    ci95: float

    def overlaps(self, other: "Contender") -> bool:
        """Whether the intervals meet, or one of them is unknown."""
        reach = self.ci95 + other.ci95
        return math.isnan(reach) or abs(self.test - other.test) <= reach


def contenders(
    arms: Sequence[Arm], reference: Mapping[str, Any] | None, *, sign: float
) -> tuple[Contender, ...]:
    """Everything that was scored on the test split, best first.

    Args:
        arms: the repeated configs.
        reference: name and test score of the classifier that needs no tuning.
        sign: +1 where more is better, −1 where less is.
    """
    found = [_of_arm(arm.name, arm.test) for arm in arms if arm.test is not None]
    if reference is not None and reference.get("test") is not None:
        found.append(Contender(name=reference["name"], test=reference["test"], ci95=0.0))
    return tuple(sorted(found, key=lambda item: -sign * item.test))


def _of_arm(name: str, test: Repeated) -> Contender:
    return Contender(name=name, test=test.mean, ci95=test.ci95)
