"""What the policy sees: candidates that may be chosen, and numbers free of scale."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.landscapes import (
    FOUR,
    MIXED,
    SPACES,
    config_of,
    finish,
    floats,
    new_study,
    newest,
    play,
    random_study,
    rungs,
    start,
)
from lexmove.agent.candidates import Candidate
from lexmove.agent.continuation import log_gain_per_epoch, pilot_of
from lexmove.agent.encoding import SAME_TOLERANCE, Encoding
from lexmove.agent.floor import FloorProposer
from lexmove.agent.history import read_history
from lexmove.agent.observation import (
    NET_STEP,
    NUM_CANDIDATES,
    NUM_FEATURES,
    NUM_GLOBALS,
    Observation,
    observe,
)
from lexmove.agent.surrogate import MAX_ROWS, Surrogate
from lexmove.errors import UsageError
from lexmove.space.domain import Constant, Ordinal
from lexmove.space.move import apply_move
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.allowance import affordable
from lexmove.study.fidelity import promotable
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Decision

SQUARE = floats(2)
FEW = settings(max_examples=15, deadline=None)
STUDIES = st.builds(
    lambda space, num, seed: random_study(SPACES[space], num_trials=num, seed=seed),
    st.sampled_from(sorted(SPACES)),
    st.integers(0, 14),
    st.integers(0, 99),
)


def _observe(study: Study) -> Observation:
    return observe(study, decision_rng(study))


@FEW
@given(STUDIES)
def test_shapes_and_finiteness(study: Study) -> None:
    observation = _observe(study)
    assert observation.features.shape == (NUM_CANDIDATES, NUM_FEATURES)
    assert observation.globals.shape == (NUM_GLOBALS,)
    for name, rows in observation.arrays().items():
        assert rows.dtype == np.float32, name
        assert np.all(np.isfinite(rows)), name
    filled = len(observation.candidates)
    assert not observation.mask[filled:].any()
    assert not observation.features[filled:].any()
    assert not observation.prior_logits[~observation.mask].any()


@FEW
@given(STUDIES)
def test_every_selectable_start_changes_the_config_and_is_new(study: Study) -> None:
    space, observation = study.spec.space, _observe(study)
    tried = [space.to_unit(trial.config) for trial in study.trials]
    for candidate in (
        c for c, ok in zip(observation.candidates, observation.mask, strict=False) if ok
    ):
        origin = candidate.move.origin
        before = space.default if origin is None else study.trials[origin].config
        assert apply_move(space, before, candidate.move) == candidate.config
        assert space.is_valid(candidate.config)
        assert (candidate.config != before) == bool(candidate.move.changes)
        gaps = [np.abs(space.to_unit(candidate.config) - units).max() for units in tried]
        assert min(gaps, default=1.0) > SAME_TOLERANCE


@FEW
@given(STUDIES)
def test_something_is_selectable_unless_all_was_tried(study: Study) -> None:
    observation = _observe(study)
    is_exhausted = study.spec.space is FOUR and len(study.trials) == 4
    assert observation.mask.any() != is_exhausted
    assert bool(observation.candidates) != is_exhausted


@FEW
@given(STUDIES)
def test_the_best_by_the_prior_comes_first(study: Study) -> None:
    observation = _observe(study)
    if observation.mask.any():
        selectable = np.flatnonzero(observation.mask)
        assert observation.mask[0]
        assert np.argmax(observation.prior_logits[selectable]) == 0


def test_candidates_keep_apart() -> None:
    observation = _observe(random_study(MIXED, num_trials=12))
    units = np.array([MIXED.to_unit(candidate.config) for candidate in observation.candidates])
    gaps = np.abs(units[:, None] - units[None]).max(axis=2)[np.triu_indices(len(units), 1)]
    assert len(observation.candidates) == NUM_CANDIDATES
    assert gaps.min() > SAME_TOLERANCE


def test_kinds_of_candidates_and_their_words() -> None:
    study = random_study(MIXED, num_trials=12)
    observation = _observe(study)
    kinds = {candidate.kind for candidate in observation.candidates}
    assert kinds == {"move", "global"}
    origins = {c.move.origin for c in observation.candidates if c.kind == "move"}
    assert origins <= {item.trial_id for item in study.ranking[:3]}
    for candidate in observation.candidates:
        assert "→" in candidate.text or " on at " in candidate.text or " off" in candidate.text
        assert candidate.predicted_gain_std is not None
        assert candidate.predicted_gain_std > 0


def test_the_first_trial_is_the_default() -> None:
    observation = _observe(new_study(MIXED))
    assert [candidate.kind for candidate in observation.candidates] == ["default"]
    assert observation.candidates[0].config == MIXED.default
    assert observation.candidates[0].predicted_gain is None


def _affine(study: Study, scale: float, shift: float, *, flip: bool = False) -> Study:
    """The same study with another unit of the objective."""
    spec = replace(study.spec, goal="minimize" if flip else "maximize")
    events = []
    for event in study.events:
        if event.kind == "measured":
            value = event.measurement.metrics["value"] * scale + shift
            measurement = replace(event.measurement, metrics={"value": value})
            events.append(replace(event, measurement=measurement))
        else:
            events.append(event)
    return Study.from_events(spec, events)


@pytest.mark.parametrize(
    ("scale", "shift", "flip"), [(1000.0, -7.0, False), (1e-4, 3.0, False), (-2.5, 1.0, True)]
)
def test_an_affine_change_of_the_objective_changes_nothing(
    scale: float, shift: float, flip: bool
) -> None:
    study = random_study(MIXED, num_trials=14, seed=5)
    changed = _affine(study, scale, shift, flip=flip)
    before, after = _observe(study), _observe(changed)
    assert [c.config for c in before.candidates] == [c.config for c in after.candidates]
    for name, rows in before.arrays().items():
        assert after.arrays()[name] == pytest.approx(rows, abs=1e-3), name


def test_equal_studies_give_equal_observations_and_seeds_differ() -> None:
    study = random_study(MIXED, num_trials=10)
    one, other = _observe(study), _observe(Study.from_events(study.spec, study.events))
    assert one.candidates == other.candidates
    for mine, theirs in zip(one.candidates, other.candidates, strict=True):
        assert (mine.config, mine.move, mine.text) == (theirs.config, theirs.move, theirs.text)
    assert all(np.array_equal(rows, other.arrays()[name]) for name, rows in one.arrays().items())
    seeded = Study.from_events(replace(study.spec, seed=9), study.events)
    assert _observe(seeded).candidates != one.candidates


def _paused_study(
    num_trials: int = 6, num_left: int = 4, promotion: str = "gain_per_epoch", **fields: object
) -> Study:
    """Trials that all wait at the first rung, but for the pilot, which has been trained."""
    plan = replace(rungs(), promotion=promotion)
    study = new_study(SQUARE, fidelity=plan, num_trials=num_trials + num_left, **fields)
    for value in np.random.default_rng(0).normal(size=num_trials):
        fresh = next(c for c in _observe(study).candidates if c.kind != "continue")
        study = _carried_out(study, fresh, float(value))
        while pilot_of(study) is not None:
            study = _carried_out(study, _observe(study).candidates[0], float(value))
    return study


def _start(seed: int, **fields: Any) -> PlannedStart:
    return PlannedStart(config=config_of(SQUARE, seed), source="tos", reason="tos", **fields)


def _carried_out(study: Study, candidate: Candidate, value: float) -> Study:
    suggestion = candidate.to_suggestion(Decision(proposer="test"))
    study = start(study, suggestion)
    return finish(study, newest(study, suggestion), value)


@pytest.mark.parametrize("promotion", ["asha", "gain_per_epoch"])
def test_the_pilot_stands_before_all_else(promotion: str) -> None:
    plan = replace(rungs(), promotion=promotion)
    study = new_study(SQUARE, fidelity=plan, num_trials=9)
    study = _carried_out(study, _observe(study).candidates[0], 0.1)
    observation = _observe(study)
    first = observation.candidates[0]
    assert (first.trial_id, first.until, first.expert) == (0, 3, "start:default")
    assert first.text == "continue trial 0 from 1 to 3"
    # So far before the rest that whoever draws takes it.
    assert observation.prior_logits[0] > observation.prior_logits[1:].max() + 10


def test_sobol_points_go_on_behind_what_asha_promotes_until_three_trials_have_ended() -> None:
    study = _paused_study(num_left=20, promotion="asha")
    plan, ready = study.spec.fidelity, promotable(study)
    assert len(ready) == 2
    observation = _observe(study)
    first, second, third = observation.candidates[:3]
    assert (first.trial_id, second.expert, third.trial_id) == (ready[0], "start:sobol", ready[1])
    # So far before the floor's starts that whoever draws seldom takes one of them.
    assert observation.prior_logits[1] > observation.prior_logits[3] + 4

    while sum(trial.fidelity == plan.maximum for trial in study.trials) < 3:
        assert _first_start_of(study) == "start:sobol"
        further = max(
            (item for item in _observe(study).candidates if item.trial_id is not None),
            key=lambda item: item.until,
        )
        study = _carried_out(study, further, 0.5)
    assert _first_start_of(study).startswith("floor:")


@pytest.mark.parametrize(("num_trials", "expert"), [(11, "start:sobol"), (12, "floor:EI")])
def test_after_twelve_results_the_floor_decides_all_the_same(num_trials: int, expert: str) -> None:
    study = _paused_study(num_trials=num_trials, promotion="asha")
    assert _first_start_of(study) == expert


@pytest.mark.parametrize(
    ("starts", "expert"),
    [
        ((_start(3), _start(4)), "floor:"),  # the second is better than the default
        ((_start(3, is_asked=True),), "floor:"),
        ((_start(3, after=7),), "start:sobol"),  # not there yet
        ((), "start:sobol"),
    ],
)
def test_after_starts_from_somebody_the_floor_decides_at_once(
    starts: tuple[PlannedStart, ...], expert: str
) -> None:
    study = _paused_study(promotion="asha", starts=starts)
    assert _first_start_of(study).startswith(expert)


def _first_start_of(study: Study) -> str:
    return next(item.expert for item in _observe(study).candidates if item.kind != "continue")


def test_what_asha_promotes_stands_before_every_start() -> None:
    # Asked for, so that the floor decides after three results.
    study = _paused_study(promotion="asha", starts=(_start(3, is_asked=True),))
    ready = promotable(study)
    assert len(ready) == 2
    observation = _observe(study)
    first = observation.candidates[: len(ready)]
    assert tuple(candidate.trial_id for candidate in first) == ready
    assert first[0].text == f"continue trial {ready[0]} from 1 to 3"
    assert first[0].until == 3
    assert observation.prior_logits[1] > observation.prior_logits[2:].max()
    waiting = {
        item.trial_id: float(observation.prior_logits[slot])
        for slot, item in enumerate(observation.candidates)
        if slot > 1 and item.kind == "continue"
    }
    assert waiting.keys() == {trial.trial_id for trial in affordable(study)} - set(ready)
    assert max(waiting.values()) < observation.prior_logits[2], "the best start"


def test_by_gain_per_epoch_all_paused_trials_may_be_chosen() -> None:
    study = _paused_study(num_trials=12, num_left=4)
    observation = _observe(study)
    offered = [c.trial_id for c in observation.candidates if c.kind == "continue"]
    assert sorted(offered) == list(range(1, 12))
    assert observation.mask[: len(observation.candidates)].all()
    kinds = {candidate.kind for candidate in observation.candidates}
    assert kinds == {"move", "global", "continue"}


def test_starts_and_continuations_are_compared_by_gain_per_epoch() -> None:
    study = _paused_study(num_trials=12, num_left=4)
    observation = _observe(study)
    surrogate = Surrogate(read_history(study, Encoding(SQUARE)), Encoding(SQUARE))
    units = np.stack([SQUARE.to_unit(c.config) for c in observation.candidates])
    maximum = study.spec.fidelity.maximum
    left = np.array(
        [
            maximum - (0 if c.trial_id is None else study.trials[c.trial_id].fidelity)
            for c in observation.candidates
        ]
    )
    gains = log_gain_per_epoch(surrogate.predict(units, np.ones(len(units))), surrogate.best, left)
    is_continue = np.array([c.kind == "continue" for c in observation.candidates])
    logits = observation.prior_logits[: len(units)]
    best_start = int(np.argmax(np.where(is_continue, -np.inf, logits)))
    expected = 16.0 * (gains - gains[best_start])[is_continue]
    assert logits[best_start] == 0.0
    assert logits[is_continue] == pytest.approx(np.clip(expected, -20.0, 20.0), abs=1e-3)


def test_the_start_portfolio_stands_before_continuations() -> None:
    study = _paused_study(num_trials=2, num_left=14)
    observation = _observe(study)
    assert observation.candidates[0].expert == "start:sobol"
    assert {c.trial_id for c in observation.candidates if c.kind == "continue"} == {1}


@pytest.mark.parametrize("promotion", ["asha", "gain_per_epoch"])
def test_without_trials_left_only_continuations_remain_and_then_nothing(promotion: str) -> None:
    study = _paused_study(num_trials=6, num_left=0, promotion=promotion)
    observation = _observe(study)
    assert {candidate.kind for candidate in observation.candidates} == {"continue"}
    ended = play(study, FloorProposer(), lambda config: float(config["x0"]))
    assert len(ended.trials) == 6
    assert promotable(ended) == () if promotion == "asha" else affordable(ended) == ()
    assert _observe(ended).candidates == ()
    assert not _observe(ended).mask.any()


def test_a_space_of_constants_is_refused() -> None:
    space = SearchSpace(
        hyperparameters=(Hyperparameter(name="pooling", domain=Constant(value="mean")),)
    )
    with pytest.raises(UsageError, match="nothing to search: pooling can take one value only"):
        _observe(new_study(space))


def test_what_the_surrogate_forgets_is_still_not_repeated() -> None:
    """More trials than the surrogate's rows, in a space that is nearly used up."""
    axis = Ordinal(values=tuple(range(17)))
    space = SearchSpace(
        hyperparameters=(
            Hyperparameter(name="a", domain=axis),
            Hyperparameter(name="b", domain=axis),
        )
    )
    study = random_study(space, num_trials=MAX_ROWS + 20)
    candidates = _observe(study).candidates
    assert len(candidates) == 17 * 17 - (MAX_ROWS + 20)
    assert not {c.config for c in candidates} & {trial.config for trial in study.trials}


@FEW
@given(STUDIES)
def test_the_net_step_adds_up_how_far_numbers_and_levels_are_raised(study: Study) -> None:
    observation, space = _observe(study), study.spec.space
    has_order = np.array([item.domain.is_ordered for item in space.searched])
    for row, candidate in enumerate(observation.candidates):
        if candidate.kind == "continue":
            assert observation.features[row, NET_STEP] == 0.0
            continue
        origin = candidate.move.origin
        before = space.default if origin is None else study.trials[origin].config
        step = space.to_unit(candidate.config) - space.to_unit(before)
        assert observation.features[row, NET_STEP] == pytest.approx(step[has_order].sum(), abs=1e-5)
