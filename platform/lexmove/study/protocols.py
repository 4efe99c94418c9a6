"""The seams: what proposes, what evaluates, what remembers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from lexmove.study.heartbeat import Heartbeat
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event, Measurement, Segment, Suggestion

Report = Callable[[Measurement], None]

UNMEASURED = "unmeasured"
"""The folder below a trial's own for what an objective keeps between two measurements.

It is for who comes after a worker that died, and goes when the study ends.
"""


class Proposer(Protocol):
    """Decides what to try next from what has been tried.

    Keeps no state between calls that the study does not hold: the same study and the same
    generator state give the same suggestion, in any process.
    """

    @property
    def name(self) -> str:
        """What the move log calls it."""
        ...

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """The next suggestion for one free slot; None when nothing is worth starting now.

        May start a trial only while `study.num_trials_left` is positive, may continue any
        paused trial, and must treat running trials as pending.
        """
        ...


class Objective(Protocol):
    """Evaluates one config.

    Reports a measurement at each fidelity from `segment.after` + 1 (or at the rungs it knows) up
    to `segment.until`, writing what it wants to keep below `trial_dir`.

    Raises:
        TrialFailedError: the trial went wrong; the reason is shown to the user.
        InfeasibleError: the config cannot be evaluated here.
    """

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None: ...


class TrialReader(Protocol):
    """Shows what a store remembers.

    Raises:
        StoreError: the store cannot be read.
        StudyNotFoundError: no study of that name.
    """

    def names(self) -> tuple[str, ...]:
        """All studies, oldest first."""
        ...

    def look(self, name: str) -> Study:
        """The study as written so far; trials may be read when they are looked at."""
        ...

    def heartbeat(self, name: str) -> Heartbeat | None:
        """The last sign of life of who runs the study; None where nobody gives one."""
        ...

    def requests(self, name: str) -> tuple[PlannedStart, ...]:
        """The starts that were requested and are not planned yet, oldest first."""
        ...


class TrialStore(TrialReader, Protocol):
    """Remembers studies.

    A write is durable when it returns; after any crash, `load` gives the study of a prefix of
    what was written. One writer at a time; but `request` is for anybody at any time.

    Raises:
        StoreError: the store cannot be read or written.
        StudyNotFoundError: no study of that name.
    """

    def create(self, spec: StudySpec) -> None:
        """Creates an empty study; a study of that name must not exist (`StoreError`)."""
        ...

    def append(self, name: str, *events: Event) -> Study:
        """Appends events in one go, and gives the study after them.

        Events that are there already change nothing.
        """
        ...

    def load(self, name: str) -> Study:
        """The study as written so far."""
        ...

    def extend(self, name: str, num_trials: int, starts: Sequence[PlannedStart] = ()) -> None:
        """Sets the budget of a study to `num_trials` trials in all, and plans more starts."""
        ...

    def request(self, name: str, start: PlannedStart) -> None:
        """Leaves a start for the process that runs the study, or the next one that will."""
        ...

    def plan_requests(self, name: str) -> Study | None:
        """Plans all starts that were requested, with a trial more in the budget for each.

        Those that were tried or planned meanwhile are dropped. Gives the study as it is planned
        then; None where there was nothing new.
        """
        ...

    def delete(self, name: str) -> None:
        """Deletes a study, with all its events."""
        ...

    def beat(
        self, name: str, heartbeat: Heartbeat | None, *, instead_of: Heartbeat | None = None
    ) -> bool:
        """Replaces the sign of life of who runs the study; None when they leave it.

        With `instead_of`, only if that is the last one; whether it was replaced.
        """
        ...
