"""What is compared: tasks by name, arms by axis, and which arms cannot run here."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.search.arm import Arm
from benchmarks.search.beginnings import Begun, Past, asked_first
from benchmarks.search.copying import Family, copying
from benchmarks.search.ours import paused, source_version
from benchmarks.search.play import Budget
from benchmarks.search.setting import Axis, Setting
from benchmarks.search.task import METRIC, Config, SearchTask
from lexmove.agent.proposer import PolicyProposer
from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.space.search_space import Config as SpaceConfig
from lexmove.study.protocols import Proposer
from lexmove.study.trial import Measurement, Segment

COPY = "copy"
MEMORY = "lexmove, memory"
COPY_PAST = "copy, past studies"
_TAUGHT = (COPY, MEMORY, COPY_PAST)

_PAST = "a past for every seed"
"""What the memory arm remembers: with one past for all seeds, its luck was in every pair."""

_NUM_PROBES = 6


class Comparison:
    """Tasks and arms.

    Args:
        tasks: how to make each task, by name; made once, when first asked for.
        families: the family of each task.
        arms: the arms of each axis, in the order of the tables.
        absent: arms that cannot run in this interpreter, and why.
        on_request: arms that are played only where they are named.
        with_memory: whether the agent with memory of the other tasks is an arm.
    """

    def __init__(
        self,
        *,
        tasks: Mapping[str, Callable[[], SearchTask]],
        families: Mapping[str, str],
        arms: Mapping[Axis, Sequence[Arm]],
        absent: Mapping[str, str],
        on_request: frozenset[str] = frozenset(),
        with_memory: bool = False,
    ) -> None:
        self._make = tasks
        self._made: dict[str, SearchTask] = {}
        self._versions: dict[str, str] = {}
        self._pasts: dict[tuple[str, int], Past] = {}
        self.families = families
        self.absent = absent
        self.on_request = on_request
        self.arms: Mapping[Axis, tuple[Arm, ...]] = {
            axis: (*of_axis, *(self._recalling if with_memory else ()), self._copy_arm)
            for axis, of_axis in arms.items()
        }

    def task(self, name: str) -> SearchTask:
        """One task."""
        if name not in self._made:
            self._made[name] = self._make[name]()
        return self._made[name]

    def task_version(self, name: str) -> str:
        """A hash that changes with what the task measures."""
        if name not in self._versions:
            self._versions[name] = fingerprint(self.task(name))
        return self._versions[name]

    def plays(self, arm: Arm, setting: Setting, task: str) -> bool:
        """Whether the study makes sense: a curve on the epoch axis, something to copy.

        A pool is played by trials: SMAC's Hyperband plans brackets over its own configs.
        """
        of_task = self.task(task)
        if not setting.has(of_task):
            return False
        if of_task.pool is not None and (setting.axis != "trials" or not arm.searches_pools):
            return False
        return self._family(task).can_teach() if arm.name in _TAUGHT or setting.starts else True

    def starts(self, setting: Setting, task: str) -> tuple[Config, ...]:
        """What every arm is handed in that setting."""
        return self._family(task).starts(self.task(task)) if setting.starts else ()

    def arm(self, axis: Axis, name: str) -> Arm | None:
        """The arm of that name on an axis."""
        return next((arm for arm in self.arms[axis] if arm.name == name), None)

    @property
    def arm_names(self) -> tuple[str, ...]:
        """The arms of all axes, each once."""
        return tuple(dict.fromkeys(arm.name for of_axis in self.arms.values() for arm in of_axis))

    def _family(self, task: str) -> Family:
        return self._taught[self.families[task]]

    @cached_property
    def _taught(self) -> "_Families":
        return _Families(self)

    def members(self, family: str) -> list[SearchTask]:
        """All tasks of a family."""
        return [self.task(name) for name, of_task in self.families.items() if of_task == family]

    @cached_property
    def _copy_arm(self) -> Arm:
        def make(
            task: SearchTask, budget: Budget, *, seed: int, starts: Sequence[Config]
        ) -> Proposer:
            handed = [task.space.config(config) for config in starts]
            return copying(handed, self._family(task.name).copied(task))

        return Arm(name=COPY, group="baseline", make=make, version="1")

    @cached_property
    def _recalling(self) -> tuple[Arm, ...]:
        """What one can do with the same past studies: remember them, or copy their best configs."""

        def remember(
            task: SearchTask, budget: Budget, *, seed: int, starts: Sequence[Config]
        ) -> Proposer:
            begun = asked_first(task, starts, self._past_of(task, seed).teach(task))
            return Begun(PolicyProposer(sample=True), begun)

        def copy(
            task: SearchTask, budget: Budget, *, seed: int, starts: Sequence[Config]
        ) -> Proposer:
            handed = [task.space.config(config) for config in starts]
            return copying(handed, self._past_of(task, seed).incumbents(task))

        version = f"{source_version()}/{_PAST}"
        return (
            Arm(name=MEMORY, group="ours", make=remember, version=version, plan=paused),
            Arm(name=COPY_PAST, group="ablation", make=copy, version=version),
        )

    def _past_of(self, task: SearchTask, seed: int) -> Past:
        family = self.families[task.name]
        if (family, seed) not in self._pasts:
            self._pasts[family, seed] = Past(self.members(family), seed=seed)
        return self._pasts[family, seed]


class _Families(dict[str, Family]):
    """Families, each made when first asked for."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self._comparison = comparison

    def __missing__(self, family: str) -> Family:
        self[family] = Family(self._comparison.members(family))
        return self[family]


def fingerprint(task: SearchTask) -> str:
    """A hash over the space, the scale of the regret, and what a few configs measure."""
    rng = np.random.default_rng(0)
    probes = [task.space.sample(rng) for _ in range(_NUM_PROBES)]
    seen = {
        "space": task.space.to_json(),
        "scale": [_digits(task.best), _digits(task.median), task.max_fidelity],
        "pool": len(task.pool or ()),
        "values": [_digits(task.objective.value(config, task.max_fidelity)) for config in probes],
        "measured": [_measured(task, config, seed) for seed, config in enumerate(probes)],
    }
    return hashlib.sha256(json.dumps(seen, default=str).encode()).hexdigest()[:10]


def _digits(number: float) -> str:
    """Few enough that another processor's rounding gives the same."""
    return f"{number:.5g}"


def _measured(task: SearchTask, config: SpaceConfig, seed: int) -> list[str]:
    """A whole trial: fidelities, values with their noise, run times, and how it failed."""
    found: list[Measurement] = []
    segment = Segment(trial_id=0, config=config, seed=seed, until=task.max_fidelity)
    failure = []
    try:
        task.objective(segment, trial_dir=Path(), report=found.append)
    except (TrialFailedError, InfeasibleError) as error:
        failure = [type(error).__name__]
    rows = [(item.fidelity, item.metrics[METRIC], item.duration_s) for item in found]
    return [*(_digits(number) for row in rows for number in row), *failure]
