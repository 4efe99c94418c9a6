"""How studies of our arms begin: with configs that are asked for, and with a memory.

A memory is what past studies of the other tasks of a family teach: 30 trials of the agent's own
floor, one study for each task, as a user would have them. Whoever copies can copy from the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from benchmarks.search.arm import straight
from benchmarks.search.play import Budget, played
from benchmarks.search.pools import nearest_left
from benchmarks.search.task import Config, SearchTask
from lexmove.agent.baselines import make_proposer
from lexmove.agent.memory import PastStudy, learn_portfolio, past_results
from lexmove.space.search_space import Config as SpaceConfig
from lexmove.space.search_space import SearchSpace
from lexmove.study.past import PastResults
from lexmove.study.protocols import Proposer
from lexmove.study.starts import PlannedStart, asked_for
from lexmove.study.study import Study
from lexmove.study.trial import Suggestion

NUM_PAST_TRIALS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """The start portfolio and the results that a study is created with."""

    starts: tuple[PlannedStart, ...] = ()
    past: tuple[PastResults, ...] = ()


PLAIN = Beginning()
"""A study that begins with the space's default."""


class Past:
    """One past study for each task of a family; they are played when first asked for.

    `seed` is theirs: what a study remembers is as much a draw as the study itself.
    """

    def __init__(self, tasks: Sequence[SearchTask], *, seed: int) -> None:
        self._tasks, self._seed = tuple(tasks), seed

    def teach(self, task: SearchTask) -> Beginning:
        """What the other tasks' studies give a study to begin with."""
        others = [self._studies[other.name] for other in self._tasks if other.teaches(task)]
        starts = learn_portfolio(others, task.space)
        return Beginning(
            starts=starts if task.pool is None else _of_pool(starts, task.space, task.pool),
            past=past_results(others, task.space),
        )

    def incumbents(self, task: SearchTask) -> tuple[SpaceConfig, ...]:
        """The best config that each of the other tasks' studies measured, in any order."""
        others = [other.name for other in self._tasks if other.teaches(task)]
        order = np.random.default_rng(self._seed).permutation(len(others))
        studies = [self._studies[others[index]].study for index in order]
        return tuple(study.trials[study.ranking[0].trial_id].config for study in studies)

    @cached_property
    def _studies(self) -> dict[str, PastStudy]:
        budget = Budget(trials=NUM_PAST_TRIALS)
        return {
            task.name: PastStudy.from_study(
                played(
                    task, make_proposer("floor"), budget, plan=straight(task), seed=self._seed
                ).study
            )
            for task in self._tasks
        }


def _of_pool(
    starts: Sequence[PlannedStart], space: SearchSpace, pool: Sequence[Config]
) -> tuple[PlannedStart, ...]:
    """The starts as configs of a pool.

    One that is not in it would never be found among the trials, and so be asked for again and
    again, of which each would be the next nearest.
    """
    snapped: dict[SpaceConfig, PlannedStart] = {}
    for start in starts:
        config = nearest_left(space, pool, start.config, {space.default, *snapped})
        if config is not None:
            snapped[config] = replace(start, config=config)
    return tuple(snapped.values())


def asked_first(task: SearchTask, starts: Sequence[Config], then: Beginning = PLAIN) -> Beginning:
    """A beginning with configs that a user asks for, before what there is else."""
    asked = tuple(asked_for(task.space.complete(config), by="the job") for config in starts)
    if task.pool is not None:
        asked = _of_pool(asked, task.space, task.pool)
    return replace(then, starts=(*asked, *then.starts))


class Begun:
    """A proposer whose studies were created with a beginning."""

    def __init__(self, proposer: Proposer, beginning: Beginning) -> None:
        self._proposer, self._beginning = proposer, beginning
        self.name = proposer.name

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        spec = replace(study.spec, starts=self._beginning.starts, past=self._beginning.past)
        return self._proposer.propose(replace(study, spec=spec), rng, lane=lane)
