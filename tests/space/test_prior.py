"""Priors: densities over the unit range, draws by quantiles, and never quite 0."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.space.prior import NormalPrior, Prior, WeightsPrior, prior_from_json

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
