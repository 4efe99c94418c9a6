"""The agent as shipped against random draws and hill climbing at 25 trials, seed by seed."""

from functools import cache

import numpy as np
import pytest

from agent.landscapes import LANDSCAPES, new_study, play, regret
from lexmove.agent.baselines import make_proposer

SEEDS = range(12)


@cache
def _regrets(landscape: str, proposer: str) -> tuple[float, ...]:
    space, objective, best, median = LANDSCAPES[landscape]
    ended = [
        play(new_study(space, num_trials=25, seed=seed), make_proposer(proposer), objective)
        for seed in SEEDS
    ]
    return tuple(regret(study, best, median) for study in ended)


# Measured mean regret (0 the best, 1 the median of uniform draws), agent | random | hill climbing:
# branin .004 | .030 | .047, fine-tuning .005 | .037 | .023, hartmann6 .33 | .65 | .46,
# four irrelevant .25 | .65 | .65.
@pytest.mark.parametrize("peer", ["random", "hill_climbing"])
@pytest.mark.parametrize("landscape", sorted(LANDSCAPES))
def test_the_agent_has_less_regret_on_average(landscape: str, peer: str) -> None:
    assert np.mean(_regrets(landscape, "policy")) < np.mean(_regrets(landscape, peer))


@pytest.mark.parametrize("peer", ["random", "hill_climbing"])
def test_the_agent_wins_most_seeds(peer: str) -> None:
    wins = [
        ours < theirs
        for landscape in LANDSCAPES
        for ours, theirs in zip(
            _regrets(landscape, "policy"), _regrets(landscape, peer), strict=True
        )
    ]
    # Measured: 44 of 48 against random, 37 of 48 against hill climbing. By chance, 31 or more of
    # 48 come up in 3 % of the cases.
    assert sum(wins) >= 31
