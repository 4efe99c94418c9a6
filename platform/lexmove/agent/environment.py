"""The simulated environment: one episode tunes one objective, with the events that serving has.

Observations come from `observe` and actions become events as in serving, so that what is learned
here holds there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from lexmove.agent.observation import Observation, observe
from lexmove.agent.rl_module import action_space, observation_space
from lexmove.agent.simulated_workers import KnownObjective, SimulatedWorkers
from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import Decision

_REGRET_FLOOR = 0.003
"""Regret below which improvements stop to matter: a tenth of the seed noise of a fine-tuning."""

_NUM_REFERENCE_CONFIGS = 256
"""Random configs whose noiseless values give an objective's best and median value."""

_SEED_RANGE = 2**31


MakeObjective = Callable[[int], tuple[SearchSpace, KnownObjective]]
"""Draws the task of one episode from a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSpec:
    """How long an episode is and how its trials run.

    `num_trials` is the budget in trials, `parallel` the number of workers, `metric` the name
    under which the objective reports.
    """

    num_trials: int = 25
    parallel: int = 1
    fidelity: FidelityPlan = field(default_factory=FidelityPlan)
    metric: str = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """Normalised regret: 0 at the best, 1 at the median of an objective's random configs."""

    best: float
    median: float

    @classmethod
    def of(
        cls,
        objective: KnownObjective,
        space: SearchSpace,
        maximum: Fidelity,
        rng: np.random.Generator,
    ) -> "Regret":
        """Measured on random configs at full fidelity; configs that fail count as the worst."""
        values = np.array(
            [objective.value(space.sample(rng), maximum) for _ in range(_NUM_REFERENCE_CONFIGS)]
        )
        values = np.where(np.isfinite(values), values, -np.inf)
        median = float(np.median(values))
        best = float(values.max())
        return cls(best=best, median=median if math.isfinite(median) else best - 1.0)

    def __call__(self, value: float) -> float:
        """The regret in [0, 1]: what is worse than the median counts as the median."""
        scale = max(self.best - self.median, 1e-12)
        return min(1.0, max(0.0, (self.best - value) / scale)) if math.isfinite(value) else 1.0


def potential(regret: float) -> float:
    """−log10(regret + 0.003) − regret: what rewards are differences of.

    Orders of magnitude count near the best, plain improvement counts far from it. Differences of
    a potential telescope: the undiscounted return of an episode is its last minus its first.
    """
    return -math.log10(regret + _REGRET_FLOOR) - regret


class TuningEnv(gymnasium.Env[dict[str, NDArray[np.float32]], np.int64]):
    """One episode is one study of `num_trials` trials; one step fills one free worker.

    The reward is the change of `potential` at the noiseless value of the study's own incumbent.
    An episode ends when the budget is spent and all trials have ended: it is truncated, never
    terminated, since more budget would have led on.

    Args:
        config: `make_objective` (`MakeObjective`) and, optionally, `episode` (`EpisodeSpec`).

    After a reset, `objective` is the task and `regret` its scale.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # gymnasium's own declaration

    def __init__(self, config: dict[str, Any]) -> None:
        self._make_objective: MakeObjective = config["make_objective"]
        self._episode: EpisodeSpec = config.get("episode", EpisodeSpec())
        self.observation_space = observation_space()
        self.action_space = action_space()

    @property
    def study(self) -> Study:
        """What the episode has tried so far."""
        return self._workers.study

    @property
    def observation(self) -> Observation:
        """What the last step or reset returned, with its candidates."""
        return self._observation

    @property
    def current_potential(self) -> float:
        """The potential of the study's incumbent; of the median config before there is one."""
        incumbent = self.study.incumbent
        if incumbent is None:
            return potential(1.0)
        config = self.study.trials[incumbent.trial_id].config
        return potential(self.regret(self.objective.value(config, incumbent.fidelity)))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Draws a task and an empty study."""
        super().reset(seed=seed, options=options)
        episode_seed = int(self.np_random.integers(_SEED_RANGE))
        space, self.objective = self._make_objective(episode_seed)
        episode = self._episode
        spec = StudySpec(
            name=f"episode-{episode_seed}",
            space=space,
            metric=episode.metric,
            fidelity=episode.fidelity,
            num_trials=episode.num_trials,
            parallel=episode.parallel,
            seed=episode_seed,
        )
        self.regret = Regret.of(
            self.objective, space, episode.fidelity.maximum, np.random.default_rng(episode_seed)
        )
        self._workers = SimulatedWorkers(spec, self.objective)
        self._observation = self._next_decision()
        return self._observation.arrays(), {}

    def step(
        self, action: np.int64 | int
    ) -> tuple[dict[str, NDArray[np.float32]], float, bool, bool, dict[str, Any]]:
        """Starts the chosen candidate, then lets trials end until a worker is free again.

        Raises:
            ValueError: the candidate is masked.
        """
        index = int(action)
        if not self._observation.mask[index]:
            raise ValueError(f"candidate {index} is masked: choose one that the mask allows")
        before = self.current_potential
        decision = Decision(
            proposer="environment", action=index, lane=self._free_lane(), expert="policy"
        )
        self._workers.start(self._observation.candidates[index].to_suggestion(decision))
        self._observation = self._next_decision()
        truncated = not self._observation.mask.any()
        return (
            self._observation.arrays(),
            self.current_potential - before,
            False,
            truncated,
            {"num_trials": len(self.study.trials)},
        )

    def _next_decision(self) -> Observation:
        """Advances to the next free worker with something to do, or to the end of the study."""
        while True:
            if self._workers.has_free_worker:
                observation = observe(self.study, decision_rng(self.study))
                if observation.mask.any() or self._workers.is_idle:
                    return observation
            self._workers.advance()

    def _free_lane(self) -> int:
        taken = {trial.lane for trial in self.study.running}
        return next(lane for lane in range(len(taken) + 1) if lane not in taken)
