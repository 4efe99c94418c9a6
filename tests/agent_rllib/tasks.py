"""A simulated objective, an identity environment, and a loop that serves a policy."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from lexmove.agent.observation import NUM_CANDIDATES, NUM_FEATURES, NUM_GLOBALS
from lexmove.agent.policy import PointerPolicy
from lexmove.agent.proposer import PolicyProposer
from lexmove.agent.rl_module import action_space, observation_space, privileged_space
from lexmove.agent.simulated_workers import SimulatedWorkers
from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.space.domain import Categorical, Float, Integer
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Report
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import Measurement, Segment

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="learning_rate", domain=Float(low=1e-5, high=1e-2, log=True)),
        Hyperparameter(name="layers", domain=Integer(low=1, high=6)),
        Hyperparameter(name="pooling", domain=Categorical(values=("mean", "cls"))),
    )
)
RUNGS = FidelityPlan(maximum=4, eta=2, first=1)


class Bowl:
    """A bowl in the unit cube that rises with fidelity; some trials run out of memory or fail."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._centre = np.random.default_rng(seed).uniform(0.2, 0.7, size=3)

    def value(self, config: Config, fidelity: int) -> float:
        distance = float(((SPACE.to_unit(config) - self._centre) ** 2).sum())
        return (1.0 - distance) * (1.0 - 0.5 / (1 + fidelity))

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        if segment.config["learning_rate"] > 5e-3:
            raise InfeasibleError("out of memory")
        for fidelity in range(segment.after + 1, segment.until + 1):
            rng = np.random.default_rng([self._seed, segment.seed, fidelity])
            if rng.random() < 0.05:
                raise TrialFailedError("the loss is NaN")
            report(
                Measurement(
                    fidelity=fidelity,
                    metrics={"value": self.value(segment.config, fidelity) + 0.01 * rng.normal()},
                    duration_s=float(rng.uniform(1.0, 9.0)),
                    checkpoint=f"trial_{segment.trial_id}/{fidelity}",
                )
            )


def make_bowl(seed: int) -> tuple[SearchSpace, Bowl]:
    return SPACE, Bowl(seed)


def free_lane(study: Study) -> int:
    taken = {trial.lane for trial in study.running}
    return next(lane for lane in range(len(taken) + 1) if lane not in taken)


def serve(
    policy: PointerPolicy,
    *,
    num_trials: int,
    parallel: int,
    stop_after: int | None = None,
    sample: bool = True,
    seed: int = 5,
) -> Study:
    """A study that `policy` made, to its end or right after decision number `stop_after`."""
    spec = StudySpec(
        name="served",
        space=SPACE,
        fidelity=RUNGS,
        num_trials=num_trials,
        parallel=parallel,
        seed=seed,
    )
    workers = SimulatedWorkers(spec, Bowl(3))
    proposer = PolicyProposer(policy, sample=sample)
    while stop_after is None or len(workers.study.decisions) < stop_after:
        suggestion = None
        if workers.has_free_worker:
            study = workers.study
            suggestion = proposer.propose(study, decision_rng(study), lane=free_lane(study))
        if suggestion is not None:
            workers.start(suggestion)
        elif workers.is_idle:
            break
        else:
            workers.advance()
    return workers.study


class IdentityEnv(gymnasium.Env):
    """One of `NUM_VALID` candidates is marked by a feature; choosing it is rewarded with 1."""

    NUM_VALID = 16
    LENGTH = 8
    MARK = 3

    def __init__(self, config: dict[str, Any]) -> None:
        self.observation_space = gymnasium.spaces.Dict(
            {**observation_space().spaces, **privileged_space().spaces}
        )
        self.action_space = action_space()
        self._seeds = [config.get("seed", 0), getattr(config, "worker_index", 0)]
        self._stream, self._is_single = np.random.default_rng(self._seeds), True

    def begin(self, iteration: int) -> None:
        """As `TrainingEnv.begin`: what follows depends on the iteration alone."""
        # RLlib passes the same seed to every first reset of an iteration.
        self._stream, self._is_single = np.random.default_rng([*self._seeds, iteration]), False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None and self._is_single:
            self._stream = self.np_random
        self._num_steps = 0
        return self._draw(), {}

    def step(self, action):
        reward = float(action == self._marked)
        self._num_steps += 1
        return self._draw(), reward, False, self._num_steps == self.LENGTH, {}

    def _draw(self) -> dict[str, np.ndarray]:
        rng = self._stream
        valid = rng.choice(NUM_CANDIDATES, self.NUM_VALID, replace=False)
        self._marked = int(valid[0])
        features = rng.normal(size=(NUM_CANDIDATES, NUM_FEATURES)).astype(np.float32)
        features[:, self.MARK] = 0.0
        features[self._marked, self.MARK] = 1.0
        mask = np.zeros(NUM_CANDIDATES, dtype=np.float32)
        mask[valid] = 1.0
        return {
            "features": features,
            "globals": rng.normal(size=NUM_GLOBALS).astype(np.float32),
            "mask": mask,
            "prior_logits": np.zeros(NUM_CANDIDATES, dtype=np.float32),
            "truth": np.zeros(NUM_CANDIDATES, dtype=np.float32),
            "reached": np.zeros(1, dtype=np.float32),
        }


class Slope:
    """A score that rises with every hyperparameter, whatever the task; low rates fail.

    The best is always to be had by raising: what a policy can know of such a family from the
    first trial on, and the floor has to find out in every study anew.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._weights = np.random.default_rng(seed).dirichlet(np.full(SLOPE_DIMS, 2.0))

    def value(self, config: Config, fidelity: int) -> float:
        units = SLOPES.to_unit(config)
        return float("nan") if units[0] < 0.4 else float(self._weights @ units)

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        value = self.value(segment.config, segment.until)
        if not np.isfinite(value):
            raise TrialFailedError("the loss is NaN")
        noise = 0.02 * np.random.default_rng([self._seed, segment.seed]).normal()
        report(Measurement(fidelity=segment.until, metrics={"value": value + noise}))


SLOPE_DIMS = 6
SLOPES = SearchSpace(
    hyperparameters=tuple(
        Hyperparameter(name=f"h{i}", domain=Float(low=0.0, high=1.0)) for i in range(SLOPE_DIMS)
    )
)


def make_slope(seed: int) -> tuple[SearchSpace, Slope]:
    return SLOPES, Slope(seed)
