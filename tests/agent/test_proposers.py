"""One contract for every proposer."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agent.landscapes import (
    FOUR,
    MIXED,
    SPACES,
    Landscape,
    fine_tuning,
    finish,
    floats,
    new_study,
    newest,
    play,
    random_study,
    rungs,
    start,
)
from lexmove.agent.baselines import PROPOSERS, make_proposer
from lexmove.agent.encoding import SAME_TOLERANCE
from lexmove.errors import UsageError
from lexmove.space.domain import Float, Integer
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import promotable
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import TrialStatus


@pytest.fixture(params=sorted(PROPOSERS))
def proposer(request: pytest.FixtureRequest) -> Proposer:
    return make_proposer(request.param)


def _value(space: SearchSpace) -> Landscape:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=len(space.searched))
    return lambda config: float(weights @ space.to_unit(config))


def test_the_registry_names_what_it_makes() -> None:
    assert all(make_proposer(name).name == name for name in PROPOSERS)


def test_an_unknown_proposer_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="unknown proposer 'polcy'; did you mean 'policy'"):
        make_proposer("polcy")


@pytest.mark.parametrize("space", sorted(SPACES))
def test_it_uses_its_budget_on_valid_new_configs_and_ends(proposer: Proposer, space: str) -> None:
    num_trials = 4 if SPACES[space] is FOUR else 12
    study = play(new_study(SPACES[space], num_trials=12), proposer, _value(SPACES[space]))
    assert len(study.trials) == num_trials
    units = np.array([SPACES[space].to_unit(trial.config) for trial in study.trials])
    gaps = np.abs(units[:, None] - units[None]).max(axis=2)
    assert gaps[np.triu_indices(num_trials, 1)].min() > SAME_TOLERANCE
    assert all(SPACES[space].is_valid(trial.config) for trial in study.trials)
    assert proposer.propose(study, decision_rng(study)) is None


def test_pending_trials_are_not_repeated_and_lanes_are_noted(proposer: Proposer) -> None:
    study = new_study(FOUR, parallel=4)
    for lane in range(4):
        suggestion = proposer.propose(study, decision_rng(study), lane=lane)
        assert suggestion is not None
        assert suggestion.decision.lane == lane
        study = start(study, suggestion)
    assert len({trial.config for trial in study.trials}) == 4
    assert proposer.propose(study, decision_rng(study)) is None


def test_eight_at_once_before_any_result(proposer: Proposer) -> None:
    study = new_study(MIXED, parallel=8)
    for _ in range(8):
        suggestion = proposer.propose(study, decision_rng(study))
        assert suggestion is not None
        study = start(study, suggestion)
    assert len({trial.config for trial in study.trials}) == 8


@pytest.mark.parametrize(
    "ending",
    [
        lambda study, trial_id: finish(study, trial_id, None),
        lambda study, trial_id: finish(
            study, trial_id, float("nan"), status=TrialStatus.INFEASIBLE
        ),
        lambda study, trial_id: finish(study, trial_id, float("nan"), status=TrialStatus.FAILED),
        lambda study, trial_id: finish(study, trial_id, 0.5),
        lambda study, trial_id: finish(study, trial_id, -1e300),
    ],
    ids=["failed", "infeasible", "nan", "all equal", "huge"],
)
def test_it_survives_studies_without_information(
    proposer: Proposer, ending: Callable[[Study, int], Study]
) -> None:
    study = new_study(MIXED, num_trials=9)
    while (suggestion := proposer.propose(study, decision_rng(study))) is not None:
        study = ending(start(study, suggestion), len(study.trials))
    assert len({trial.config for trial in study.trials}) == 9


def test_it_survives_mixed_outcomes(proposer: Proposer) -> None:
    study = random_study(MIXED, num_trials=16)
    suggestion = proposer.propose(study, decision_rng(study))
    assert suggestion is not None
    assert MIXED.is_valid(suggestion.config)


def test_it_keeps_within_one_dimension_of_two_integers(proposer: Proposer) -> None:
    space = SearchSpace(
        hyperparameters=(
            Hyperparameter(name="n", domain=Integer(low=1, high=2)),
            Hyperparameter(name="free", domain=Float(low=0.0, high=1.0), when={"n": (2,)}),
        )
    )
    study = play(new_study(space, num_trials=6), proposer, _value(space))
    assert len(study.trials) == 6
    assert sum(trial.config["n"] == 1 for trial in study.trials) == 1


def test_it_continues_what_asha_would_and_spends_no_trial_on_it(proposer: Proposer) -> None:
    plan = replace(rungs(maximum=9), promotion="asha")
    study = new_study(floats(2), fidelity=plan, num_trials=9)
    while (ready := promotable(study)) == ():
        suggestion = proposer.propose(study, decision_rng(study))
        assert suggestion is not None
        # The agent's first trial goes to the end at once (test_pilot.py).
        assert (suggestion.trial_id, suggestion.until) in ((None, 1), (0, 3), (0, 9))
        study = start(study, suggestion)
        study = finish(study, newest(study, suggestion), float(suggestion.config["x0"]))
    suggestion = proposer.propose(study, decision_rng(study))
    assert suggestion is not None
    assert (suggestion.trial_id, suggestion.until) == (ready[0], 3)
    assert suggestion.decision.text == f"continue trial {ready[0]} from 1 to 3"
    assert suggestion.decision.expert == "asha"
    study = play(study, proposer, lambda config: float(config["x0"]))
    assert len(study.trials) == 9
    assert promotable(study) == ()
    assert study.incumbent is not None
    # The best of nine went through both rungs to the end.
    assert study.trials[study.incumbent.trial_id].status is TrialStatus.COMPLETED


def test_equal_histories_decide_equally(proposer: Proposer) -> None:
    study = random_study(MIXED, num_trials=9)
    replayed = Study.from_events(study.spec, study.events)
    fresh = make_proposer(proposer.name)
    assert proposer.propose(study, decision_rng(study)) == fresh.propose(
        replayed, decision_rng(replayed)
    )


def test_a_study_replays_decision_by_decision(proposer: Proposer) -> None:
    study = play(new_study(MIXED, num_trials=8), proposer, fine_tuning)
    for trial in study.trials:
        before = study.prefix(trial.events[0].seq)
        again = proposer.propose(before, decision_rng(before))
        assert again is not None
        assert again.config == trial.config
        assert again.decision == trial.decision


@pytest.mark.parametrize("name", ["policy", "floor", "hill_climbing"])
def test_the_default_comes_first(name: str) -> None:
    study = new_study(MIXED)
    suggestion = make_proposer(name).propose(study, decision_rng(study))
    assert suggestion is not None
    assert suggestion.config == MIXED.default


def test_hill_climbing_changes_one_hyperparameter_of_the_incumbent() -> None:
    study = play(
        new_study(floats(3), num_trials=10), make_proposer("hill_climbing"), _value(floats(3))
    )
    for trial in study.trials[1:]:
        move = trial.decision.move
        before = study.prefix(trial.events[0].seq).incumbent
        assert move is not None
        assert before is not None
        assert move.origin == before.trial_id
        assert len(move.changes) == 1


def test_sobol_covers_better_than_random() -> None:
    def spread(name: str, seed: int) -> float:
        study = play(
            new_study(floats(2), num_trials=32, seed=seed), make_proposer(name), _value(floats(2))
        )
        units = np.array([trial.config["x0"] for trial in study.trials], dtype=float)
        return float(np.diff(np.sort(units), prepend=0.0, append=1.0).max())

    # Largest gap on one axis after 32 points: Sobol .05, random .12 on average of 5 seeds.
    assert np.mean([spread("sobol", s) for s in range(5)]) < 0.07
    assert np.mean([spread("random", s) for s in range(5)]) > 0.08


def test_random_draws_are_spread_over_the_values() -> None:
    study = play(new_study(MIXED, num_trials=60), make_proposer("random"), fine_tuning)
    schedulers = [trial.config["scheduler"] for trial in study.trials]
    assert {schedulers.count(value) > 8 for value in ("linear", "cosine", "none")} == {True}
