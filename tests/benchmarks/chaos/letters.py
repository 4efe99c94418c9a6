"""Letters that come twice, late, out of order or from the dead: shuffled, without Ray."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.chaos.driver import begun
from benchmarks.chaos.invariants import violations
from benchmarks.chaos.setting import NAME, Setting, file_setting
from lexmove.coordinator.desk import Answer, Letter, Order
from lexmove.coordinator.dispatch import Dispatch
from lexmove.coordinator.evaluation import SegmentOutcome
from lexmove.coordinator.stage import Work
from lexmove.coordinator.store import MemoryStore
from lexmove.study.trial import Measurement

_NUM_LANES = 4


def shuffled(folder: Path, *, seed: int, **changes: object) -> tuple[Counter[str], list[str]]:
    """A study whose letters go astray; what went how often, and what does not hold of it.

    Everything that was ever said is said again at random, lanes die in mid-segment and are heard
    afterwards, and what is said again of a trial is wrong.
    """
    setting = file_setting(folder, seed=seed, epoch_s=0.0, **changes)
    setting.study_dir.create()
    store = MemoryStore()
    post = _Post(setting, Dispatch(iter([begun(setting, store)]), _works(setting)), seed)
    post.run()
    return post.counts, violations(setting, store.load(NAME))


def _works(setting: Setting) -> dict[str, Work]:
    return {NAME: Work(objective=setting.objective)}


@dataclass(slots=True)
class _Lane:
    """A worker: what it still has to say of its segment, the next letter last."""

    name: str
    number: int = 0
    letters: list[Letter] = field(default_factory=list)


class _Post:
    """Brings letters and answers, and makes all the mistakes there are."""

    def __init__(self, setting: Setting, dispatch: Dispatch, seed: int) -> None:
        self._setting = setting
        self._dispatch = dispatch
        self._chance = random.Random(seed)
        self._lanes: dict[str, _Lane] = {}
        self._said: list[Letter] = []
        self._num_born = 0
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        """Until the study is over."""
        while not self._dispatch.is_finished():
            while len(self._lanes) < _NUM_LANES and not self._dispatch.is_finished():
                self._bear()
            speaking = [lane for lane in self._lanes.values() if lane.letters]
            if not speaking:
                break
            lane = self._chance.choice(speaking)
            if self._chance.random() < 0.05:
                self._lose(lane)
            else:
                self._say(lane.letters.pop())
            if self._said and self._chance.random() < 0.3:
                self.counts["said again"] += 1
                self._deliver(_wrong(self._chance.choice(self._said)))

    def _bear(self) -> None:
        name = f"lane {self._num_born}"
        self._num_born += 1
        self._lanes[name] = _Lane(name)
        self._say(Letter(lane=name, number=0))

    def _say(self, letter: Letter) -> None:
        self.counts["letters"] += 1
        self._said.append(letter)
        self._deliver(letter)

    def _deliver(self, *letters: Letter) -> None:
        for answer in [*self._dispatch.receive(letters), *self._dispatch.answers()]:
            self._answer(answer)

    def _lose(self, lane: _Lane) -> None:
        """It dies, with what it had to say; half of them are heard all the same."""
        self.counts["lost"] += 1
        del self._lanes[lane.name]
        self._dispatch.lost(lane.name)
        self._deliver()
        if self._chance.random() < 0.5:
            self.counts["heard when lost"] += 1
            self._deliver(_wrong(lane.letters.pop()))

    def _answer(self, answer: Answer) -> None:
        lane = self._lanes.get(answer.lane)
        # An answer that comes again finds a lane that has gone on.
        if lane is None or answer.order is None or answer.number < lane.number:
            return
        lane.number = answer.number + 1
        lane.letters = list(reversed(list(self._told(lane, answer.order))))
        lane.number = lane.letters[0].number

    def _told(self, lane: _Lane, order: Order) -> Iterator[Letter]:
        """A letter for each epoch of a segment, the last with its outcome."""
        segment, objective = order.segment, self._setting.objective
        for fidelity in range(segment.after + 1, segment.until + 1):
            value = objective.measure(segment.config, fidelity, seed=segment.seed)
            yield Letter(
                lane=lane.name,
                number=lane.number,
                trial_id=segment.trial_id,
                measurement=Measurement(fidelity=fidelity, metrics={"value": value}),
                outcome=SegmentOutcome() if fidelity == segment.until else None,
            )
            lane.number += 1


def _wrong(letter: Letter) -> Letter:
    """The same letter with a value that would win."""
    if letter.measurement is None:
        return letter
    return replace(letter, measurement=replace(letter.measurement, metrics={"value": 10.0}))
