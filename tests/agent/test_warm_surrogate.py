"""What earlier studies add to a surrogate: as much as they rank the trials right, and no more."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.landscapes import (
    MIXED,
    finish,
    floats,
    new_study,
    play,
    random_study,
    rungs,
    start,
)
from lexmove.agent.encoding import Encoding
from lexmove.agent.floor import FloorProposer
from lexmove.agent.gaussian_process import forget_fits
from lexmove.agent.history import read_history
from lexmove.agent.memory import MAX_PAST, PastStudy, past_results
from lexmove.agent.observation import observe
from lexmove.agent.surrogate import Surrogate
from lexmove.agent.warm_surrogate import WarmSurrogate, surrogate_of
from lexmove.space.domain import Float
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.past import PastResults
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import Decision, Suggestion
from strategies import search_spaces

SPACE = floats(2)
ENCODING = Encoding.of(SPACE)
POINTS = np.random.default_rng(9).random((7, 2))
ENDS = np.ones(7)


def bowl(config: Config) -> float:
    return 1.0 - (float(config["x0"]) - 0.3) ** 2 - (float(config["x1"]) - 0.6) ** 2


def rugged(config: Config) -> float:
    """The bowl with ripples: few trials rank it badly by themselves."""
    x0, x1 = float(config["x0"]), float(config["x1"])
    return bowl(config) + 0.15 * float(np.sin(14 * x0) * np.sin(14 * x1))


def upside_down(config: Config) -> float:
    return -rugged(config)


def earlier(landscape=rugged, *, space: SearchSpace = SPACE, **study: object) -> PastStudy:
    fields = {"num_trials": 60, "seed": 1, **study}
    return PastStudy.from_study(random_study(space, landscape=landscape, **fields))


def results(*studies: PastStudy, space: SearchSpace = SPACE) -> tuple[PastResults, ...]:
    return past_results(studies or [earlier()], space)


def warm(study: Study, past: tuple[PastResults, ...]) -> WarmSurrogate:
    return WarmSurrogate(read_history(study, ENCODING), ENCODING, past)


def few(num_trials: int = 12) -> Study:
    return random_study(SPACE, num_trials=num_trials, landscape=rugged, seed=3)


def test_whether_earlier_studies_agree_is_told_from_four_trials_on() -> None:
    assert warm(few(3), results()).agreement is None
    assert warm(few(), results()).agreement == pytest.approx(1.0, abs=0.3)
    assert warm(few(), results(earlier(upside_down))).agreement == pytest.approx(-1.0, abs=0.3)
    assert warm(few(), ()).agreement is None


def test_a_study_like_this_one_counts_and_its_opposite_does_not() -> None:
    like, opposite = warm(few(), results()), warm(few(), results(earlier(upside_down)))
    assert like.own_weight < 0.5
    assert opposite.own_weight == 1.0
    alone = Surrogate(read_history(few(), ENCODING), ENCODING)
    for name in ("means", "stds", "gains", "gain_stds"):
        found = getattr(opposite.predict(POINTS, ENDS), name)
        assert np.array_equal(found, getattr(alone.predict(POINTS, ENDS), name)), name
    assert np.array_equal(opposite.best, alone.best)


def test_the_like_one_is_found_among_others() -> None:
    """And knows a region that no trial of this study has seen."""
    past = results(earlier(upside_down), earlier(), earlier(lambda config: float(config["x1"])))
    study = few()
    found, alone = warm(study, past), Surrogate(read_history(study, ENCODING), ENCODING)
    truth = [rugged(Config({"x0": x0, "x1": x1})) for x0, x1 in POINTS.tolist()]
    told, by_itself = (
        np.corrcoef(each.predict(POINTS, ENDS).means[0], truth)[0, 1] for each in (found, alone)
    )
    assert told > 0.9
    assert told > by_itself + 0.1


def test_before_any_trial_earlier_studies_say_where_to_look() -> None:
    empty = new_study(SPACE)
    found = warm(empty, results())
    assert found.own_weight == pytest.approx(0.3)
    best, worst = np.array([[0.3, 0.6]]), np.array([[1.0, 0.0]])
    at_best, at_worst = (found.predict(point, np.ones(1)).means[0, 0] for point in (best, worst))
    assert at_best > at_worst + 1.0


def test_of_another_model_little_counts_until_trials_speak_for_it() -> None:
    other = replace(earlier(), weight=0.2)
    assert warm(new_study(SPACE), results(other)).own_weight == pytest.approx(0.86)
    both = warm(new_study(SPACE), results(earlier(seed=2), other))
    assert both.own_weight == pytest.approx(0.3)
    assert warm(few(), results(other)).own_weight == warm(few(), results()).own_weight < 0.5


def test_even_a_study_of_the_same_task_fades() -> None:
    study = few(45)
    found = warm(study, results())
    assert 1.0 - 10.0 / len(study.ranking) <= found.own_weight < 1.0


def test_own_trials_outweigh_a_study_that_is_only_alike() -> None:
    """The more of them there are."""

    def shifted(config: Config) -> float:
        return bowl(Config({"x0": float(config["x0"]) - 0.15, "x1": float(config["x1"])}))

    weights = [warm(few(num), results(earlier(shifted))).own_weight for num in (5, 40)]
    assert weights[0] < weights[1]
    assert weights[1] > 0.9


def test_running_trials_lower_the_uncertainty_of_earlier_studies_too() -> None:
    study = few()
    point = np.array([[0.9, 0.1]])
    suggestion = Suggestion(
        config=Config({"x0": 0.9, "x1": 0.1}), until=1, decision=Decision(proposer="test")
    )
    running = start(study, suggestion)
    sparse = results(earlier(num_trials=10))
    before, after = (
        warm(each, sparse).predict(point, np.ones(1)).stds for each in (study, running)
    )
    assert np.all(after < before)


def test_what_a_study_did_not_vary_makes_no_difference_to_what_it_says() -> None:
    line = SearchSpace(
        hyperparameters=(Hyperparameter(name="x0", domain=Float(low=0.0, high=1.0)),)
    )
    past = results(earlier(lambda config: -abs(float(config["x0"]) - 0.3), space=line))
    assert past[0].known == ("x0",)
    found = warm(new_study(SPACE), past)
    across = np.column_stack([np.full(5, 0.4), np.linspace(0, 1, 5)])
    assert np.ptp(found.predict(across, np.ones(5)).means[0]) < 1e-9


def test_lower_fidelities_are_the_studys_own_affair() -> None:
    study = new_study(SPACE, fidelity=rungs(maximum=9), num_trials=20)
    for trial_id, (x0, x1) in enumerate(POINTS.tolist()):
        config = Config({"x0": x0, "x1": x1})
        suggestion = Suggestion(config=config, until=1, decision=Decision(proposer="test"))
        study = finish(start(study, suggestion), trial_id, bowl(config), fidelity=1)
    found, alone = warm(study, results()), Surrogate(read_history(study, ENCODING), ENCODING)
    assert found.own_weight < 1.0
    places = np.array([0.0, 1.0, 0.5, 1.0, 0.0, 0.3, 0.0])
    is_end = places == 1.0
    told, own = found.predict(POINTS, places), alone.predict(POINTS, places)
    assert np.array_equal(told.means[:, ~is_end], own.means[:, ~is_end])
    assert not np.any(told.means[:, is_end] == own.means[:, is_end])


def test_a_change_of_scale_changes_no_decision() -> None:
    past = results()

    def decided(scale: float, shift: float) -> list[Config]:
        study = play(
            new_study(SPACE, num_trials=9, past=past),
            FloorProposer(),
            lambda config: scale * bowl(config) + shift,
        )
        return [trial.config for trial in study.trials]

    assert decided(1.0, 0.0) == decided(100.0, -7.0)


def test_a_process_that_starts_anew_decides_the_same_from_what_is_stored() -> None:
    study = few(num_trials=9)
    study = replace(study, spec=replace(study.spec, past=results(earlier(), earlier(upside_down))))
    before = observe(study, decision_rng(study))
    stored = StudySpec.from_json(json.loads(json.dumps(study.spec.to_json())))
    assert stored == study.spec
    forget_fits()
    again = Study.from_events(stored, study.events)
    after = observe(again, decision_rng(again))
    assert np.array_equal(before.features, after.features)
    assert np.array_equal(before.prior_logits, after.prior_logits)


def test_studies_stored_before_there_were_past_results_have_none() -> None:
    spec = new_study(SPACE).spec
    assert "past" not in spec.to_json()
    assert StudySpec.from_json(spec.to_json()) == spec


def test_what_misled_is_left_aside() -> None:
    """Two starts from memory have a result, and neither beats the default."""
    corners = [Config({"x0": 1.0, "x1": 0.0}), Config({"x0": 1.0, "x1": 1.0})]
    starts = tuple(PlannedStart(config=c, source="past", reason="best of it") for c in corners)
    study = new_study(SPACE, starts=starts, past=results(), num_trials=2)
    study = play(study, FloorProposer(), bowl)
    assert [trial.config for trial in study.trials] == corners
    assert isinstance(surrogate_of(study, ENCODING), WarmSurrogate)
    suggestion = Suggestion(config=SPACE.default, until=1, decision=Decision(proposer="test"))
    study = finish(start(study, suggestion), 2, bowl(SPACE.default))
    assert not isinstance(surrogate_of(study, ENCODING), WarmSurrogate)


def test_a_long_study_is_kept_by_its_best_half_and_a_spread_of_the_rest() -> None:
    past = earlier(num_trials=200)
    (kept,) = results(past)
    assert len(kept.scores) == len(kept.units) == 64
    assert np.mean(kept.scores) == pytest.approx(0.0, abs=1e-4)
    assert np.std(kept.scores) == pytest.approx(1.0, abs=1e-4)
    best = past.study.trials[past.study.incumbent.trial_id].config
    assert kept.units[int(np.argmax(kept.scores))] == pytest.approx(
        SPACE.to_unit(best).tolist(), abs=1e-4
    )


def test_a_trial_that_stopped_early_counts_with_what_was_expected_of_its_end() -> None:
    """Every curve rises by 1 on the way: what stopped is not below what went on and is worse."""
    study = new_study(floats(1), fidelity=rungs(maximum=9), num_trials=20)
    xs = np.linspace(0, 1, 12).tolist()
    for trial_id, x in enumerate(xs):
        suggestion = Suggestion(
            config=Config({"x0": x}), until=1, decision=Decision(proposer="test")
        )
        study = finish(start(study, suggestion), trial_id, x, fidelity=1)
    for trial_id in (0, 3, 6):
        config = study.trials[trial_id].config
        on = Suggestion(
            config=config, until=9, decision=Decision(proposer="test"), trial_id=trial_id
        )
        study = finish(start(study, on), trial_id, xs[trial_id] + 1.0, fidelity=9)
    (kept,) = past_results([PastStudy.from_study(study)], floats(1))
    in_order = [score for _, score in sorted(zip(kept.units, kept.scores, strict=True))]
    assert np.corrcoef(in_order, xs)[0, 1] > 0.95


def test_at_most_eight_are_kept_the_weightiest_first() -> None:
    studies = [replace(earlier(seed=seed), weight=float(seed)) for seed in range(1, 13)]
    assert [item.source for item in past_results(studies, SPACE)] == ["test"] * MAX_PAST
    heaviest = past_results([studies[-1]], SPACE)[0]
    assert past_results(studies, SPACE)[0] == heaviest


def test_a_study_in_which_all_are_equal_says_nothing() -> None:
    assert past_results([earlier(lambda config: 0.5)], SPACE) == ()


@settings(max_examples=15, deadline=None)
@given(space=search_spaces(), seed=st.integers(0, 100))
def test_any_space_can_be_told_of_another(space: SearchSpace, seed: int) -> None:
    past = past_results([earlier(space=MIXED, landscape=lambda c: float(c["dropout"]))], space)
    study = random_study(space, num_trials=4, seed=seed)
    encoding = Encoding.of(space)
    found = WarmSurrogate(read_history(study, encoding), encoding, past)
    points = encoding.snap(np.random.default_rng(seed).random((3, encoding.num_dims)))
    prediction = found.predict(points, np.ones(3))
    assert np.isfinite(prediction.means).all()
    assert (prediction.stds > 0).all()
