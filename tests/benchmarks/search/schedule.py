"""Which studies are missing, in what order they are played, and how long that will take."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.search.arm import Arm
from benchmarks.search.comparison import Comparison
from benchmarks.search.results import Key, Record
from benchmarks.search.setting import Setting

_UNKNOWN_S = 3.0
"""Processor seconds of a study of which nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One study to play."""

    arm: Arm
    setting: Setting
    task: str
    seed: int

    @property
    def key(self) -> Key:
        return Key(self.arm.name, self.setting.name, self.task, self.seed)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for: arms by name, tasks by name, settings, and seeds 0 to `num_seeds` − 1."""

    arms: Collection[str]
    tasks: Sequence[str]
    settings: Sequence[Setting]
    num_seeds: int


def is_current(record: Record, comparison: Comparison) -> bool:
    """Whether arm and task are still what they were when the record was made.

    The version of an arm that cannot run here is unknown: its last records count.
    """
    if record.task not in comparison.families:
        return False
    arm = comparison.arm(Setting.parse(record.setting).axis, record.arm)
    if arm is None or record.task_version != comparison.task_version(record.task):
        return False
    return arm.version == record.arm_version or arm.name in comparison.absent


def missing(comparison: Comparison, request: Request, known: Collection[Key]) -> list[Planned]:
    """The studies to play: every task with one seed before any with the next.

    So a comparison that is stopped early covers all tasks and arms alike.
    """
    return [
        planned
        for seed in range(request.num_seeds)
        for setting in request.settings
        for task in request.tasks
        for planned in _one_round(comparison, request, setting, task, seed)
        if planned.key not in known
    ]


def _one_round(
    comparison: Comparison, request: Request, setting: Setting, task: str, seed: int
) -> Iterator[Planned]:
    for arm in comparison.arms[setting.axis]:
        is_asked = arm.name in request.arms and arm.name not in comparison.absent
        if is_asked and comparison.plays(arm, setting, task):
            yield Planned(arm=arm, setting=setting, task=task, seed=seed)


class Clock:
    """Processor seconds that a study will take, from what studies like it took."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._spent: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Learns from one more study."""
        for key in ((record.arm, record.setting), (record.arm,), ()):
            self._spent[key].append(record.cpu_s)

    def expected_s(self, studies: Iterable[Planned]) -> float:
        """Of all these studies together."""
        counts: Mapping[tuple[str, str], int] = _counted(studies)
        return sum(count * self._mean(*kind) for kind, count in counts.items())

    def _mean(self, arm: str, setting: str) -> float:
        for key in ((arm, setting), (arm,), ()):
            if spent := self._spent.get(key):
                return sum(spent) / len(spent)
        return _UNKNOWN_S


def _counted(studies: Iterable[Planned]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for planned in studies:
        counts[planned.arm.name, planned.setting.name] += 1
    return counts
