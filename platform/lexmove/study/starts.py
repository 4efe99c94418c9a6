"""Planned starts: configs to try before the agent decides, each with where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lexmove.space.search_space import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStart:
    """One config to begin with.

    `source` names the study or table it was learned from, or who asked. `reason` says in words why
    it is here: it goes into the move log. One that `is_asked` for by the user is tried whatever
    came of others, the next time a trial may start; `after` is how many had been started when it
    was planned.
    """

    config: Config
    source: str
    reason: str
    is_asked: bool = False
    after: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes an equal start."""
        written: dict[str, Any] = {
            "config": dict(self.config),
            "source": self.source,
            "reason": self.reason,
        }
        return {**written, "asked_after": self.after} if self.is_asked else written

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            config=Config(data["config"]),
            source=data["source"],
            reason=data["reason"],
            is_asked="asked_after" in data,
            after=data.get("asked_after", 0),
        )


def asked_for(config: Config, *, by: str, after: int = 0) -> PlannedStart:
    """A config that somebody wants tried, once `after` trials were started."""
    return PlannedStart(
        config=config, source=by, reason=f"asked for by {by}", is_asked=True, after=after
    )
