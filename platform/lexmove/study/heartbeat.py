"""A sign of life: which process runs a study, and when it last said so."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """`runner` is a process and its machine, for people; `at_s` is in Unix time."""

    runner: str
    at_s: float

    def to_json(self) -> dict[str, Any]:
        """For a store."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> "Heartbeat | None":
        """What `to_json` gave; None for anything else, such as what another version left."""
        try:
            return cls(runner=str(data["runner"]), at_s=float(data["at_s"]))
        except (TypeError, ValueError, KeyError):
            return None
