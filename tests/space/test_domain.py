"""Domains: round trips through the unit interval, and what each refuses."""

import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.errors import InvalidConfigError
from lexmove.space.domain import (
    Categorical,
    Constant,
    Domain,
    Float,
    Integer,
    Ordinal,
    domain_from_json,
)
from strategies import domains, integers, units


@given(domains, units)
def test_a_place_gives_a_value_of_the_domain(domain: Domain, unit: float) -> None:
    assert domain.contains(domain.from_unit(unit))


@given(domains, st.floats(allow_nan=False, allow_infinity=False))
def test_places_outside_give_the_nearest_end(domain: Domain, unit: float) -> None:
    assert domain.from_unit(unit) == domain.from_unit(min(1.0, max(0.0, unit)))


@given(domains, units)
def test_a_value_comes_back_from_its_place(domain: Domain, unit: float) -> None:
    value = domain.from_unit(unit)
    place = domain.to_unit(value)
    assert 0.0 <= place <= 1.0
    if isinstance(domain, Float):
        assert domain.from_unit(place) == pytest.approx(value, rel=1e-9, abs=1e-9 * domain.high)
    else:
        assert domain.from_unit(place) == value
        assert type(domain.from_unit(place)) is type(value)


@given(domains, units, units)
def test_places_keep_the_order_of_values(domain: Domain, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if domain.is_ordered:
        assert domain.from_unit(low) <= domain.from_unit(high)


@given(domains)
def test_the_default_belongs_to_the_domain(domain: Domain) -> None:
    assert domain.contains(domain.default_value)


@given(domains)
def test_json_and_pickle_round_trips(domain: Domain) -> None:
    assert domain_from_json(json.loads(json.dumps(domain.to_json()))) == domain
    assert pickle.loads(pickle.dumps(domain)) == domain


@given(integers())
def test_an_integer_has_as_many_levels_as_values(domain: Integer) -> None:
    seen = {domain.from_unit(domain.to_unit(v)) for v in range(domain.low, domain.high + 1)}
    assert len(seen) == domain.num_levels


@pytest.mark.parametrize(
    ("domain", "value", "is_in"),
    [
        (Float(low=0, high=1), 1, True),
        (Float(low=0, high=1), True, False),
        (Float(low=0, high=1), math.nan, False),
        (Float(low=0, high=1), "0.5", False),
        (Integer(low=0, high=3), 1.0, False),
        (Integer(low=0, high=3), True, False),
        (Integer(low=0, high=3), 4, False),
        (Ordinal(values=(1, 2)), True, False),
        (Ordinal(values=(1.0, 2.0)), 1, True),
        (Categorical(values=("a", "b")), "c", False),
        (Constant(value=True), 1, False),
        (Constant(value="x"), "x", True),
    ],
)
def test_contains(domain: Domain, value: object, is_in: bool) -> None:
    assert domain.contains(value) is is_in


def test_middles_where_no_default_is_declared() -> None:
    assert Float(low=1e-6, high=1e-2, log=True).default_value == pytest.approx(1e-4)
    assert Integer(low=1, high=9).default_value == 5
    assert Ordinal(values=(8, 16, 32, 64)).default_value == 16
    assert Categorical(values=("b", "a")).default_value == "b"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Float(low=1, high=0), "must be below"),
        (lambda: Float(low=1, high=1), "must be below"),
        (lambda: Float(low=0, high=math.inf), "must be finite"),
        (lambda: Float(low=-1e308, high=1e308), "must be finite"),
        (lambda: Float(low=math.nan, high=1), "must be finite"),
        (lambda: Float(low=0, high=1, log=True), "min above 0"),
        (lambda: Integer(low=0, high=8, log=True), "min above 0"),
        (lambda: Float(low=0, high=1, default=2), "outside"),
        (lambda: Ordinal(values=()), "empty"),
        (lambda: Ordinal(values=(1, 1.0)), "repeat"),
        (lambda: Categorical(values=(1, True)), "mix"),
        (lambda: Categorical(values=(1.0, math.nan)), "finite"),
        (lambda: Categorical(values=("a", "b"), default="c"), "not among"),
    ],
)
def test_wrong_domains_cannot_be_made(make, complaint: str) -> None:
    with pytest.raises(InvalidConfigError, match=complaint):
        make()


@pytest.mark.parametrize(
    ("domain", "value", "own"),
    [
        (Float(low=0.0, high=2.0), 1, 1.0),
        (Float(low=0.0, high=2.0), np.float32(0.5), 0.5),
        (Integer(low=1, high=9), np.int64(3), 3),
        (Ordinal(values=(8, 16)), 16.0, 16),
        (Ordinal(values=(0.5, 1.0)), 1, 1.0),
        (Categorical(values=(8, 16)), np.int32(8), 8),
        (Constant(value=3), 3.0, 3),
    ],
)
def test_a_value_is_written_as_the_domain_was_declared(domain, value, own):
    assert domain.contains(value)
    assert repr(domain.own(value)) == repr(own)


@pytest.mark.parametrize("value", [3.0, True, np.True_, "3", None])
def test_what_is_no_whole_number_is_none_of_a_range(value):
    assert not Integer(low=1, high=9).contains(value)
