"""Planned starts: configs to try before the agent decides, each with where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lexmove.space.search_space import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStart:
    """One config to begin with.

    `source` names the study or table it was learned from. `reason` says in words why it is
    here: it goes into the move log.
    """

    config: Config
    source: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes an equal start."""
        return {"config": dict(self.config), "source": self.source, "reason": self.reason}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(config=Config(data["config"]), source=data["source"], reason=data["reason"])
