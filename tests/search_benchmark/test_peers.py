"""The arms of the peers: one contract for all that are installed, and what only some of them do."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from agent.landscapes import FOUR, MIXED, floats
from benchmarks.search import optuna_arms, peers
from benchmarks.search.arm import Arm
from benchmarks.search.asked_and_told import (
    AskedAndTold,
    Optimiser,
    decoded,
    encoded,
    encoded_all,
)
from benchmarks.search.play import Budget, play
from benchmarks.search.task import METRIC, SearchTask
from lexmove.errors import TrialFailedError
from lexmove.space.domain import Value
from lexmove.space.search_space import Config, SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment

MAX_EPOCHS = 27
NUM_TRAININGS = 4
NUM_TRIALS = 12
SEED = 3

ARMS = [pytest.param(arm, id=arm.name) for arm in peers.installed(peers.ARMS)]
EPOCH_ARMS = [pytest.param(arm, id=arm.name) for arm in peers.installed(peers.EPOCH_ARMS)]
IN_RUNGS = [case for case in EPOCH_ARMS if "+" in case.id or "multi-fidelity" in case.id]


@dataclass(kw_only=True)
class Curves:
    """Every config has a height in [0, 1]; its curve rises towards it and never crosses another.

    What has a dropout above `crash_above` crashes. `segments` is what was run, in order.
    """

    space: SearchSpace
    crash_above: float = math.inf
    segments: list[Segment] = field(default_factory=list)

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        self.segments.append(segment)
        if self.crashes(segment.config):
            raise TrialFailedError("loss is NaN")
        for epoch in range(segment.after + 1, segment.until + 1):
            report(
                Measurement(
                    fidelity=epoch,
                    metrics={METRIC: self.value(segment.config, epoch)},
                    # A time for each trial of its own, so that parallel ones end out of order.
                    duration_s=1.0 + self.height(segment.config),
                    checkpoint=f"epoch_{epoch}",
                )
            )

    def crashes(self, config: Mapping[str, Value]) -> bool:
        return float(config.get("dropout", 0.0)) > self.crash_above

    def height(self, config: Mapping[str, Value]) -> float:
        return 1.0 - float(np.mean((self.space.to_unit(config) - 0.4) ** 2))

    def value(self, config: Config, fidelity: Fidelity) -> float:
        return self.height(config) * (1.0 - math.exp(-fidelity / 9))

    @property
    def configs(self) -> list[Config]:
        """By trial, in the order of their start."""
        by_trial = {segment.trial_id: segment.config for segment in self.segments}
        return [by_trial[index] for index in range(len(by_trial))]

    @property
    def reached(self) -> list[Fidelity]:
        """By trial."""
        until = {segment.trial_id: segment.until for segment in self.segments}
        return [until[index] for index in range(len(until))]


def task_of(curves: Curves, *, max_fidelity: int = 1) -> SearchTask:
    return SearchTask(
        name="curves",
        family="curves",
        space=curves.space,
        objective=curves,
        best=1.0,
        median=0.5,
        max_fidelity=max_fidelity,
    )


def run(arm: Arm, curves: Curves, budget: Budget, *, max_fidelity: int = 1, starts=()):
    """Plays the arm; what it did is in `curves`."""
    task = task_of(curves, max_fidelity=max_fidelity)
    proposer = arm.make(task, budget, seed=SEED, starts=starts)
    return play(task, proposer, budget, plan=arm.plan(task), seed=SEED)


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("arm", ARMS)
def test_contract_of_the_trials_axis(arm: Arm, parallel: int) -> None:
    starts = [MIXED.default, MIXED.config({"dropout": 0.45, "use_lora": True, "rank": 3})]
    budget = Budget(trials=NUM_TRIALS, parallel=parallel)
    curves = Curves(space=MIXED, crash_above=0.3)

    trace = run(arm, curves, budget, starts=[dict(config) for config in starts])

    assert all(MIXED.is_valid(config) for config in curves.configs)
    assert curves.configs[:2] == starts
    assert any(curves.crashes(config) for config in curves.configs[1:])
    assert len(curves.configs) == NUM_TRIALS == trace.ended[-1]
    again = Curves(space=MIXED, crash_above=0.3)
    run(arm, again, budget, starts=starts)
    assert again.configs == curves.configs


@pytest.mark.parametrize("arm", ARMS)
def test_what_is_pending_is_not_asked_for_again(arm: Arm) -> None:
    curves = Curves(space=floats(3))
    run(arm, curves, Budget(trials=8, parallel=4))
    assert len(set(curves.configs)) == 8


@pytest.mark.parametrize("arm", ARMS)
def test_small_space_is_searched_without_an_error(arm: Arm) -> None:
    """Some arms stop when all four configs were tried, others measure one again."""
    curves = Curves(space=FOUR)
    run(arm, curves, Budget(trials=7))
    assert all(FOUR.is_valid(config) for config in curves.configs)
    assert len(set(curves.configs)) >= 3


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("arm", EPOCH_ARMS)
def test_contract_of_the_epochs_axis(arm: Arm, parallel: int) -> None:
    budget = Budget(trainings=NUM_TRAININGS, parallel=parallel)
    curves = Curves(space=MIXED, crash_above=0.4)

    trace = run(arm, curves, budget, max_fidelity=MAX_EPOCHS, starts=[MIXED.default])

    assert curves.configs[0] == MIXED.default
    assert all(MIXED.is_valid(config) for config in curves.configs)
    # A trial goes on from where it stopped: nothing is trained, nor paid, twice.
    trained = Counter(
        (segment.trial_id, epoch)
        for segment in curves.segments
        for epoch in range(segment.after + 1, segment.until + 1)
    )
    assert set(trained.values()) == {1}
    assert not any(segment.after >= segment.until for segment in curves.segments)
    spent = NUM_TRAININGS * MAX_EPOCHS
    assert trace.epochs[-1] <= spent + parallel
    # A crash costs no epochs, so that the limit on trials may end a study first.
    first = arm.plan(task_of(curves, max_fidelity=MAX_EPOCHS)).rungs[0]
    assert trace.epochs[-1] >= spent or len(curves.configs) == math.ceil(spent / first)


@pytest.mark.parametrize("arm", IN_RUNGS)
def test_bad_trials_stop_at_rungs_and_good_ones_do_not(arm: Arm) -> None:
    curves = Curves(space=floats(3))
    budget = Budget(trainings=12)
    run(arm, curves, budget, max_fidelity=MAX_EPOCHS)
    plan = arm.plan(task_of(curves, max_fidelity=MAX_EPOCHS))

    heights = np.array([curves.height(config) for config in curves.configs])
    reached = np.array(curves.reached)
    tops = reached == MAX_EPOCHS
    assert set(reached) <= {*plan.rungs, *_smac_rungs(plan)}
    assert 2 <= tops.sum() <= 2 * len(tops) / 3
    assert heights[tops].mean() > heights[~tops].mean()


def _smac_rungs(plan: FidelityPlan) -> set[int]:
    """SMAC counts its rungs from the top: R, R / eta, R / eta², each rounded."""
    eta = plan.eta or 1
    return {round(plan.maximum / eta**power) for power in range(len(plan.rungs))}


def test_tpe_asks_for_what_plain_optuna_asks_for() -> None:
    curves = Curves(space=floats(3))
    run(optuna_arms.TPE, curves, Budget(trials=20))

    sampler = optuna.samplers.TPESampler(seed=SEED, multivariate=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(20):
        trial = study.ask()
        config = Config({name: trial.suggest_float(name, 0.0, 1.0) for name in curves.space.names})
        study.tell(trial, curves.value(config, 1))

    assert curves.configs == [trial.params for trial in study.trials]


def test_optuna_knows_starts_results_and_crashes() -> None:
    curves = Curves(space=MIXED, crash_above=0.3)
    optimiser = optuna_arms.OptunaStudy(MIXED, optuna_arms.tpe, seed=SEED)
    arm = replace(
        optuna_arms.TPE,
        make=lambda task, budget, *, seed, starts: AskedAndTold("TPE", optimiser, starts=starts),
    )
    run(arm, curves, Budget(trials=NUM_TRIALS, parallel=3), starts=[MIXED.default])

    allowed = [trial for trial in optimiser.study.trials if not _is_forbidden(trial)]
    assert [decoded(MIXED, trial.params) for trial in allowed] == curves.configs
    for trial, config in zip(allowed, curves.configs, strict=True):
        # The trials that ended after the last question were never told.
        if trial.state.is_finished():
            crashed = trial.state is optuna.trial.TrialState.FAIL
            assert crashed == curves.crashes(config)
            assert crashed or trial.value == curves.value(config, 1)
    states = Counter(trial.state.name for trial in allowed)
    assert states["FAIL"] >= 1
    assert states["COMPLETE"] >= 5


def _is_forbidden(trial: optuna.trial.FrozenTrial) -> bool:
    return MIXED.is_forbidden(decoded(MIXED, trial.params))


class Recorder(Optimiser):
    """Draws at random and writes down what it hears; stops every trial with an odd id."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._rng = np.random.default_rng(0)
        self.heard: list[tuple[str, int, float]] = []

    def ask(self, trial_id: int) -> Config:
        self.heard.append(("ask", trial_id, 0.0))
        return self._space.sample(self._rng)

    def attach(self, trial_id: int, config: Config) -> None:
        self.heard.append(("attach", trial_id, 0.0))

    def tell(self, trial_id: int, score: float) -> None:
        self.heard.append(("tell", trial_id, score))

    def fail(self, trial_id: int) -> None:
        self.heard.append(("fail", trial_id, 0.0))

    def report(self, trial_id: int, fidelity: Fidelity, score: float) -> None:
        self.heard.append(("report", trial_id, fidelity))

    def goes_on(self, trial_id: int) -> bool:
        self.heard.append(("judge", trial_id, 0.0))
        return trial_id % 2 == 0


def test_everything_is_told_once_and_in_order() -> None:
    curves = Curves(space=MIXED, crash_above=0.3)
    recorder = Recorder(MIXED)
    arm = Arm(
        name="recorder",
        group="peer",
        make=lambda task, budget, *, seed, starts: AskedAndTold(
            "recorder", recorder, starts=starts
        ),
        version="1",
        plan=lambda task: FidelityPlan(maximum=task.max_fidelity, eta=3, first=3),
    )
    run(arm, curves, Budget(trainings=4), max_fidelity=MAX_EPOCHS, starts=[MIXED.default])

    def heard_of(trial_id: int) -> list[tuple[str, float]]:
        return [(word, number) for word, index, number in recorder.heard if index == trial_id]

    full = curves.value(curves.configs[0], MAX_EPOCHS)
    reports = [("report", float(epoch)) for epoch in range(1, MAX_EPOCHS + 1)]
    judged = [*reports[:3], ("judge", 0.0), *reports[3:9], ("judge", 0.0), *reports[9:]]
    assert heard_of(0) == [("attach", 0.0), *judged, ("tell", full)]
    crashed = [curves.crashes(config) for config in curves.configs]
    assert heard_of(crashed.index(True)) == [("ask", 0.0), ("fail", 0.0)]
    stopped = next(index for index in range(1, len(crashed), 2) if not crashed[index])
    assert heard_of(stopped) == [("ask", 0.0), *reports[:3], ("judge", 0.0)]
    assert curves.reached[stopped] == 3


@pytest.mark.parametrize("seed", range(20))
def test_peers_words_for_a_config_lead_back_to_it(seed: int) -> None:
    config = MIXED.sample(np.random.default_rng(seed))
    assert decoded(MIXED, encoded_all(MIXED, config)) == config
    active = {name: encoded(MIXED[name], value) for name, value in config.items()}
    assert decoded(MIXED, active) == config


def test_whoever_cannot_run_is_named_with_a_reason() -> None:
    everyone = {arm.name for arm in (*peers.ARMS, *peers.EPOCH_ARMS)}
    running = {arm.name for arm in peers.installed((*peers.ARMS, *peers.EPOCH_ARMS))}
    absent = peers.absent()
    assert everyone - running == everyone & set(absent)
    assert "during a training" in absent["PBT, PB2"]
    assert {"random", "Sobol", "Optuna TPE", "Optuna GPSampler"} <= running


@pytest.mark.parametrize("arms", [peers.ARMS, peers.EPOCH_ARMS])
def test_names_are_unique(arms: tuple[Arm, ...]) -> None:
    assert len({arm.name for arm in arms}) == len(arms)
