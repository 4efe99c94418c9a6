"""Held-out evaluation: the policy against the floor, greedy, on the same tasks and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lexmove.agent.policy import PointerPolicy
from lexmove.agent.pretraining.environment import (
    EpisodeDistribution,
    EpisodeSpec,
    MakeObjective,
    TuningEnv,
)
from lexmove.agent.proposer import policy_logits

HELD_OUT_EPISODES = EpisodeDistribution(
    num_trials=(25, 25), trainings=(7.0, 7.0), parallels=(1, 8), seeded_ratio=0.0
)
"""How held-out tasks are played: 25 trials, one or eight at once; on curves 7 trainings' worth."""

_NUM_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Tasks that checkpoints are judged on.

    Task number i is drawn from seed `first_seed` + i, so that every policy meets the same tasks
    with the same noise.
    """

    make_objective: MakeObjective
    num_tasks: int
    first_seed: int
    episode: EpisodeSpec | EpisodeDistribution = HELD_OUT_EPISODES

    def regrets(
        self, weights: Mapping[str, torch.Tensor], numbers: Sequence[int] | None = None
    ) -> dict[int, float]:
        """The final regret of a policy that takes the likeliest candidate, by task number."""
        policy = PointerPolicy.untrained()
        policy.load_state_dict(dict(weights))
        policy.eval()
        env = TuningEnv({"make_objective": self.make_objective, "episode": self.episode})
        numbers = range(self.num_tasks) if numbers is None else numbers
        return {number: self._final_regret(env, policy, number) for number in numbers}

    def _final_regret(self, env: TuningEnv, policy: PointerPolicy, number: int) -> float:
        env.reset(seed=self.first_seed + number)
        is_over = not env.observation.mask.any()
        while not is_over:
            _, _, _, is_over, _ = env.step(int(np.argmax(policy_logits(policy, env.observation))))
        return env.current_regret


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A policy against the floor on the same tasks.

    `policy` and `floor` are interquartile means of the regret; `difference` is the mean of the
    paired differences, policy less floor (below 0 the policy is better), with its 95 % bootstrap
    interval `low` to `high`. `wins` and `losses` count the tasks.
    """

    policy: float
    floor: float
    difference: float
    low: float
    high: float
    wins: int
    losses: int


def compare(policy_N: Sequence[float], floor_N: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compares final regrets, one pair per task.

    Raises:
        ValueError: no pair, or not as many of the one as of the other.
    """
    one, other = np.array(policy_N, dtype=float), np.array(floor_N, dtype=float)
    if not len(one) or one.shape != other.shape:
        raise ValueError(f"{len(one)} and {len(other)} regrets make no pairs")
    gaps_N = one - other
    drawn = np.random.default_rng(seed).integers(len(gaps_N), size=(_NUM_RESAMPLES, len(gaps_N)))
    low, high = np.quantile(gaps_N[drawn].mean(axis=1), [0.025, 0.975])
    return Comparison(
        policy=interquartile_mean(one),
        floor=interquartile_mean(other),
        difference=float(gaps_N.mean()),
        low=float(low),
        high=float(high),
        wins=int((gaps_N < 0).sum()),
        losses=int((gaps_N > 0).sum()),
    )


def interquartile_mean(values_N: NDArray[np.float64]) -> float:
    """The mean of the middle half (Agarwal et al. 2021, arXiv 2108.13264)."""
    ordered = np.sort(values_N)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())
