"""Repetitions: what a budget spends on them, asked for or left open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lexmove.job.repetitions import Repetitions, affordable
from lexmove.job.spec import BudgetSpec, DecideSpec, FinalistsSpec, JobSpec, TaskSpec


def job(trials, **fields):
    budget = BudgetSpec(trials=trials)
    return JobSpec(name="a", task=TaskSpec(name="t"), space="s", budget=budget, **fields)


@given(num_trials=st.integers(1, 500), others=st.integers(1, 6))
def test_what_is_left_open_takes_a_third_at_most(num_trials, others):
    found = affordable(num_trials, top=None, seeds=None, others=others)
    assert found.num_trainings <= num_trials / 3
    more = affordable(num_trials + 1, top=None, seeds=None, others=others)
    assert more.num_trainings >= found.num_trainings


@given(
    num_trials=st.integers(1, 500),
    top=st.none() | st.integers(0, 9),
    seeds=st.none() | st.integers(1, 9),
)
def test_what_is_asked_for_is_kept(num_trials, top, seeds):
    found = affordable(num_trials, top=top, seeds=seeds, others=1)
    if top is not None:
        assert found.top == top
        assert seeds in (None, found.seeds)
    elif found.top:
        assert seeds in (None, found.seeds)


@pytest.mark.parametrize(
    ("num_trials", "wanted"),
    [
        (5, (0, 1)),
        (6, (1, 1)),
        (12, (1, 2)),
        (18, (2, 2)),
        (24, (3, 2)),
        (36, (3, 3)),
        (99, (3, 3)),
    ],
)
def test_the_default_grows_with_the_budget(num_trials, wanted):
    top, seeds = wanted
    assert job(num_trials).repetitions == Repetitions(top=top, others=1, seeds=seeds)
    assert job(num_trials).num_search_trials == num_trials - (top + 1) * seeds * bool(top)


def test_nothing_left_for_the_search_is_refused():
    with pytest.raises(ValidationError, match=r"budget\.trials 12 leaves nothing .* take 12"):
        job(12, finalists=FinalistsSpec(top=3, seeds=3))


def test_an_ensemble_without_members_is_refused():
    with pytest.raises(ValidationError, match=r"decide\.ensemble needs repetitions"):
        job(4, decide=DecideSpec(ensemble=True))
