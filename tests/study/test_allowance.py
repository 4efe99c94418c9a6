"""The allowance: what a study with rungs may spend, counted by hand and played by chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.landscapes import finish, floats, new_study, start
from lexmove.study.allowance import affordable, epochs_ahead, expected_epochs, most_epochs
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Suggestion, TrialStatus

SPACE = floats(1)
PLAN = FidelityPlan(maximum=4, eta=2)
"""Rungs 1, 2 and 4: eight trials take 8·1 + 4·1 + 2·2 epochs."""


def _start(study: Study) -> Study:
    units = (len(study.trials) + 0.5) / 1000
    suggestion = Suggestion(
        config=SPACE.from_unit(np.array([units])),
        until=study.spec.fidelity.rungs[0],
        decision=Decision(proposer="test"),
    )
    return start(study, suggestion)


def _continue(study: Study, trial_id: int) -> Study:
    trial = study.trials[trial_id]
    suggestion = Suggestion(
        config=trial.config,
        until=study.spec.fidelity.next_rung(trial.fidelity),
        decision=Decision(proposer="test"),
        trial_id=trial_id,
    )
    return start(study, suggestion)


def _paused(num_trials: int, num_paused: int) -> Study:
    study = new_study(SPACE, fidelity=PLAN, num_trials=num_trials)
    for trial_id in range(num_paused):
        study = finish(_start(study), trial_id, 0.5)
    return study


def _ids(study: Study) -> list[int]:
    return [trial.trial_id for trial in affordable(study)]


def test_every_paused_trial_is_affordable_at_first() -> None:
    assert _ids(_paused(8, 3)) == [0, 1, 2]


def test_the_first_rung_of_every_start_left_is_kept_back() -> None:
    # Two trials may take 2·1 + 1·1 epochs: one continuation, whether the other has started or not.
    assert _ids(_paused(2, 1)) == [0]
    assert _ids(finish(_continue(_paused(2, 1), 0), 0, 0.6)) == []
    assert _ids(finish(_continue(_paused(2, 2), 0), 0, 0.6)) == []
    # One trial alone may take its first rung.
    assert _ids(_paused(1, 1)) == []


def test_what_was_asked_for_counts_before_it_is_measured() -> None:
    study = _paused(4, 4)  # 4·1 + 2·1 + 1·2 epochs
    assert _ids(_continue(study, 3)) == [0, 1, 2]
    study = finish(_continue(study, 3), 3, 0.6)
    running = _continue(study, 3)  # two more: one epoch is left
    assert _ids(running) == [0, 1, 2]
    assert _ids(_continue(running, 0)) == []


def test_a_failure_takes_its_share_with_it() -> None:
    study = _start(_paused(4, 3))
    lost = finish(study, 3, None, status=TrialStatus.FAILED)
    assert epochs_ahead(study) == 8 - 3
    assert epochs_ahead(lost) == expected_epochs(PLAN, 3) - 3 == 1
    assert _ids(lost) == [0, 1, 2]


def test_without_rungs_nothing_goes_on() -> None:
    study = new_study(SPACE, fidelity=FidelityPlan(maximum=4), num_trials=4)
    assert _ids(finish(_start(study), 0, 0.5, fidelity=2, status=TrialStatus.PAUSED)) == []


@pytest.mark.parametrize(
    ("plan", "epochs"),
    [
        (FidelityPlan(maximum=4), 4 * 8),
        (FidelityPlan(maximum=4, eta=2), 8 * 1 + 4 * 1 + 2 * 2),
        (FidelityPlan(maximum=9, eta=3, first=3), 8 * 3 + 2 * 6),
    ],
)
def test_expected_epochs_are_those_of_halving(plan: FidelityPlan, epochs: int) -> None:
    assert expected_epochs(plan, 8) == epochs


@pytest.mark.parametrize(
    ("plan", "epochs"),
    [
        (FidelityPlan(maximum=4), 4 * 8),
        (FidelityPlan(maximum=4, eta=2, promotion="gain_per_epoch"), 16),
        # 1.8 times 8·1 + 4·1 + 2·2 + 1·4, and the pilot's way from 1 to 16.
        (FidelityPlan(maximum=16, eta=2), 36 + 15),
        (FidelityPlan(maximum=4, eta=2, first=3), 4 * 8),
    ],
)
def test_only_ashas_promotions_may_add_epochs(plan: FidelityPlan, epochs: int) -> None:
    assert most_epochs(plan, 8) == epochs


def test_every_pilot_may_add_its_way_to_the_end() -> None:
    plan = FidelityPlan(maximum=16, eta=2)
    assert most_epochs(plan, 8, num_pilots=4) == 36 + 4 * 15
    assert most_epochs(plan, 5, num_pilots=5) == 5 * 16


@given(
    maximum=st.integers(2, 30),
    eta=st.integers(2, 4),
    num_trials=st.integers(1, 15),
    parallel=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_whatever_is_chosen_every_trial_starts_and_the_figure_is_kept(
    maximum: int, eta: int, num_trials: int, parallel: int, seed: int
) -> None:
    """Random starts, continuations and failures; what ends is not more than was planned."""
    rng = np.random.default_rng(seed)
    plan = FidelityPlan(maximum=maximum, eta=eta)
    study = new_study(SPACE, fidelity=plan, num_trials=num_trials, parallel=parallel)
    while True:
        paused = affordable(study)
        if study.running and (len(study.running) == parallel or rng.random() < 0.5):
            trial_id = int(rng.choice([trial.trial_id for trial in study.running]))
            value = None if rng.random() < 0.1 else float(rng.normal())
            study = finish(study, trial_id, value)
        elif paused and (not study.num_trials_left or rng.random() < 0.5):
            study = _continue(study, int(rng.choice([trial.trial_id for trial in paused])))
        elif study.num_trials_left:
            study = _start(study)
        elif study.running:
            study = finish(study, study.running[0].trial_id, 0.0)
        else:
            break
    assert len(study.trials) == num_trials
    lost = study.with_status(TrialStatus.FAILED)
    kept = [trial for trial in study.trials if trial not in lost]
    spent = sum(trial.fidelity for trial in kept)
    assert spent <= max(expected_epochs(plan, num_trials), len(kept) * plan.rungs[0])
