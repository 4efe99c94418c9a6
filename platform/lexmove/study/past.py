"""Past results: what configs reached in an earlier study, as points of a new study's space."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PastResults:
    """N results of one earlier study, which a new one keeps beside its own trials.

    `source` names the study. `units` (N, D) are points of the unit cube, one number for each
    searched hyperparameter of the new space, in its order. `scores` (N,) are standardised, higher
    better. `known` names the hyperparameters that the earlier study had varied: of the others it
    says nothing. `weight` in (0, 1] is how much it counts before any trial speaks for or against.
    """

    source: str
    known: tuple[str, ...]
    units: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]
    weight: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes equal results."""
        return {
            "source": self.source,
            "weight": self.weight,
            "known": list(self.known),
            "units": [list(row) for row in self.units],
            "scores": list(self.scores),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            source=data["source"],
            weight=data["weight"],
            known=tuple(data["known"]),
            units=tuple(tuple(row) for row in data["units"]),
            scores=tuple(data["scores"]),
        )
