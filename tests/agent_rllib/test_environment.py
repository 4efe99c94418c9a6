"""The simulated environment: its contract, its rewards, and that it is what serving is."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_rllib.tasks import RUNGS, SPACE, Bowl, free_lane, make_bowl
from lexmove.agent.observation import Observation, observe
from lexmove.agent.policy import PointerPolicy
from lexmove.agent.pretraining.environment import (
    EpisodeDistribution,
    EpisodeSpec,
    TrainingEnv,
    TuningEnv,
)
from lexmove.agent.pretraining.regret import Regret, potential
from lexmove.agent.pretraining.task_families import FamilyMix
from lexmove.agent.proposer import PolicyProposer, policy_logits
from lexmove.agent.rl_module import observation_space
from lexmove.agent.simulated_workers import SimulatedWorkers
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.in_process import run_in_process
from lexmove.coordinator.stage import Stage
from lexmove.coordinator.store import MemoryStore
from lexmove.coordinator.study_dir import StudyDir
from lexmove.space.domain import Categorical
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Report
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Continued, Ended, Measurement, Segment, Started, TrialStatus


def make_env(**episode) -> TuningEnv:
    return TuningEnv({"make_objective": make_bowl, "episode": EpisodeSpec(**episode)})


class Switches:
    """Both on is best."""

    def value(self, config: Config, fidelity: int) -> float:
        return float(list(config.values()).count("on"))

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        value = self.value(segment.config, segment.until)
        report(Measurement(fidelity=segment.until, metrics={"value": value}, duration_s=1.0))


def make_switches(seed: int) -> tuple[SearchSpace, Switches]:
    """Four configs in all."""
    switch = Categorical(values=("off", "on"))
    pair = tuple(Hyperparameter(name=name, domain=switch) for name in "ab")
    return SearchSpace(hyperparameters=pair), Switches()


TASKS = (make_bowl, make_switches)


def play(env: TuningEnv, seed: int) -> list[float]:
    """Rewards of one episode of random allowed actions."""
    rng = np.random.default_rng(seed)
    arrays, _ = env.reset(seed=seed)
    rewards, is_over = [], False
    while not is_over:
        action = rng.choice(np.flatnonzero(arrays["mask"]))
        arrays, reward, terminated, is_over, _ = env.step(action)
        assert not terminated, "an episode ends on its budget"
        rewards.append(reward)
    return rewards


def test_gymnasiums_checker_passes() -> None:
    class AnyAction(TuningEnv):
        """The checker samples actions without looking at the mask."""

        def step(self, action):
            return super().step(int(np.argmax(self.observation.mask)))

    env = AnyAction({"make_objective": make_bowl, "episode": EpisodeSpec(num_trials=6)})
    with warnings.catch_warnings():
        # It wants a render mode and a registered spec, which RLlib does not ask for.
        warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")
        check_env(env, skip_render_check=True)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**31 - 1),
    parallel=st.integers(1, 5),
    plan=st.sampled_from([FidelityPlan(), RUNGS]),
)
def test_rewards_telescope(seed: int, parallel: int, plan: FidelityPlan) -> None:
    env = make_env(num_trials=8, parallel=parallel, fidelity=plan)
    rewards = play(env, seed)
    incumbent = env.study.incumbent
    final = potential(1.0)
    if incumbent is not None:
        config = env.study.trials[incumbent.trial_id].config
        final = potential(env.regret(env.objective.value(config, incumbent.fidelity)))
    assert sum(rewards) == pytest.approx(final - potential(1.0), abs=1e-9)


def test_a_masked_candidate_cannot_be_chosen() -> None:
    env = make_env(num_trials=4)
    arrays, _ = env.reset(seed=0)
    masked = int(np.flatnonzero(arrays["mask"] == 0)[0])
    with pytest.raises(ValueError, match=f"candidate {masked} is masked"):
        env.step(masked)


def test_trials_overlap_and_end_out_of_order() -> None:
    env = make_env(num_trials=16, parallel=4)
    play(env, seed=2)
    running, most, ended = 0, 0, []
    for event in env.study.events:
        if isinstance(event, Started | Continued):
            running += 1
        elif isinstance(event, Ended):
            running -= 1
            ended.append(event.trial_id)
        most = max(most, running)
    assert running == 0, "an episode waits for the trials that it started"
    assert most == 4
    assert ended != sorted(ended)


def test_paused_trials_are_continued_and_failures_recorded() -> None:
    env = make_env(num_trials=20, parallel=2, fidelity=RUNGS)
    play(env, seed=4)
    study = env.study
    assert len(study.trials) == 20, "the budget is met exactly"
    assert any(isinstance(event, Continued) for event in study.events)
    lost = study.with_status(TrialStatus.FAILED, TrialStatus.INFEASIBLE)
    assert {trial.reason for trial in lost} == {"out of memory", "the loss is NaN"}
    assert study.incumbent.trial_id not in {trial.trial_id for trial in lost}


def test_equal_seeds_give_equal_episodes() -> None:
    one, other = make_env(num_trials=8, parallel=3), make_env(num_trials=8, parallel=3)
    assert play(one, seed=9) == play(other, seed=9)
    assert one.study.events == other.study.events


def test_regret_is_normalised_and_the_potential_falls_with_it() -> None:
    regret = Regret(best=0.9, median=0.5)
    assert [regret(value) for value in (1.0, 0.9, 0.7, 0.5, 0.1, math.nan)] == pytest.approx(
        [0.0, 0.0, 0.5, 1.0, 1.0, 1.0]
    )
    potentials = [potential(x) for x in (0.0, 0.01, 0.1, 0.5, 1.0)]
    assert potentials == sorted(potentials, reverse=True)
    measured = Regret.of(Bowl(1), SPACE, 4, np.random.default_rng(0))
    assert measured.median < measured.best <= 1.0


def assert_equal_observations(one: Observation, other: Observation) -> None:
    assert one.candidates == other.candidates
    for name, array in one.arrays().items():
        assert np.array_equal(array, other.arrays()[name]), name


def drive(env: TuningEnv, policy: PointerPolicy) -> list[tuple[int, Observation]]:
    """Plays the likeliest candidates; the number of events and the observation at each decision."""
    seen = []
    is_over = False
    while not is_over:
        seen.append((env.study.num_events, env.observation))
        _, _, _, is_over, _ = env.step(int(np.argmax(policy_logits(policy, env.observation))))
    return seen


@pytest.mark.parametrize(("parallel", "plan"), [(1, RUNGS), (4, FidelityPlan()), (3, RUNGS)])
def test_serving_decides_as_the_environment_did(
    policy: PointerPolicy, parallel: int, plan: FidelityPlan
) -> None:
    env = make_env(num_trials=10, parallel=parallel, fidelity=plan)
    env.reset(seed=1)
    seen = drive(env, policy)
    served = {event.seq: event for event, _ in env.study.decisions}
    proposer = PolicyProposer(policy)
    for num_events, observation in seen:
        study = env.study.prefix(num_events) if num_events else Study(spec=env.study.spec)
        assert_equal_observations(observe(study, decision_rng(study)), observation)
        suggestion = proposer.propose(study, decision_rng(study), lane=free_lane(study))
        event = served[num_events]
        trial = env.study.trials[event.trial_id]
        assert suggestion.config == trial.config
        assert suggestion.until == event.until
        assert suggestion.trial_id == (None if isinstance(event, Started) else trial.trial_id)
        assert suggestion.decision.action == event.decision.action
        assert suggestion.decision.lane == event.decision.lane


def test_a_coordinator_makes_the_study_that_the_environment_made(
    policy: PointerPolicy, tmp_path
) -> None:
    env = make_env(num_trials=10, fidelity=RUNGS)
    env.reset(seed=1)
    drive(env, policy)
    store = MemoryStore()
    store.create(env.study.spec)
    coordinator = Coordinator(
        store=store, name=env.study.spec.name, proposer=PolicyProposer(policy)
    )
    study_dir = StudyDir(tmp_path)
    study_dir.create()
    stage = Stage(
        name="s", coordinator=coordinator, study_dir=study_dir, on_change=lambda study: None
    )
    run_in_process(stage, env.objective)
    assert len(coordinator.study.trials) == len(env.study.trials)
    for served, trained in zip(coordinator.study.trials, env.study.trials, strict=True):
        assert served.config == trained.config
        assert served.started.seed == trained.started.seed
        assert [m.metrics for m in served.measurements] == [m.metrics for m in trained.measurements]


def training_env(**config) -> TrainingEnv:
    episode = EpisodeDistribution(num_trials=(4, 8), max_seeded=6)
    return TrainingEnv({"make_objective": FamilyMix(), "episode": episode, **config})


def test_episodes_differ_in_length_parallelism_history_and_rungs() -> None:
    drawn = [
        EpisodeDistribution().draw(np.random.default_rng(seed), 9 if seed % 2 else 1)
        for seed in range(300)
    ]
    lengths = [item.num_trials - item.num_seeded for item in drawn if item.num_epochs is None]
    assert (min(lengths), max(lengths)) == (12, 60)
    assert {item.parallel for item in drawn} == {1, 2, 4, 8}
    assert 0.2 < np.mean([item.num_seeded > 0 for item in drawn]) < 0.4
    for item, has_curve in zip(drawn, [seed % 2 for seed in range(300)], strict=True):
        assert item.fidelity.maximum == (9 if has_curve else 1)
        assert (item.fidelity.eta is not None) == bool(has_curve)
        assert (item.num_epochs is not None) == bool(has_curve)
        if item.num_epochs is not None:
            own = item.num_epochs - item.num_seeded * item.fidelity.rungs[0]
            assert 3 * 9 <= own <= 12 * 9


def test_of_a_kind_of_task_neither_budget_nor_workers_follow() -> None:
    """Task and episode were once drawn from the same numbers: no family had all budgets."""
    make_objective, distribution = FamilyMix(), EpisodeDistribution()
    drawn: dict[str, list[EpisodeSpec]] = {}
    for seed in range(1000, 1400):
        _, objective = make_objective(seed)
        drawn.setdefault(objective.family, []).append(distribution.of(seed))
    assert len(drawn) == 3
    for episodes in drawn.values():
        budgets = [item.num_trials - item.num_seeded for item in episodes]
        assert min(budgets) < 15
        assert max(budgets) > 45
        assert {item.parallel for item in episodes} == {1, 2, 4, 8}


@pytest.mark.parametrize("family", ["process_smooth", "tuning_curves"])
def test_what_is_learned_from_is_what_is_served(family: str) -> None:
    """Decision by decision: every number that a policy sees, and the study that comes of it."""
    episode = EpisodeDistribution(num_trials=(18, 18), seeded_ratio=0.0, parallels=(1,))
    env = TuningEnv({"make_objective": FamilyMix(weights={family: 1.0}), "episode": episode})
    env.reset(seed=5)
    served = SimulatedWorkers(env.study.spec, env.objective)
    policy, num_decisions = PointerPolicy.untrained(), 0
    proposer = PolicyProposer(policy, gated=True)
    while env.observation.mask.any():
        while not served.has_free_worker:
            served.advance()
        rng = decision_rng(served.study)
        seen = observe(served.study, rng)
        for name, rows in env.observation.arrays().items():
            np.testing.assert_array_equal(seen.arrays()[name], rows, err_msg=name)
        suggestion = proposer.propose(served.study, decision_rng(served.study))
        assert suggestion is not None
        served.start(suggestion)
        env.step(int(np.argmax(policy_logits(policy, env.observation))))
        num_decisions += 1
        while served.study.running:
            served.advance()
    assert num_decisions >= 18


def test_an_episode_on_curves_ends_when_its_epochs_are_spent() -> None:
    env = make_env(num_trials=60, parallel=2, fidelity=RUNGS, num_epochs=20)
    env.reset(seed=3)
    is_over, before = False, 0
    while not is_over:
        before = sum(trial.fidelity for trial in env.study.trials)
        action = int(np.flatnonzero(env.observation.mask)[0])
        _, _, _, is_over, _ = env.step(action)
    assert before < 20 <= sum(trial.fidelity for trial in env.study.trials)
    assert not env.study.running


def test_an_episode_may_begin_in_the_middle_of_a_study() -> None:
    env = make_env(num_trials=12, num_seeded=9, parallel=3)
    env.reset(seed=5)
    trials = env.study.trials
    assert len(trials) >= 9
    assert {trial.decision.proposer for trial in trials[:9]} == {"chance"}
    assert env.observation.mask.any()
    assert env.study.running, "the history ends while trials run"


@pytest.mark.slow  # twelve seconds
def test_a_space_that_chance_has_used_up_is_passed_over() -> None:
    """It has ended a run of pre-training after 22,000 decisions."""
    episode = EpisodeSpec(num_trials=50, num_seeded=40)
    mixed = TuningEnv({"make_objective": lambda seed: TASKS[seed % 2](seed), "episode": episode})
    for seed in range(4):
        seen, _ = mixed.reset(seed=seed)
        assert seen["mask"].any()
        assert mixed.study.spec.space == SPACE
    with pytest.raises(ValueError, match="nothing to decide"):
        TuningEnv({"make_objective": make_switches, "episode": episode}).reset(seed=0)


def test_learning_sees_the_truth_and_a_softer_prior() -> None:
    soft, sharp = training_env(seed=1, temperature=4.0), training_env(seed=1)
    seen, plain = soft.reset()[0], sharp.reset()[0]
    is_over = False
    while not is_over:
        assert soft.observation_space.contains(seen)
        assert np.array_equal(seen["prior_logits"] * 4, plain["prior_logits"])
        assert set(seen) == {*observation_space().spaces, "truth", "reached"}
        assert float(seen["reached"][0]) == pytest.approx(soft.current_potential, abs=1e-5)
        for index in np.flatnonzero(seen["mask"])[:5]:
            candidate = soft.observation.candidates[index]
            value = soft.objective.value(candidate.config, candidate.until)
            found = potential(soft.regret(value))
            assert float(seen["truth"][index]) == pytest.approx(found, abs=1e-4)
        action = int(np.flatnonzero(seen["mask"])[-1])
        seen, _, _, is_over, _ = soft.step(action)
        plain, _, _, _, _ = sharp.step(action)


def test_episodes_follow_from_iteration_and_number_not_from_rllibs_seeds() -> None:
    def tasks(env: TrainingEnv, iteration: int, seed: int) -> list[str]:
        env.begin(iteration)
        names = []
        for _ in range(3):
            env.reset(seed=seed)
            names.append(env.study.spec.name)
        return names

    one, other = training_env(seed=1), training_env(seed=1)
    tasks(one, 0, seed=0)
    assert tasks(one, 4, seed=0) == tasks(other, 4, seed=7)
    assert len({*tasks(one, 4, seed=0), *tasks(one, 5, seed=0)}) == 6
    assert tasks(training_env(seed=2), 4, seed=0) != tasks(one, 4, seed=0)
