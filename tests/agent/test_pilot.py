"""Pilots: what is asked for, remembered, or else the default is trained to the end first."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.landscapes import (
    MIXED,
    config_of,
    fine_tuning,
    finish,
    new_study,
    newest,
    play,
    random_study,
    rungs,
    start,
)
from lexmove.agent.baselines import RandomProposer
from lexmove.agent.continuation import MAX_ASKED_PILOTS, MAX_RECALLED_PILOTS, pilot_of
from lexmove.agent.floor import FloorProposer
from lexmove.agent.memory import PastStudy, past_results
from lexmove.agent.proposer import PolicyProposer
from lexmove.study.allowance import expected_epochs
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.past import PastResults
from lexmove.study.protocols import Proposer
from lexmove.study.starts import PlannedStart, asked_for
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Continued, Decision, Suggestion, Trial, TrialStatus

STARTS = tuple(
    PlannedStart(config=config_of(MIXED, seed), source="tos", reason="from tos")
    for seed in range(2)
)
PROMOTIONS = ("asha", "gain_per_epoch")
PROPOSERS = (FloorProposer(), PolicyProposer(sample=True, gated=True))


def _plan(promotion: str = "asha", maximum: int = 9) -> FidelityPlan:
    return replace(rungs(maximum=maximum), promotion=promotion)


def _next(study: Study, proposer: Proposer | None = None) -> Suggestion:
    suggestion = (proposer or FloorProposer()).propose(study, decision_rng(study))
    assert suggestion is not None
    return suggestion


def _told(study: Study, value: float | None, proposer: Proposer | None = None) -> Study:
    suggestion = _next(study, proposer)
    study = start(study, suggestion)
    return finish(study, newest(study, suggestion), value)


@pytest.mark.parametrize("promotion", PROMOTIONS)
@pytest.mark.parametrize("proposer", PROPOSERS, ids=("floor", "drawn"))
def test_the_default_is_trained_to_the_end_first(proposer: Proposer, promotion: str) -> None:
    study = new_study(MIXED, fidelity=_plan(promotion), num_trials=20)
    stops = []
    for value in (0.1, 0.2, 0.3):
        suggestion = _next(study, proposer)
        stops.append((suggestion.trial_id, suggestion.until, suggestion.decision.expert))
        study = _told(study, value, proposer)
    first, then, end = stops
    assert first == (None, 1, "start:default")
    assert (then, end) == ((0, 3, "start:default"), (0, 9, "start:default"))
    assert study.trials[0].status is TrialStatus.COMPLETED
    assert (_next(study, proposer).trial_id, _next(study, proposer).until) == (None, 1)


@pytest.mark.parametrize("promotion", PROMOTIONS)
def test_with_a_memory_its_first_start_is(promotion: str) -> None:
    study = new_study(MIXED, fidelity=_plan(promotion), num_trials=20, starts=STARTS)
    for value in (0.5, 0.4, 0.4, 0.4):
        study = _told(study, value)
    fidelities = [trial.fidelity for trial in study.trials]
    assert fidelities == [1, 9]
    assert study.trials[1].config == STARTS[0].config
    assert _next(study).decision.expert == "start:memory"
    assert _next(study).trial_id is None


def _past() -> tuple[PastResults, ...]:
    earlier = random_study(MIXED, landscape=fine_tuning, num_trials=20, seed=5)
    return past_results([PastStudy.from_study(earlier)], MIXED)


def test_with_results_of_earlier_studies_ten_trials_go_to_the_end() -> None:
    study = new_study(MIXED, fidelity=_plan(), num_trials=20, starts=STARTS, past=_past())
    ended = play(study, FloorProposer(), fine_tuning)
    pilots = ended.trials[1 : 1 + MAX_RECALLED_PILOTS]
    assert ended.trials[0].config == MIXED.default
    assert [trial.status for trial in pilots] == [TrialStatus.COMPLETED] * MAX_RECALLED_PILOTS
    assert {expert for trial in pilots for expert in _continued_by(trial)} == {"start:memory"}
    assert _ends_before_the_next_starts(ended, pilots)
    assert {trial.fidelity for trial in ended.trials[1 + MAX_RECALLED_PILOTS :]} > {1}


def _ends_before_the_next_starts(study: Study, trials: Sequence[Trial]) -> bool:
    ends = [trial.events[-1].seq for trial in trials]
    starts = [study.trials[trial.trial_id + 1].started.seq for trial in trials]
    return all(end < then for end, then in zip(ends, starts, strict=True))


def test_once_they_mislead_none_does() -> None:
    study = new_study(MIXED, fidelity=_plan(), num_trials=20, starts=STARTS, past=_past())
    for value in (0.5, 0.4, 0.4, 0.4, 0.3):  # the default, a whole training, a first rung
        study = _told(study, value)
    assert [trial.fidelity for trial in study.trials] == [1, 9, 1]
    assert pilot_of(study) is None


def test_by_gain_per_epoch_the_first_of_them_alone_does() -> None:
    fields = {"fidelity": _plan("gain_per_epoch"), "num_trials": 20}
    study = new_study(MIXED, **fields, starts=STARTS, past=_past())
    for value in (0.1, 0.4, 0.4, 0.4, 0.5):
        study = _told(study, value)
    assert [trial.fidelity for trial in study.trials] == [1, 9, 1]
    assert pilot_of(study) is None


def _asked(num: int, *, after: int = 0) -> tuple[PlannedStart, ...]:
    configs = (config_of(MIXED, 10 + seed) for seed in range(num))
    return tuple(asked_for(config, by="you", after=after) for config in configs)


@pytest.mark.parametrize("promotion", PROMOTIONS)
def test_what_is_asked_for_goes_to_the_end_in_place_of_the_default(
    promotion: str,
) -> None:
    asked = _asked(2)
    study = new_study(MIXED, fidelity=_plan(promotion), num_trials=20, starts=(*asked, *STARTS))
    experts = []
    for value in (0.4, 0.4, 0.4, 0.6, 0.6, 0.6):
        experts.append(_next(study).decision.expert)
        study = _told(study, value)
    assert experts == ["start:asked"] * 6
    assert [trial.fidelity for trial in study.trials] == [9, 9]
    assert [trial.config for trial in study.trials] == [start.config for start in asked]
    study = _told(study, 0.1)
    assert study.trials[2].config == STARTS[0].config
    assert pilot_of(study) is None
    ended = play(study, FloorProposer(), fine_tuning)
    assert MIXED.default not in [trial.config for trial in ended.trials]


def test_of_what_is_asked_for_the_worst_at_a_rung_goes_no_further() -> None:
    study = new_study(MIXED, fidelity=_plan(), num_trials=20, starts=_asked(3))
    # The first to the end, the second ahead after an epoch and behind after three.
    for value in (0.5, 0.6, 0.7, 0.6, 0.4):
        study = _told(study, value)
    assert [trial.fidelity for trial in study.trials] == [9, 3]
    assert pilot_of(study) is None
    # The third is behind both after an epoch, or only behind the second.
    assert pilot_of(_told(study, 0.4)) is None
    third = pilot_of(_told(study, 0.55))
    assert third is not None
    assert third.trial_id == 2


def test_of_much_that_is_asked_for_four_go_to_the_end() -> None:
    study = new_study(MIXED, fidelity=_plan(), num_trials=20, starts=_asked(6))
    for _ in range(3 * 4):
        study = _told(study, 0.5)
    assert [trial.fidelity for trial in study.trials] == [9, 9, 9, 9]
    study = _told(study, 0.5)
    assert study.trials[4].fidelity == 1
    assert pilot_of(study) is None


def test_what_is_asked_for_later_goes_to_the_end_too() -> None:
    study = new_study(MIXED, fidelity=_plan(), num_trials=20, starts=_asked(1, after=3))
    for value in (0.5, 0.5, 0.5, 0.5, 0.5):
        study = _told(study, value)
    assert [trial.fidelity for trial in study.trials] == [9, 1, 1]
    for value in (0.1, 0.1, 0.1):
        assert _next(study).decision.expert == "start:asked"
        study = _told(study, value)
    assert study.trials[3].fidelity == 9


def test_other_slots_start_meanwhile() -> None:
    study = new_study(MIXED, fidelity=_plan(), num_trials=20, parallel=2)
    study = _told(study, 0.5)
    study = start(study, _next(study))
    assert study.running[0].trial_id == 0
    assert pilot_of(study) is None
    beside = _next(study)
    assert (beside.trial_id, beside.decision.expert) == (None, "start:sobol")


@pytest.mark.parametrize("promotion", PROMOTIONS)
def test_one_that_fails_holds_nothing_up(promotion: str) -> None:
    study = new_study(MIXED, fidelity=_plan(promotion), num_trials=6)
    study = _told(_told(study, 0.5), None)
    assert study.trials[0].status is TrialStatus.FAILED
    assert pilot_of(study) is None
    ended = play(study, FloorProposer(), fine_tuning)
    assert len(ended.trials) == 6


def test_a_single_trial_is_trained_to_the_end() -> None:
    ended = play(new_study(MIXED, fidelity=_plan(), num_trials=1), FloorProposer(), fine_tuning)
    assert ended.trials[0].status is TrialStatus.COMPLETED


@pytest.mark.parametrize("num_trials", [1, 2, 3, 5, 9])
def test_by_gain_per_epoch_it_keeps_to_the_allowance(num_trials: int) -> None:
    plan = _plan("gain_per_epoch", maximum=27)
    study = new_study(MIXED, fidelity=plan, num_trials=num_trials)
    ended = play(study, FloorProposer(), fine_tuning)
    assert len(ended.trials) == num_trials
    assert ended.num_epochs <= expected_epochs(plan, num_trials)


def test_without_rungs_and_for_baselines_there_is_none() -> None:
    straight = _told(new_study(MIXED, num_trials=5), 0.5)
    assert pilot_of(straight) is None
    study = _told(new_study(MIXED, fidelity=_plan(), num_trials=5), 0.5, RandomProposer())
    assert study.trials[0].is_paused
    assert _next(study, RandomProposer()).trial_id is None


def test_whoever_decides_it_is_the_same() -> None:
    study = new_study(MIXED, fidelity=_plan(), num_trials=5)
    decision = Decision(proposer="environment", expert="policy")
    study = start(study, Suggestion(config=MIXED.default, until=1, decision=decision))
    pilot = pilot_of(finish(study, 0, 0.5))
    assert pilot is not None
    assert pilot.trial_id == 0


@settings(max_examples=12)
@given(
    num_asked=st.integers(0, 6),
    after=st.integers(0, 4),
    recalls=st.booleans(),
    parallel=st.integers(1, 4),
    promotion=st.sampled_from(PROMOTIONS),
    seed=st.integers(0, 999),
)
def test_whatever_is_asked_for_the_study_ends_and_its_first_goes_to_the_end(
    num_asked: int, after: int, recalls: bool, parallel: int, promotion: str, seed: int
) -> None:
    """Random values and failures, several at once, in any order; what is recorded is replayed."""
    rng = np.random.default_rng(seed)
    asked = _asked(num_asked, after=after)
    begins = {"starts": (*asked, *STARTS), "past": _past()} if recalls else {"starts": asked}
    study = new_study(MIXED, fidelity=_plan(promotion), num_trials=11, parallel=parallel, **begins)
    proposer = FloorProposer()
    while True:
        suggestion = None
        if len(study.running) < parallel:
            suggestion = proposer.propose(study, decision_rng(study))
        if suggestion is not None:
            again = Study.from_events(study.spec, study.events)
            assert proposer.propose(again, decision_rng(again)) == suggestion
            study = start(study, suggestion)
        elif study.running:
            chosen = study.running[rng.integers(len(study.running))]
            fails = rng.random() < 0.15
            study = finish(study, chosen.trial_id, None if fails else float(rng.normal()))
        else:
            break
    assert len(study.trials) == 11
    pilots = [trial for trial in study.trials if trial.config in {item.config for item in asked}]
    assert len(pilots) == num_asked
    if pilots and promotion == "asha":
        assert pilots[0].status in (TrialStatus.COMPLETED, TrialStatus.FAILED)
    gone_on = [trial for trial in pilots if "start:asked" in _continued_by(trial)]
    assert len(gone_on) <= MAX_ASKED_PILOTS


def _continued_by(trial: Trial) -> set[str]:
    return {event.decision.expert for event in trial.events if isinstance(event, Continued)}
