"""Search spaces: conditions, forbidden combinations, round trips."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.errors import InvalidConfigError
from lexmove.space.domain import Categorical, Constant, Float, Ordinal
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from strategies import configs, search_spaces

LR = Hyperparameter(name="lr", domain=Float(low=1e-5, high=1e-3, log=True, default=1e-4))
USE = Hyperparameter(name="use", domain=Categorical(values=(False, True)))
RANK = Hyperparameter(name="rank", domain=Ordinal(values=(4, 8, 16)), when={"use": (True,)})
SPACE = SearchSpace(
    hyperparameters=(RANK, USE, LR, Hyperparameter(name="norm", domain=Constant(value=1.0))),
    forbid=({"use": (True,), "rank": (16,)},),
)


@given(search_spaces(), st.integers(0, 2**32))
def test_samples_are_valid(space: SearchSpace, seed: int) -> None:
    assert space.is_valid(space.sample(np.random.default_rng(seed)))


@given(search_spaces())
def test_the_default_is_valid(space: SearchSpace) -> None:
    assert space.is_valid(space.default)


@given(st.data())
def test_a_config_comes_back_from_the_cube(data: st.DataObject) -> None:
    space = data.draw(search_spaces())
    config = data.draw(configs(space))
    point = space.to_unit(config)
    again = space.from_unit(point)
    assert point.shape == (len(space.searched),)
    assert np.all((point >= 0) & (point <= 1))
    if again.keys() == config.keys():
        np.testing.assert_allclose(space.to_unit(again), point, atol=1e-9)


@given(st.data())
def test_round_trips(data: st.DataObject) -> None:
    space = data.draw(search_spaces())
    config = data.draw(configs(space))
    again = SearchSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert pickle.loads(pickle.dumps(space)) == space
    assert again.default == space.default
    assert pickle.loads(pickle.dumps(config)) == config
    assert Config(json.loads(json.dumps(dict(config)))) == config
    assert hash(Config(dict(reversed(list(config.items()))))) == hash(config)


@given(st.data())
def test_config_accepts_what_is_valid_and_completes_it(data: st.DataObject) -> None:
    space = data.draw(search_spaces())
    config = data.draw(configs(space))
    assert space.config(config) == config
    assert space.config({}) == space.default


def test_an_inactive_hyperparameter_is_absent_and_its_rules_do_not_match() -> None:
    config = SPACE.config({"lr": 1e-3})
    assert config == {"use": False, "lr": 1e-3, "norm": 1.0}
    assert list(config) == ["use", "lr", "norm"]
    assert SPACE.to_unit(config).tolist() == pytest.approx([0.5, 0.25, 1.0])


def test_parents_come_first_whatever_the_order_of_declaration() -> None:
    assert SPACE.config({"use": True})["rank"] == 8
    assert [item.name for item in SPACE.parents_first] == ["use", "lr", "norm", "rank"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"lrr": 1}, "did you mean 'lr'"),
        ({"lr": 1.0}, "lr = 1.0 is not possible: it is a number in"),
        ({"rank": 8}, "inactive"),
        ({"use": True, "rank": 16}, "forbidden combination"),
        ({"norm": 2.0}, "norm = 2.0 is not possible: it is "),
    ],
)
def test_what_config_refuses(values: dict[str, float], complaint: str) -> None:
    with pytest.raises(InvalidConfigError, match=complaint):
        SPACE.config(values)


def test_is_valid_refuses_what_is_incomplete_unknown_or_inactive() -> None:
    whole = dict(SPACE.default)
    assert SPACE.is_valid(whole)
    assert not SPACE.is_valid({"lr": 1e-4})
    assert not SPACE.is_valid({**whole, "rank": 4})
    assert not SPACE.is_valid({**whole, "other": 4})


@pytest.mark.parametrize(
    ("items", "forbid", "complaint"),
    [
        ((), (), "at least one"),
        ((LR, LR), (), "twice"),
        ((RANK,), (), "unknown hyperparameter 'use'"),
        ((LR,), ({"rl": (1e-4,)},), "unknown hyperparameter 'rl'"),
        ((LR,), ({"lr": (1.0,)},), "does not hold"),
        ((LR,), ({"lr": (1e-4,)},), "default config .* is forbidden"),
        (
            (
                Hyperparameter(name="a", domain=USE.domain, when={"b": (True,)}),
                Hyperparameter(name="b", domain=USE.domain, when={"a": (True,)}),
            ),
            (),
            "circle: a, b",
        ),
    ],
)
def test_wrong_spaces_cannot_be_made(items, forbid, complaint: str) -> None:
    with pytest.raises(InvalidConfigError, match=complaint):
        SearchSpace(hyperparameters=items, forbid=forbid)


def test_sampling_gives_up_where_almost_all_is_forbidden() -> None:
    domain = Ordinal(values=tuple(range(200)), default=0)
    items = tuple(Hyperparameter(name=name, domain=domain) for name in "abcd")
    rules = tuple({name: tuple(range(1, 200))} for name in "abcd")
    space = SearchSpace(hyperparameters=items, forbid=rules)
    with pytest.raises(InvalidConfigError, match="loosen"):
        space.sample(np.random.default_rng(0))
