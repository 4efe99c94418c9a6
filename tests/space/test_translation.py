"""Translation between spaces: what fits is kept, what is near is clipped, the rest is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.space.domain import Categorical, Constant, Domain, Float, Integer, Ordinal, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.space.translation import carry, translate
from strategies import configs, search_spaces


@given(data=st.data(), space=search_spaces())
def test_within_one_space_nothing_changes(data: st.DataObject, space: SearchSpace) -> None:
    config = data.draw(configs(space))
    there = translate(config, space)
    assert (there.config, there.excess, there.is_exact) == (config, 0.0, True)


@given(data=st.data(), source=search_spaces(), target=search_spaces())
def test_it_gives_a_config_of_the_target(
    data: st.DataObject, source: SearchSpace, target: SearchSpace
) -> None:
    there = translate(data.draw(configs(source)), target)
    assert target.is_valid(there.config) or target.is_forbidden(there.config)
    assert there.excess >= 0


RATE = Float(low=1e-5, high=1e-3, log=True)
BATCH = Ordinal(values=(8, 16, 32))


@pytest.mark.parametrize(
    ("value", "domain", "kept", "excess"),
    [
        (1e-4, RATE, 1e-4, 0.0),
        (1, Float(low=0, high=2), 1.0, 0.0),
        (1e-2, RATE, 1e-3, 0.5),
        (1e-6, RATE, 1e-5, 0.5),
        (16.0, BATCH, 16, 0.0),
        (20, BATCH, 16, 0.0),
        (64, BATCH, 32, 0.5 / 3),
        (4, BATCH, 8, 0.5 / 3),
        (1024, BATCH, 32, 4.5 / 3),
        (3.4, Integer(low=1, high=8), 3, 0.0),
        (10, Integer(low=1, high=8), 8, 1.5 / 8),
        (0.5, Constant(value=1.0), 1.0, 0.0),
        ("mean", Categorical(values=("cls", "mean")), "mean", 0.0),
    ],
)
def test_values(value: Value, domain: Domain, kept: Value, excess: float) -> None:
    found = carry(value, domain)
    assert found is not None
    assert type(found[0]) is type(kept)
    assert found == pytest.approx((kept, excess))


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("max", Categorical(values=("cls", "mean"))),
        ("16", BATCH),
        (True, BATCH),
        (True, Float(low=0, high=1)),
        (2, Categorical(values=(1, 4))),
        (1, Categorical(values=(False, True))),
        ("cls", Constant(value="mean")),
        (0.0, RATE),
        (16, Ordinal(values=("small", "large"))),
        (16, Ordinal(values=(32, 8))),
    ],
)
def test_what_has_no_near(value: Value, domain: Domain) -> None:
    assert carry(value, domain) is None


def _space(**domains: Domain) -> SearchSpace:
    return SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=name, domain=domain) for name, domain in domains.items()
        )
    )


def test_a_config_says_how_far_it_lay_outside() -> None:
    target = _space(rate=RATE, batch=BATCH, other=Float(low=0, high=1, default=0.25))
    there = translate({"rate": 1e-2, "batch": 20, "gone": 3}, target)
    assert there.config == {"rate": 1e-3, "batch": 16, "other": 0.25}
    assert there.excess == pytest.approx(0.5)
    assert not there.is_exact


def test_a_category_without_counterpart_is_infinitely_far() -> None:
    there = translate({"pooling": "max"}, _space(pooling=Categorical(values=("cls", "mean"))))
    assert there.config == {"pooling": "cls"}
    assert there.excess == math.inf


def test_what_is_inactive_there_does_not_count() -> None:
    target = SearchSpace(
        hyperparameters=(
            Hyperparameter(name="lora", domain=Categorical(values=(False, True))),
            Hyperparameter(name="rank", domain=Integer(low=1, high=8), when={"lora": (True,)}),
        )
    )
    there = translate({"lora": False, "rank": 99}, target)
    assert (there.config, there.excess) == ({"lora": False}, 0.0)
