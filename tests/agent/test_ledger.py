"""The ledger: kept event by event it is what reading the study whole gives; decisions agree."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.landscapes import finish, newest, start
from benchmarks.decision_time import SPACE, _history, _landscape
from lexmove.agent.baselines import make_proposer
from lexmove.agent.encoding import Encoding, is_apart, nearest
from lexmove.agent.history import read_history
from lexmove.agent.ledger import Ledger
from lexmove.study import study as study_module
from lexmove.study.study import Study, decision_rng
from strategies import studies


def said(study: Study) -> list[object]:
    """All that a ledger and the history made of it say."""
    ledger, history = Ledger.of(study), read_history(study, Encoding.of(study.spec.space))
    return [
        ledger.units,
        ledger.steps,
        ledger.pending,
        *ledger.rows,
        *ledger.outcomes,
        *ledger.departures_and_floors,
        [ledger.num_checked, ledger.num_covered, ledger.is_switched_off, *ledger.planned],
        *(getattr(history, field.name) for field in dataclasses.fields(history)),
        history.points,
    ]


@settings(max_examples=80)
@given(studies)
def test_a_ledger_that_grows_knows_what_one_read_whole_knows(study: Study) -> None:
    grown = Study(spec=study.spec)
    for event in study.events:
        said(grown)
        grown = grown.with_event(event)
    for one, other in zip(said(grown), said(study), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("proposer", ["floor", "random", "hill_climbing"])
def test_packed_trials_change_no_decision(monkeypatch, proposer: str) -> None:
    texts = []
    for num_unpacked in (512, 2):
        monkeypatch.setattr(study_module, "_NUM_UNPACKED", num_unpacked)
        study, value = _history(30, 0, _landscape(0)), _landscape(1)
        for _ in range(12):
            suggestion = make_proposer(proposer).propose(study, decision_rng(study))
            assert suggestion is not None
            study = start(study, suggestion)
            study = finish(study, newest(study, suggestion), value(suggestion.config))
        texts.append([str(trial.decision) for trial in study.trials[30:]])
        assert study.trials[0].is_packed == (num_unpacked == 2)
    assert texts[0] == texts[1]


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0, 3, 40, 4000]), st.integers(1, 4))
def test_points_are_apart_where_the_nearest_is_further(seed: int, num: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    encoding = Encoding.of(SPACE)
    others = encoding.snap(rng.random((num, encoding.num_dims)))
    near = others[rng.integers(len(others), size=60)] if num else others
    # A tolerance away, a little more, a little less, in some dimension.
    moved = near + rng.choice(
        [0.0, 1e-3, 1.1e-3, 0.9e-3, -1e-3], size=near.shape, p=[0.9] + [0.025] * 4
    )
    points = np.concatenate([moved, rng.random((60, encoding.num_dims))])
    points[:, kinds:] = np.round(points[:, kinds:] * 4) / 4
    others[:, kinds:] = np.round(others[:, kinds:] * 4) / 4
    expected = nearest(points, others) > 1e-3
    assert (is_apart(points, others, 1e-3) == expected).all()
