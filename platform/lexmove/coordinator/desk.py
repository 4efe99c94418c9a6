"""The desk: where lanes hand in what they found and wait for what comes next; a mailbox, no more.

It stands between the workers and the process that runs the study. All that it holds is on its way,
so that nothing is lost with it: whoever waits for an answer hands the same letter in again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lexmove.coordinator.evaluation import SegmentOutcome
from lexmove.study.trial import Measurement, Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a lane says: a measurement of `trial_id`, how its segment ended, both, or that it is up.

    `number` counts the letters of a lane from 0. `worker` is the handle of the lane's process.
    """

    lane: str
    number: int
    worker: Any = None
    trial_id: int | None = None
    measurement: Measurement | None = None
    outcome: SegmentOutcome | None = None

    @property
    def wants_segment(self) -> bool:
        """Whether the lane has nothing to do until it is answered."""
        return self.trial_id is None or self.outcome is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a lane is to do: a segment of a stage, of the study of that name.

    It may write below `trial_dir`, which is a name below `storage` where that is a URI: every node
    has its own place for it. Elsewhere all nodes share the folder that has this `mark`.
    """

    stage: str
    study: str
    segment: Segment
    trial_dir: str
    storage: str | None = None
    mark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """To the letter of that `number`; without an order, one that wants a segment is the last."""

    lane: str
    number: int
    order: Order | None = None


class Desk:
    """Passes letters one way and answers the other; knows which lanes are alive.

    Whoever finds it by its name may read where the study stands (`status`).
    """

    def __init__(self) -> None:
        self._status: Mapping[str, Any] = {}
        self._renewed_at_s: dict[str, float] = {}
        self._letters: list[Letter] = []
        self._waiting: dict[str, tuple[int, asyncio.Future[Answer]]] = {}
        self._has_letters = asyncio.Event()

    async def hand_in(self, letter: Letter) -> Answer:
        """Returns when the letter is answered."""
        await self.renew(letter.lane)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[letter.lane] = (letter.number, answered)
        self._letters.append(letter)
        self._has_letters.set()
        return await answered

    async def collect(self, patience_s: float) -> list[Letter]:
        """All letters since the last call, in the order of their arrival; [] if none comes."""
        try:
            await asyncio.wait_for(self._has_letters.wait(), patience_s)
        except TimeoutError:
            return []
        letters, self._letters = self._letters, []
        self._has_letters.clear()
        return letters

    async def hand_out(self, answers: Sequence[Answer]) -> None:
        """Lets those go on who wait for these; nobody may."""
        for answer in answers:
            number, answered = self._waiting.get(answer.lane, (None, None))
            if number == answer.number and answered is not None:
                del self._waiting[answer.lane]
                if not answered.done():
                    answered.set_result(answer)

    async def renew(self, lane: str) -> None:
        """A lane is alive: its lease begins anew."""
        self._renewed_at_s[lane] = time.monotonic()

    async def overdue(self, lease_s: float) -> list[str]:
        """The lanes that have not renewed their lease within `lease_s` seconds, told once."""
        since_s = time.monotonic() - lease_s
        lanes = [lane for lane, at_s in self._renewed_at_s.items() if at_s < since_s]
        for lane in lanes:
            del self._renewed_at_s[lane]
        return lanes

    async def forget(self, lane: str) -> None:
        """A lane has left."""
        self._renewed_at_s.pop(lane, None)

    async def post(self, status: Mapping[str, Any]) -> None:
        """Sets what `status` tells."""
        self._status = status

    async def status(self) -> Mapping[str, Any]:
        """Where the study stands, as JSON values; {} before it has begun."""
        return self._status
