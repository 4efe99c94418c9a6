"""What the records say: regrets by setting, arm and checkpoint, and who is the best peer."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.search.arm import Group
from benchmarks.search.comparison import Comparison
from benchmarks.search.results import Record
from benchmarks.search.setting import Axis, Setting
from benchmarks.search.statistics import Pair, Scores, shared

_MIN_COVERAGE = 0.5
"""Share of the tasks that an arm must have to be ranked or to be compared with as a peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Processor time of one decision in milliseconds: the median over studies of both quantiles."""

    median_ms: float
    p99_ms: float


MIN_RANKED = 0.25
"""Share of the pairs that an arm must have to be ranked."""


class Standings:
    """Records, looked at by setting and arm.

    Args:
        comparison: says which arms there are, in what order, of which group.
        records: current ones only.
        tasks: those that count.
    """

    def __init__(
        self, comparison: Comparison, records: Iterable[Record], *, tasks: Collection[str]
    ) -> None:
        self._comparison = comparison
        self._records: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in records:
            if record.task in tasks:
                self._records[record.setting, record.arm].append(record)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The settings that were played, the trials axis first."""
        found = {Setting.parse(setting) for setting, _ in self._records}
        return tuple(sorted(found, key=lambda item: (item.axis != "trials", item)))

    def setting(
        self, axis: Axis, parallel: int, *, at: float, starts: bool = False
    ) -> Setting | None:
        """The setting that answers for a checkpoint: the usual budget, else the smallest one."""
        fitting = [
            item
            for item in self.settings
            if (item.axis, item.parallel, item.starts) == (axis, parallel, starts)
            and at in item.checkpoints
        ]
        usual = Setting.usual(axis, parallel, starts=starts)
        return usual if usual in fitting else min(fitting, default=None)

    def arms(self, setting: Setting) -> tuple[str, ...]:
        """The arms that were played, in the order of the tables."""
        names = (arm.name for arm in self._comparison.arms[setting.axis])
        return tuple(name for name in names if (setting.name, name) in self._records)

    def group(self, setting: Setting, arm: str) -> Group:
        """The group of an arm."""
        found = self._comparison.arm(setting.axis, arm)
        assert found is not None, arm
        return found.group

    def families(self, setting: Setting) -> tuple[str, ...]:
        """The families that were played."""
        played = {record.task for arm in self.arms(setting) for record in self._of(setting, arm)}
        families = self._comparison.families
        return tuple(dict.fromkeys(families[task] for task in families if task in played))

    def scores(
        self,
        setting: Setting,
        arm: str,
        at: float,
        *,
        families: Collection[str] | None = None,
    ) -> Scores:
        """Regrets at a checkpoint; empty where the arm was not played."""
        family = self._comparison.families
        return {
            (record.task, record.seed): record.regrets[at]
            for record in self._of(setting, arm)
            if at in record.regrets and (families is None or family[record.task] in families)
        }

    def peers(self, setting: Setting) -> tuple[str, ...]:
        """The peers among the arms."""
        return tuple(arm for arm in self.arms(setting) if self.group(setting, arm) == "peer")

    def speed(self, setting: Setting, arm: str) -> Speed:
        """How long a decision takes."""
        rows = [(item.decision_ms, item.decision_p99_ms) for item in self._of(setting, arm)]
        median_ms, p99_ms = np.median(rows, axis=0)
        return Speed(median_ms=float(median_ms), p99_ms=float(p99_ms))

    def coverage(self, setting: Setting, arm: str) -> tuple[int, int, int]:
        """Predicted gains that could be checked, within the 80 % and within the 95 % interval."""
        counts = np.array([record.surprises for record in self._of(setting, arm)]).sum(axis=0)
        num, inner, outer = counts.tolist()
        return num, inner, outer

    def num_crashed(self, setting: Setting, arm: str) -> float:
        """Crashed trials of a study, on average."""
        return float(np.mean([record.num_crashed for record in self._of(setting, arm)]))

    def _of(self, setting: Setting, arm: str) -> Sequence[Record]:
        return self._records.get((setting.name, arm), ())


def covered(scores: Mapping[str, Scores], *, like: Scores, share: float = 0.0) -> dict[str, Scores]:
    """The arms that were played, with seeds that `like` has, on at least half of its tasks.

    And on at least a `share` of its pairs: where all arms are looked at on the pairs of all of
    them, one with a single seed would leave no other.
    """
    least = _MIN_COVERAGE * len(_tasks(like))
    found = {arm: (of_arm, shared(like, of_arm)) for arm, of_arm in scores.items() if of_arm}
    return {
        arm: of_arm
        for arm, (of_arm, pairs) in found.items()
        if len(_tasks(pairs)) >= least and len(pairs) >= share * len(like)
    }


def _tasks(pairs: Iterable[Pair]) -> set[str]:
    return {task for task, _ in pairs}
