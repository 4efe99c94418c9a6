"""The agent as shipped against random draws and hill climbing, at 25 trials, seed by seed."""

import numpy as np
import pytest
from agent.landscapes import LANDSCAPES, new_study, play, regret

from lexmove.agent.baselines import make_proposer

SEEDS = range(6)


def _regrets(landscape: str, proposer: str) -> np.ndarray:
    space, objective, best, median = LANDSCAPES[landscape]
    return np.array(
        [
            regret(
                play(
                    new_study(space, num_trials=25, seed=seed), make_proposer(proposer), objective
                ),
                best,
                median,
            )
            for seed in SEEDS
        ]
    )


@pytest.mark.parametrize("landscape", sorted(LANDSCAPES))
def test_the_agent_beats_random_and_hill_climbing(landscape: str) -> None:
    agent = _regrets(landscape, "policy")
    for peer in ("random", "hill_climbing"):
        theirs = _regrets(landscape, peer)
        print(landscape, peer, (agent < theirs).sum(), agent.mean(), theirs.mean())
