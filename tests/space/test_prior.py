"""Priors: as files declare them, densities over the unit range, draws, and never quite 0."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.job.document import parse_document
from lexmove.space.loading import parse_space
from lexmove.space.prior import NormalPrior, Prior, WeightsPrior, prior_from_json
from lexmove.space.search_space import SearchSpace

normals = st.builds(NormalPrior, mean=st.floats(0, 1), std=st.floats(0.01, 2))
weights = st.lists(st.floats(0.1, 10), min_size=2, max_size=6)
priors = normals | weights.map(lambda each: WeightsPrior(weights=tuple(each)))


@given(priors)
def test_the_density_is_highest_at_the_mode_and_bounded_below(prior: Prior) -> None:
    units = np.linspace(0, 0.999, 1000)
    logs = prior.log_density(units)
    assert logs.max() <= 1e-12
    assert logs.max() > -0.01
    # A tenth of a uniform: the price of what is ruled out has a bound, that of its own width.
    widest = 2.5 if isinstance(prior, NormalPrior) else 1.0
    assert logs.min() > np.log(0.01 * 0.1 * widest) - 3


@given(priors, st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_quantiles_rise_and_stay_inside(prior: Prior, shares: list[float]) -> None:
    places = prior.quantile(np.sort(shares))
    assert (np.diff(places) >= 0).all()
    assert places.min() >= 0
    assert places.max() <= 1


def test_draws_lie_where_the_prior_says() -> None:
    rng = np.random.default_rng(0)
    drawn = NormalPrior(mean=0.3, std=0.1).quantile(rng.random(4000))
    assert drawn.mean() == pytest.approx(0.3, abs=0.01)
    assert drawn.std() == pytest.approx(0.1, abs=0.01)
    levels = WeightsPrior(weights=(1, 1, 8)).quantile(rng.random(4000))
    assert (levels == 5 / 6).mean() == pytest.approx(0.9 * 0.8 + 0.1 / 3, abs=0.02)


@given(priors)
def test_json_gives_it_back(prior: Prior) -> None:
    assert prior_from_json(prior.to_json()) == prior


PRIORS = """\
parameters:
  learning_rate: {min: 1e-6, max: 1e-2, log: true, prior: {near: 1e-4, within: 10}}
  decay: {min: 0, max: 0.2, type: float, default: 0.1, prior: {near: 0.05, within: 0.02}}
  batch: {values: [8, 16, 32], ordered: true, prior: [1, 1, 4]}
  free: {min: 0.0, max: 1.0}
"""


def test_priors_lie_on_the_unit_range_and_give_defaults() -> None:
    space, mistakes = parse_space(parse_document(PRIORS, path="s.yaml"))
    assert mistakes == []
    assert space is not None
    assert {item.name: item.prior for item in space.hyperparameters} == {
        "learning_rate": NormalPrior(mean=pytest.approx(0.5), std=pytest.approx(0.25)),
        "decay": NormalPrior(mean=pytest.approx(0.25), std=pytest.approx(0.1)),
        "batch": WeightsPrior(weights=(1.0, 1.0, 4.0)),
        "free": None,
    }
    assert dict(space.default) == {"learning_rate": 1e-4, "decay": 0.1, "batch": 32, "free": 0.5}
    assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("min: 0, max: 1, type: float, prior: 0.5", "a prior of a range is {near: …, within: …}"),
        ("min: 0.0, max: 1.0, prior: {near: 2, within: 1}", "near 2 is not possible"),
        ("min: 0.0, max: 1.0, prior: {near: .5, within: 0}", "within must be a distance above 0"),
        (
            "min: 1e-5, max: 1e-3, log: true, prior: {near: 1e-4, within: 1}",
            "within must be a factor above 1, since log is true",
        ),
        ("values: [a, b], prior: [1]", "a prior of 2 values is a list of 2 weights: write [1, 2]"),
        ("values: [a, b], prior: [1, 0]", "a weight is a number above 0, not 0"),
        ("min: 0.0, max: 1.0, prior: {near: 0.1}", "within is missing"),
        ("value: 3, prior: [1]", "prior does not go with value: leave it out"),
    ],
)
def test_a_wrong_prior_says_what_it_should_be(declared: str, message: str) -> None:
    _, mistakes = parse_space(parse_document(f"parameters:\n  x: {{{declared}}}\n", path="s.yaml"))
    (mistake,) = map(str, mistakes)
    assert mistake.startswith("s.yaml:2:")
    assert message in mistake
