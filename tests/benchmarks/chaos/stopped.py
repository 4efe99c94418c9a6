"""What became of a study whose store failed it: why drivers stopped, and what does not hold."""

from dataclasses import dataclass

from benchmarks.chaos.invariants import violations
from benchmarks.chaos.supervised import Supervised
from lexmove.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """How often a study stopped, with which causes, and what does not hold of it at its end."""

    causes: list[str]
    broken: list[str]

    @classmethod
    def of(cls, supervised: Supervised, study: Study) -> "Stopped":
        """The account of a study that is over."""
        broken = violations(supervised.setting, study, before=supervised.seen)
        return cls(causes=supervised.causes, broken=broken)

    @property
    def num_unexplained(self) -> int:
        """Of what broke, and of stops that do not say what cannot be done."""
        return len(self.broken) + sum("cannot" not in cause for cause in self.causes)

    @property
    def line(self) -> str:
        """In words."""
        stops = "".join(f"; stopped: {cause}" for cause in self.causes) or "; no driver stopped"
        return f"{'; '.join(self.broken) or 'all held'}{stops}"
