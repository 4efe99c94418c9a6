"""What a page is about: a study as rows, with what was learned after its search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lexmove.job.spec import JobSpec
from lexmove.report.chronicle import Chronicle
from lexmove.results.judgement import Judgement, Winner
from lexmove.results.profile import Profile
from lexmove.results.summary import DEFAULT_ARM, Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One study and its results.

    `state` is running, finished or interrupted. `reference` holds name, validation and test of the
    classifier that needs no tuning. `published` are test scores from the literature by model.
    `profiles` say where the time of the search and of the repetitions went; `repeated_s` is what
    the repetitions trained, in seconds. `software` are versions by package, of the machine that
    writes the page; `data` is the fingerprint of the data.
    """

    chronicle: Chronicle
    state: str
    job: JobSpec | None = None
    arms: Sequence[Arm] = ()
    winner: Winner | None = None
    judgement: Judgement | None = None
    reference: Mapping[str, Any] | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    repeated_s: float = 0.0
    software: Mapping[str, str] = field(default_factory=dict)
    data: str | None = None

    @property
    def name(self) -> str:
        """The study's name."""
        return self.chronicle.spec.name

    @property
    def metric(self) -> str:
        """The objective's name, for people."""
        return self.chronicle.metric

    @property
    def winning_arm(self) -> Arm | None:
        """The winner's repetitions."""
        return None if self.winner is None else self._arm(self.winner.arm)

    @property
    def default_arm(self) -> Arm | None:
        """The repetitions of the space's default config."""
        return self._arm(DEFAULT_ARM)

    def _arm(self, name: str) -> Arm | None:
        return next((arm for arm in self.arms if arm.name == name), None)

    @property
    def gpus(self) -> float:
        """How many GPUs a trial has by the job; 0 where that is not known."""
        return 0.0 if self.job is None else self.job.resources.gpu
