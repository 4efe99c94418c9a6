"""The trust region: around the incumbent, in wide spaces alone, and never for good."""

from collections.abc import Mapping
from functools import cache
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.landscapes import (
    MIXED,
    finish,
    floats,
    new_study,
    newest,
    play,
    random_study,
    regret,
    rungs,
    start,
)
from lexmove.agent import trust_region
from lexmove.agent.baselines import RandomProposer, make_proposer
from lexmove.agent.encoding import Encoding
from lexmove.agent.history import read_history
from lexmove.agent.trust_region import HALVING, MIN_DIMS, OPEN_EVERY, outside
from lexmove.space.domain import Integer, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Decision, Suggestion

WIDE = floats(12)
NUM_SEEDS = 6


def _height(config: Mapping[str, Value]) -> float:
    return -sum(float(value) for value in config.values())


def _outside(study: Study, units: NDArray[np.float64]) -> list[bool]:
    encoding = Encoding.of(study.spec.space)
    return outside(study, encoding, read_history(study, encoding), units).tolist()


def _corners(study: Study) -> NDArray[np.float64]:
    """The two corners of the cube: one of them is far from any incumbent."""
    num_dims = len(study.spec.space.searched)
    return np.array([np.zeros(num_dims), np.ones(num_dims)])


def _searched(space: SearchSpace, num_trials: int) -> Study:
    return random_study(space, num_trials=num_trials, landscape=_height)


def test_far_from_the_incumbent_is_outside():
    study = _searched(WIDE, 10)
    assert any(_outside(study, _corners(study)))


@pytest.mark.parametrize(
    ("space", "num_trials"),
    [
        (floats(MIN_DIMS - 1), 10),
        (WIDE, 3),
        (WIDE, 2 * OPEN_EVERY - 1),
        (WIDE, 4 * OPEN_EVERY - 1),
    ],
    ids=["few hyperparameters", "few results", "the fifth", "the twentieth"],
)
def test_the_next_start_may_lie_anywhere(space: SearchSpace, num_trials: int):
    study = _searched(space, num_trials)
    assert not any(_outside(study, _corners(study)))


def test_who_leads_after_a_few_epochs_is_not_stayed_with():
    study, proposer = new_study(WIDE, fidelity=rungs()), RandomProposer()
    while len(study.trials) < 2 * OPEN_EVERY:
        suggestion = proposer.propose(study, decision_rng(study))
        assert suggestion is not None
        study = start(study, suggestion)
        study = finish(study, newest(study, suggestion), float(len(study.trials)))
    leader = study.trials[study.incumbent.trial_id]
    assert leader.fidelity < study.spec.fidelity.maximum
    assert not any(_outside(study, _corners(study)))


def _without_success(space: SearchSpace, num_trials: int) -> Study:
    """A study whose first trial stays the incumbent."""
    worse = count()
    return random_study(space, num_trials=num_trials, landscape=lambda _: -float(next(worse)))


def test_it_grows_narrow_while_nothing_better_is_found():
    space = floats(MIN_DIMS)
    steps = np.linspace(0.0, 0.5, 501)
    reaches = []
    for num_trials in (10, 10 + int(HALVING), 10 + 2 * int(HALVING), 200):
        study = _without_success(space, num_trials)
        centre = space.to_unit(study.trials[0].config)
        away = np.repeat(centre[None], len(steps), axis=0)
        away[:, 0] += steps if centre[0] < 0.5 else -steps
        reaches.append(steps[~np.array(_outside(study, away))].max())
    # Half of .8, halved after 20 trials, and .1 at least.
    assert reaches == pytest.approx([0.303, 0.151, 0.075, 0.05], abs=0.002)


def test_categories_the_next_level_and_what_is_inactive_are_never_too_far():
    """After two hundred trials without a better one, the box is as narrow as it gets."""
    study = _without_success(MIXED, 200)
    centre = dict(study.trials[0].config)
    near = centre | {
        "scheduler": "none" if centre["scheduler"] == "linear" else "linear",
        "batch_size": {8: 16, 16: 32, 32: 16, 64: 32}[int(centre["batch_size"])],
        "use_lora": not centre["use_lora"],
    }
    if near["use_lora"]:
        near["rank"] = 64
    else:
        del near["rank"]
    far = near | {"dropout": 0.0 if float(centre["dropout"]) > 0.25 else 0.5}
    assert _outside(study, Encoding.of(MIXED).units([near, far])) == [False, True]


def test_the_next_level_on_a_logarithmic_scale_is_not_too_far_either():
    """From 1 to 2 is a seventh of the way to 64, where 63 even steps are a sixty-fourth each."""
    batch = Hyperparameter(name="batch", domain=Integer(low=1, high=64, log=True))
    space = SearchSpace(hyperparameters=(batch, *floats(6).searched))
    study = new_study(space, num_trials=300)
    for index in range(200):
        config = dict(space.sample(np.random.default_rng(index))) | ({} if index else {"batch": 1})
        suggestion = Suggestion(
            config=space.config(config), until=1, decision=Decision(proposer="test")
        )
        study = finish(start(study, suggestion), index, -float(index))
    near = [dict(study.trials[0].config) | {"batch": other} for other in (2, 3)]
    assert _outside(study, Encoding.of(space).units(near)) == [False, True]


def test_the_floor_keeps_to_it_but_for_every_fifth_start():
    study, floor = new_study(WIDE, num_trials=60), make_proposer("floor")
    lies_in: list[bool] = []
    while (suggestion := floor.propose(study, decision_rng(study))) is not None:
        if len(study.ranking) >= OPEN_EVERY:
            centre = WIDE.to_unit(study.trials[study.incumbent.trial_id].config)
            apart = np.abs(WIDE.to_unit(suggestion.config) - centre).max()
            is_open = len(study.trials) % OPEN_EVERY == OPEN_EVERY - 1
            lies_in.append(bool(apart <= 0.3))
            assert is_open or lies_in[-1]
        study = start(study, suggestion)
        study = finish(study, newest(study, suggestion), _height(suggestion.config))
    # The open ones do go further, or nothing would have been shown.
    assert not all(lies_in)


@cache
def _valley() -> tuple[SearchSpace, NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(5)
    rotation = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    return floats(16), np.geomspace(1, 10, 16)[:, None] * rotation, rng.uniform(0.25, 0.75, 16)


def _bowl(config: Mapping[str, Value]) -> float:
    """A rotated bowl in 16 dimensions, its axes 1 : 10."""
    _, stretched, centre = _valley()
    apart = stretched @ (np.array([*config.values()], dtype=float) - centre)
    return 1 / (1 + float(apart @ apart) / 16)


@pytest.mark.slow  # ten seconds
def test_in_sixteen_dimensions_it_helps(monkeypatch: pytest.MonkeyPatch):
    space, _, _ = _valley()
    rng = np.random.default_rng(0)
    median = float(np.median([_bowl(space.sample(rng)) for _ in range(1000)]))

    def regrets() -> NDArray[np.float64]:
        ended = [
            play(new_study(space, num_trials=50, seed=seed), make_proposer("floor"), _bowl)
            for seed in range(NUM_SEEDS)
        ]
        return np.array([regret(study, 1.0, median) for study in ended])

    inside = regrets()
    monkeypatch.setattr(trust_region, "MIN_DIMS", 17)
    anywhere = regrets()
    # Measured: .15 inside and .23 anywhere on average, less in 5 of 6 seeds.
    assert inside.mean() < 0.85 * anywhere.mean()
    assert (inside < anywhere).sum() >= 4
