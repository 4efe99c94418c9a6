"""The desk: where lanes hand in what they found and wait for what comes next; a mailbox, no more.

It stands between the workers and the process that runs the study. All that it holds is on its way,
so that nothing is lost with it: whoever waits for an answer hands the same letter in again.
"""

import asyncio
from collections.abc import Sequence
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
    """What a lane is to do: a segment of the stage of that name, with a folder to write below."""

    stage: str
    segment: Segment
    trial_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """To the letter of that `number`; without an order, one that wants a segment is the last."""

    lane: str
    number: int
    order: Order | None = None


class Desk:
    """Passes letters one way and answers the other."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._waiting: dict[str, tuple[int, asyncio.Future[Answer]]] = {}
        self._has_letters = asyncio.Event()

    async def hand_in(self, letter: Letter) -> Answer:
        """Returns when the letter is answered."""
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
