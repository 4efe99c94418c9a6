"""The simulated environment: one episode tunes one objective, with the events that serving has.

Observations come from `observe` and actions become events as in serving, so that what is learned
here holds there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from lexmove.agent.continuation import has_options
from lexmove.agent.encoding import Encoding
from lexmove.agent.observation import NUM_CANDIDATES, Observation, observe
from lexmove.agent.pretraining.regret import Regret, potential, potentials, true_values
from lexmove.agent.rl_module import action_space, observation_space, privileged_space
from lexmove.agent.simulated_workers import KnownObjective, SimulatedWorkers
from lexmove.space.search_space import SearchSpace
from lexmove.study.allowance import expected_epochs
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.scoring import Incumbent
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import Decision, Suggestion

_SEED_RANGE = 2**31
_MAX_DRAWS = 64

_EPISODE, _CHANCE = 2, 3
"""Streams of an episode's seed, beside that of its task."""

_ASHA_FACTOR = 1.5
"""By ASHA's rule trials take so often what halving takes, on average (agent/README.md)."""

MakeObjective = Callable[[int], tuple[SearchSpace, KnownObjective]]
"""Draws the task of one episode from a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSpec:
    """How long an episode is and how its trials run.

    `num_trials` is the budget in trials, `parallel` the number of workers, `metric` the name
    under which the objective reports. `num_seeded` of the trials are there before the first
    decision: the episode begins in the middle of a study. With `num_epochs` no decision is made
    once that many epochs were spent: what trials may be continued costs no budget of trials.
    """

    num_trials: int = 25
    parallel: int = 1
    fidelity: FidelityPlan = field(default_factory=FidelityPlan)
    metric: str = "value"
    num_seeded: int = 0
    num_epochs: int | None = None


@runtime_checkable
class HasCurves(Protocol):
    """An objective whose full training is `max_fidelity` units long."""

    max_fidelity: Fidelity


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeDistribution:
    """Episodes of mixed length and parallelism; an objective with curves is played with rungs.

    `num_trials` are the least and the largest budget, drawn log-uniformly; on curves it is that
    many `trainings` worth of epochs instead, and as many trials as they pay for. `parallels` are
    equally likely. With probability `seeded_ratio` an episode begins after up to `max_seeded`
    trials of a search by chance, on top of its budget. `etas` are the factors between rungs.
    """

    num_trials: tuple[int, int] = (12, 60)
    trainings: tuple[float, float] = (3.0, 12.0)
    parallels: tuple[int, ...] = (1, 1, 2, 4, 8)
    seeded_ratio: float = 0.3
    max_seeded: int = 24
    etas: tuple[int, ...] = (2, 3)
    metric: str = "value"

    def of(self, seed: int, max_fidelity: Fidelity = 1) -> EpisodeSpec:
        """The episode of a seed, whatever task was drawn from it.

        From a stream of its own: tasks are drawn from the seed itself, and from the same numbers
        every kind of task would get budgets and workers of its own.
        """
        return self.draw(np.random.default_rng([seed, _EPISODE]), max_fidelity)

    def draw(self, rng: np.random.Generator, max_fidelity: Fidelity = 1) -> EpisodeSpec:
        """One episode."""
        low, high = np.log(self.num_trials[0]), np.log(self.num_trials[1] + 0.999)
        budget, parallel = int(np.exp(rng.uniform(low, high))), int(rng.choice(self.parallels))
        num_seeded = 0
        if rng.random() < self.seeded_ratio:
            num_seeded = int(rng.integers(2, self.max_seeded + 1))
        if max_fidelity == 1:
            return EpisodeSpec(
                num_trials=budget + num_seeded,
                parallel=parallel,
                metric=self.metric,
                num_seeded=num_seeded,
            )
        plan = FidelityPlan(maximum=max_fidelity, eta=int(rng.choice(self.etas)))
        num_epochs = num_seeded * plan.rungs[0]
        num_epochs += round(max_fidelity * float(np.exp(rng.uniform(*np.log(self.trainings)))))
        return EpisodeSpec(
            num_trials=num_seeded + _trials_for(plan, num_epochs - num_seeded * plan.rungs[0]),
            parallel=parallel,
            fidelity=plan,
            metric=self.metric,
            num_seeded=num_seeded,
            num_epochs=num_epochs,
        )


def _trials_for(plan: FidelityPlan, num_epochs: Fidelity) -> int:
    """How many trials so many epochs pay for by ASHA's rule, at least one.

    So both budgets come to their end together, as in a job.
    """
    num_trials = 1
    while _ASHA_FACTOR * expected_epochs(plan, num_trials + 1) <= num_epochs:
        num_trials += 1
    return num_trials


def _full_training(objective: object) -> Fidelity:
    return objective.max_fidelity if isinstance(objective, HasCurves) else 1


class TuningEnv(gymnasium.Env[dict[str, NDArray[np.float32]], np.int64]):
    """One episode is one study of `num_trials` trials; one step fills one free worker.

    The reward is the change of `potential` at the noiseless value of the study's own incumbent.
    An episode ends when the budget is spent and all trials have ended: it is truncated, never
    terminated, since more budget would have led on.

    Args:
        config: `make_objective` (`MakeObjective`) and, optionally, `episode` (`EpisodeSpec` or
            `EpisodeDistribution`).

    After a reset, `objective` is the task and `regret` its scale.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # gymnasium's own declaration

    def __init__(self, config: dict[str, Any]) -> None:
        self._make_objective: MakeObjective = config["make_objective"]
        self._episode: EpisodeSpec | EpisodeDistribution = config.get("episode", EpisodeSpec())
        self.observation_space: gymnasium.spaces.Dict = observation_space()
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
    def current_regret(self) -> float:
        """The regret of the study's incumbent, by its noiseless value; 1 before there is one."""
        incumbent = self.study.incumbent
        if incumbent is None:
            return 1.0
        if incumbent not in self._regrets:
            config = self.study.trials[incumbent.trial_id].config
            value = self.objective.value(config, incumbent.fidelity)
            self._regrets[incumbent] = self.regret(value)
        return self._regrets[incumbent]

    @property
    def current_potential(self) -> float:
        """The potential of the study's incumbent; of the median config before there is one."""
        return potential(self.current_regret)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Draws a task and a study that has something to decide.

        Raises:
            ValueError: none has.
        """
        super().reset(seed=seed, options=options)
        self._begin(self.np_random)
        return self._arrays(), {}

    def _begin(self, rng: np.random.Generator) -> None:
        """Draws episodes until one has something to decide.

        Few discrete configs may all have been tried by chance before the first decision.

        Raises:
            ValueError: there was nothing to decide in any of 64.
        """
        for _ in range(_MAX_DRAWS):
            self._observation = self._begin_one(int(rng.integers(_SEED_RANGE)))
            if self._observation.mask.any():
                return
        raise ValueError(
            f"{_MAX_DRAWS} episodes had nothing to decide: their spaces are smaller than what is "
            "tried before the first decision; use larger spaces or a smaller num_seeded"
        )

    def _begin_one(self, episode_seed: int) -> Observation:
        space, self.objective = self._make_objective(episode_seed)
        episode = self._episode
        if isinstance(episode, EpisodeDistribution):
            episode = episode.of(episode_seed, _full_training(self.objective))
        rng = np.random.default_rng([episode_seed, _CHANCE])
        spec = StudySpec(
            name=f"episode-{episode_seed}",
            space=space,
            metric=episode.metric,
            fidelity=episode.fidelity,
            num_trials=episode.num_trials,
            parallel=episode.parallel,
            seed=episode_seed,
        )
        self._num_epochs = math.inf if episode.num_epochs is None else episode.num_epochs
        self.regret = Regret.of(self.objective, space, episode.fidelity.maximum, rng)
        self._regrets: dict[Incumbent, float] = {}
        self._workers = SimulatedWorkers(spec, self.objective)
        self._play_by_chance(episode.num_seeded, rng)
        return self._next_decision()

    def _play_by_chance(self, num_trials: int, rng: np.random.Generator) -> None:
        """A history that no policy made: random configs, and steps from the best so far."""
        encoding = Encoding.of(self.study.spec.space)
        while len(self.study.trials) < num_trials:
            if not self._workers.has_free_worker:
                self._workers.advance()
                continue
            units = rng.random(encoding.num_dims)
            incumbent = self.study.incumbent
            if incumbent is not None and rng.random() < 0.5:
                origin = self.study.trials[incumbent.trial_id].config
                is_moved = rng.random(encoding.num_dims) < 0.5
                here = encoding.space.to_unit(origin)
                units = np.where(is_moved, rng.normal(here, 0.2), here)
            config = encoding.config(encoding.snap(units[None])[0])
            if encoding.space.is_forbidden(config):
                continue
            decision = Decision(proposer="chance", lane=self._free_lane())
            until = self.study.spec.fidelity.rungs[0]
            self._workers.start(Suggestion(config=config, until=until, decision=decision))

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        return self._observation.arrays()

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
        candidate = self._observation.candidates[index]
        decision = Decision(
            proposer="environment",
            action=index,
            lane=self._free_lane(),
            expert="policy",
            move=candidate.move,  # what became of moves is in later observations
        )
        self._workers.start(candidate.to_suggestion(decision))
        self._observation = self._next_decision()
        truncated = not self._observation.mask.any()
        return (
            self._arrays(),
            self.current_potential - before,
            False,
            truncated,
            {"num_trials": len(self.study.trials)},
        )

    def _next_decision(self) -> Observation:
        """Advances to the next free worker with something to do, or to the end of the study."""
        while True:
            is_spent = sum(trial.fidelity for trial in self.study.trials) >= self._num_epochs
            may_go_on = not is_spent and has_options(self.study)
            if self._workers.has_free_worker and (self._workers.is_idle or may_go_on):
                observation = observe(self.study, decision_rng(self.study))
                if is_spent:
                    return replace(observation, mask=np.zeros_like(observation.mask))
                if observation.mask.any() or self._workers.is_idle:
                    return observation
            self._workers.advance()

    def _free_lane(self) -> int:
        taken = {trial.lane for trial in self.study.running}
        return next(lane for lane in range(len(taken) + 1) if lane not in taken)


class TrainingEnv(TuningEnv):
    """`TuningEnv` as a policy learns in it: a softer prior, and the truth for critic and losses.

    `prior_logits` are divided by `temperature`: under the prior of serving nearly every draw is
    the floor's first choice, and a policy gradient compares actions that were tried. Beside the
    observation stand `truth` (K,), the potential that every candidate would reach at the fidelity
    it asks for, and `reached` (1,), the study's own; the policy never reads them.

    The task of an episode follows from `seed`, the runner's index, the iteration (`begin`) and
    the number of the episode within it, not from the seeds that RLlib passes: a run that is
    resumed sees the tasks it would have seen.

    Args:
        config: as for `TuningEnv`, and `seed` and `temperature`.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._temperature: float = config.get("temperature", 1.0)
        self._seeds: tuple[int, int] = (config.get("seed", 0), getattr(config, "worker_index", 0))
        self._iteration, self._num_episodes = 0, 0
        self.observation_space = gymnasium.spaces.Dict(
            {**self.observation_space.spaces, **privileged_space().spaces}
        )

    def begin(self, iteration: int) -> None:
        """Episodes from here on are those of an iteration, from its first."""
        self._iteration, self._num_episodes = iteration, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """The next episode of the iteration."""
        super(TuningEnv, self).reset(seed=seed, options=options)
        stream = np.random.default_rng([*self._seeds, self._iteration, self._num_episodes])
        self._num_episodes += 1
        self._begin(stream)
        return self._arrays(), {}

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        arrays = super()._arrays()
        arrays["prior_logits"] = arrays["prior_logits"] / np.float32(self._temperature)
        arrays["truth"] = self._truth()
        arrays["reached"] = np.array([self.current_potential], dtype=np.float32)
        return arrays

    def _truth(self) -> NDArray[np.float32]:
        """The potential of every candidate, (K,); that of the median config in empty slots."""
        encoding = Encoding.of(self.study.spec.space)
        truth = np.full(NUM_CANDIDATES, potential(1.0), dtype=np.float32)
        seen = self._observation
        asked = np.array([candidate.until for candidate in seen.candidates], dtype=int)
        for until in np.unique(asked):
            at = np.flatnonzero(asked == until)
            values = true_values(self.objective, encoding, seen.units[at], int(until))
            truth[at] = potentials(self.regret.many(values))
        return truth
