"""Copies and start portfolios: what the other tasks teach, the task itself left out."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.search import ours
from benchmarks.search.asked_and_told import rungs
from benchmarks.search.copying import NUM_STARTS, Family, _greedily, copying
from benchmarks.search.play import Budget, play
from benchmarks.search.setting import Setting
from lexmove.agent.simulated_workers import SimulatedWorkers
from lexmove.space.domain import Ordinal
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study, StudySpec, decision_rng
from search_benchmark.tiny_comparison import MAX_FIDELITY, SPACE, task, tiny

LOW, MIDDLE, HIGH = task("low", 0.2), task("middle", 0.4), task("high", 0.8)
GRID = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="x", domain=Ordinal(values=(0.0, 0.2, 0.4, 0.8))),
        Hyperparameter(name="n", domain=Ordinal(values=(1, 2))),
    )
)


def study_of(proposer: Proposer, num_trials: int) -> Study:
    spec = StudySpec(name="copied", space=SPACE, num_trials=num_trials)
    workers = SimulatedWorkers(spec, replace(LOW, max_fidelity=1).objective)
    while workers.study.num_trials_left:
        suggestion = proposer.propose(workers.study, decision_rng(workers.study))
        assert suggestion is not None
        workers.start(suggestion)
        while not workers.is_idle:
            workers.advance()
    return workers.study


def test_the_best_of_a_grid_is_found_and_the_task_itself_left_out():
    family = Family([replace(one, space=GRID, pool=None) for one in (LOW, MIDDLE, HIGH)])
    assert family.can_teach()
    assert [dict(config) for config in family.copied(replace(LOW, space=GRID, pool=None))] == [
        {"x": 0.4, "n": 2},
        {"x": 0.8, "n": 2},
    ]


def test_a_pool_is_searched_through():
    pool = tuple(SPACE.config({"x": x, "n": 2}) for x in (0.1, 0.45, 0.9))
    family = Family([replace(one, pool=pool) for one in (LOW, MIDDLE)])
    assert family.copied(replace(LOW, pool=pool)) == (pool[1],)


def test_draws_stand_for_a_space_that_cannot_be_listed():
    low, high = (replace(one, pool=None) for one in (LOW, HIGH))
    (copied,) = Family([low, high]).copied(low)
    assert copied["x"] == pytest.approx(0.8, abs=0.05)


def test_the_portfolio_takes_what_adds_most():
    regrets = np.array([[0.0, 0.9, 0.9], [0.1, 0.2, 0.9], [0.9, 0.9, 0.0], [0.2, 0.1, 0.9]])
    # Alone row 1 is as good as row 3 and earlier; row 2 then adds most, then row 0, by .1.
    assert _greedily(regrets, 3) == [1, 2, 0]
    assert _greedily(regrets, 9) == [1, 2, 0, 3]


def test_spaces_that_differ_teach_nothing():
    family = Family([LOW, replace(HIGH, space=GRID, pool=None)])
    assert not family.can_teach()
    assert family.copied(LOW) == family.starts(LOW) == ()
    assert not Family([LOW]).can_teach()


def test_copies_come_first_each_once_then_random_draws():
    one, two = (SPACE.config({"x": x, "n": 3}) for x in (0.25, 0.5))
    study = study_of(copying([two], [one, two]), num_trials=5)
    configs = [trial.config for trial in study.trials]
    assert configs[:2] == [two, one]
    assert len(set(configs)) == 5


def test_every_arm_is_handed_the_same_starts():
    comparison = tiny()
    setting = Setting.usual("trials", 1, starts=True)
    starts = comparison.starts(setting, "tiny-low")
    assert len(set(starts)) == NUM_STARTS
    assert comparison.starts(Setting.usual("trials", 1), "tiny-low") == ()
    for arm in (*comparison.arms["trials"], *ours.ARMS):
        low = comparison.task("tiny-low")
        proposer = arm.make(low, Budget(trials=6), seed=0, starts=starts)
        study = study_of(proposer, num_trials=6)
        assert tuple(trial.config for trial in study.trials[:NUM_STARTS]) == starts


@pytest.mark.parametrize("arm", ours.EPOCH_ARMS, ids=lambda arm: arm.name)
def test_our_arms_play_with_and_without_rungs(arm):
    plan = arm.plan(LOW)
    assert plan.rungs == ((4,) if arm.name == "lexmove − continue" else (1, 2, 4))
    proposer = arm.make(LOW, Budget(trainings=2), seed=0, starts=())
    trace = play(LOW, proposer, Budget(trainings=2), plan=plan, seed=0)
    assert trace.epochs[-1] == 2 * MAX_FIDELITY


def test_a_checkpoint_is_what_was_reached_when_so_many_trials_had_ended():
    arm = ours.ARMS[0]
    proposer = arm.make(LOW, Budget(trials=5), seed=0, starts=())
    trace = play(LOW, proposer, Budget(trials=5), plan=rungs(2, first=4)(LOW), seed=0)
    for num_trials in range(1, 6):
        row = next(row for row, ended in enumerate(trace.ended) if ended == num_trials)
        assert trace.after_trials(num_trials) == trace.regrets[row]
    assert trace.after_trials(9) == trace.regrets[-1]
    assert trace.after_epochs(0.5) == 1.0
