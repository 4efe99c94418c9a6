"""Learning from a job: the right direction, the right bookkeeping, and never in the way."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets
from ray.util.placement_group import placement_group, remove_placement_group

from agent.landscapes import FOUR, new_study, play
from agent_rllib.tasks import IdentityEnv, serve
from lexmove.agent.lanes import SURPRISE, Arrays, episodes, logits_of, mean_divergence
from lexmove.agent.learning import (
    MIN_NETWORK_TRIALS,
    MIN_TRIALS,
    LearningResult,
    LearningSettings,
    OnlineLearner,
    learn,
)
from lexmove.agent.observation import IS_CONTINUE, NET_STEP
from lexmove.agent.policy import PointerPolicy, load_weights, save_weights, weights_hash
from lexmove.agent.policy_learner import SHARPNESS, PolicyLearner, direction_in_hindsight
from lexmove.agent.proposer import PolicyProposer
from lexmove.agent.rl_module import Weights, action_space, observation_space
from lexmove.space.domain import Float
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.study import Study

QUICK = LearningSettings(learning_rate=1e-3, num_epochs=2, max_kl=1.0)


def with_weights(weights: Weights) -> PointerPolicy:
    policy = PointerPolicy.untrained()
    policy.load_state_dict(dict(weights))
    return policy.eval()


def nothing_known(observation: Arrays, action: int) -> float:
    return math.nan


def one_decision_lanes(
    policy: PointerPolicy,
    num_lanes: int,
    *,
    surprise: Callable[[Arrays, int], float] = nothing_known,
) -> list[SingleAgentEpisode]:
    """Lanes of one sampled decision each; only the marked candidate is rewarded."""
    env = IdentityEnv({})
    rng = np.random.default_rng(0)
    lanes = []
    for seed in range(num_lanes):
        observation, _ = env.reset(seed=seed)
        logits = logits_of(policy, [observation])[0]
        log_probabilities = torch.from_numpy(logits).log_softmax(-1).numpy()
        valid = np.flatnonzero(observation["mask"])
        # Half of the samples are the marked candidate, so that there is something to learn.
        marked = int(observation["features"][:, env.MARK].argmax())
        action = marked if seed % 2 else int(rng.choice(valid))
        after, reward, *_ = env.step(action)
        lanes.append(
            SingleAgentEpisode(
                observation_space=observation_space(),
                action_space=action_space(),
                observations=[observation, after],
                actions=[action],
                rewards=[reward],
                truncated=True,
                extra_model_outputs={
                    Columns.ACTION_LOGP: [float(log_probabilities[action])],
                    Columns.ACTION_DIST_INPUTS: [logits],
                    SURPRISE: [surprise(observation, action)],
                },
                len_lookback_buffer=0,
            )
        )
    return lanes


def rewarded_log_probability(policy: PointerPolicy, lanes: list[SingleAgentEpisode]) -> float:
    total = 0.0
    for lane in lanes:
        if lane.get_rewards(0) > 0:
            logits = logits_of(policy, lane.get_observations(slice(0, 1)))
            log_probabilities = torch.from_numpy(logits[0]).log_softmax(-1)
            total += float(log_probabilities[lane.get_actions(0)])
    return total


def test_steps_make_rewarded_actions_likelier(policy: PointerPolicy) -> None:
    lanes = one_decision_lanes(policy, 32)
    learner = PolicyLearner(policy.state_dict(), learning_rate=3e-3, seed=0)
    for _ in range(6):
        assert math.isfinite(learner.step(lanes))
    before = rewarded_log_probability(policy, lanes)
    after = rewarded_log_probability(with_weights(learner.weights), lanes)
    print(before, after)
    assert after > before + 1.0
    assert [len(lane) for lane in lanes] == [1] * 32, "the lanes given are not changed"


def test_hindsight_finds_the_direction_and_believes_few_trials_little() -> None:
    steps = torch.linspace(-1.0, 1.0, 40)
    for slope in (0.5, -0.2):
        many = direction_in_hindsight(steps, slope * steps + 0.3)
        few = direction_in_hindsight(steps[::13], slope * steps[::13] + 0.3)
        assert many == pytest.approx(SHARPNESS * slope, rel=0.1)
        assert 0.0 < few / many < 0.98
    noise = torch.tensor([1.0, -1.0]).repeat(20)
    assert abs(direction_in_hindsight(steps, noise)) < 0.05 * SHARPNESS
    assert direction_in_hindsight(steps[:1], noise[:1]) == 0.0
    assert direction_in_hindsight(torch.ones(40), noise) == 0.0, "no two of them went apart"


def test_one_step_turns_the_policy_to_where_trials_ended_above_their_prediction(
    policy: PointerPolicy,
) -> None:
    def rising(observation: Arrays, action: int) -> float:
        # Every fourth trial has not ended, failed or was stopped: it says nothing.
        step = float(observation["features"][action, NET_STEP])
        return math.nan if action % 4 == 0 else 0.5 * step

    lanes = one_decision_lanes(policy, 48, surprise=rising)
    learner = PolicyLearner(policy.state_dict(), learning_rate=1e-6, seed=0)
    learner.step(lanes)
    turned = with_weights(learner.weights)
    assert turned.direction.item() == pytest.approx(0.5 * SHARPNESS, rel=0.1)

    seen = lanes[0].get_observations(0)
    before, after = (logits_of(p, [seen])[0] for p in (policy, turned))
    is_open = seen["mask"].astype(bool) & (seen["features"][:, IS_CONTINUE] < 0.5)
    turns = turned.direction.item() * seen["features"][is_open, NET_STEP]
    # By the same for each beside that: it chooses among starts.
    assert np.ptp((after - before)[is_open] - turns) == pytest.approx(0.0, abs=1e-3)


def test_learning_turns_only_as_far_as_its_bound(served: Study, policy: PointerPolicy) -> None:
    def turn(max_turn_kl: float) -> LearningResult:
        settings = LearningSettings(learning_rate=1e-9, max_turn_kl=max_turn_kl)
        return learn(policy.state_dict(), served, seed=0, settings=settings)

    unbound = turn(100.0)
    assert float(unbound.weights["direction"]) != 0.0
    bound = turn(unbound.mean_kl / 4)
    share = float(bound.weights["direction"]) / float(unbound.weights["direction"])
    assert 0.0 < share < 1.0
    assert bound.mean_kl <= unbound.mean_kl / 4


def test_what_changes_nothing_is_not_applied(policy: PointerPolicy) -> None:
    # Two categories have no order: no step of any candidate goes up or down.
    proposer = PolicyProposer(policy, sample=True)
    played = play(new_study(FOUR, num_trials=4), proposer, lambda config: float(config["b"]))
    still = LearningSettings(num_epochs=1, learning_rate=0.5, max_kl=-1.0, min_trials=2)
    assert_unchanged(learn(policy.state_dict(), played, seed=0, settings=still), policy)


def test_the_learner_holds_what_it_is_given_and_says_what_it_made(
    policy: PointerPolicy, tmp_path
) -> None:
    learner = PolicyLearner(policy.state_dict(), learning_rate=1e-2, seed=0)
    assert weights_hash(learner.weights) == weights_hash(policy.state_dict())
    learner.step(one_decision_lanes(policy, 16))
    made = learner.weights
    assert weights_hash(made) != weights_hash(policy.state_dict())
    version = save_weights(with_weights(made), tmp_path / "policy.safetensors")
    restored = load_weights(tmp_path / "policy.safetensors").state_dict()
    learner.weights = policy.state_dict()
    learner.weights = restored
    assert weights_hash(learner.weights) == version == weights_hash(made)


def test_weights_of_another_network_are_refused(policy: PointerPolicy) -> None:
    learner = PolicyLearner(policy.state_dict(), learning_rate=1e-2, seed=0)
    renamed = {f"old_{name}": tensor for name, tensor in policy.state_dict().items()}
    with pytest.raises(AssertionError, match="the module holds the weights"):
        learner.weights = renamed


def test_learning_is_a_function_of_its_arguments(served: Study, policy: PointerPolicy) -> None:
    weights = policy.state_dict()
    version = weights_hash(weights)
    one = learn(weights, served, seed=1, settings=QUICK)
    other = learn(weights, served, seed=1, settings=QUICK)
    assert one.applied
    assert one.policy_version == other.policy_version == weights_hash(one.weights) != version
    assert weights_hash(weights) == version, "the weights that came in are not changed"
    assert one.num_transitions == len(served.decisions)
    assert 0.0 < one.mean_kl <= QUICK.max_kl
    assert math.isfinite(one.loss)


def assert_unchanged(result: LearningResult, policy: PointerPolicy) -> None:
    assert not result.applied
    assert result.policy_version == weights_hash(policy.state_dict())
    assert weights_hash(result.weights) == result.policy_version
    assert result.mean_kl == 0.0


def test_nothing_is_learned_from_a_few_trials(policy: PointerPolicy) -> None:
    study = serve(policy, num_trials=24, parallel=1, stop_after=MIN_TRIALS - 2)
    result = learn(policy.state_dict(), study, seed=0, settings=QUICK)
    assert_unchanged(result, policy)
    assert result.num_transitions == 0


def test_the_direction_turns_before_the_network_learns(policy: PointerPolicy) -> None:
    study = serve(policy, num_trials=24, parallel=1, stop_after=MIN_NETWORK_TRIALS - 2)
    before = policy.state_dict()
    result = learn(before, study, seed=0, settings=LearningSettings(min_trials=4))
    assert result.applied
    changed = {name for name in before if not torch.equal(before[name], result.weights[name])}
    assert changed == {"direction"}


def test_nothing_is_learned_from_the_decisions_of_others(served: Study) -> None:
    other = PointerPolicy.untrained()
    other.value[2].bias.data.add_(1.0)
    assert_unchanged(learn(other.state_dict(), served, seed=0, settings=QUICK), other)


def test_a_step_that_goes_too_far_is_taken_back(served: Study, policy: PointerPolicy) -> None:
    # Halving brings it nearer, and never near enough.
    wild = LearningSettings(learning_rate=0.5, num_epochs=3, max_kl=1e-12, max_turn_kl=1e-12)
    result = learn(policy.state_dict(), served, seed=0, settings=wild)
    assert_unchanged(result, policy)
    assert result.num_transitions == len(served.decisions)


def test_a_sharp_policy_takes_shorter_steps(served: Study) -> None:
    sharp = PointerPolicy.untrained()
    torch.manual_seed(0)
    # A trained policy after it was sharpened: a step of Adam leads far beyond the bound.
    sharp.residual.weight.data.normal_(std=30.0)
    study = serve(sharp.eval(), num_trials=18, parallel=3)
    before = sharp.state_dict()
    learner = PolicyLearner(before, learning_rate=LearningSettings().learning_rate, seed=0)
    lanes = episodes(study, sharp)
    learner.step(lanes)
    assert mean_divergence(lanes, with_weights(learner.weights)) > LearningSettings().max_kl
    result = learn(before, study, seed=0)
    assert result.applied
    assert 0.0 < result.mean_kl <= LearningSettings().max_kl


def test_learning_stops_before_the_divergence_that_is_allowed(
    served: Study, policy: PointerPolicy
) -> None:
    def divergence(max_kl: float) -> float:
        settings = LearningSettings(
            learning_rate=0.03, num_epochs=6, max_kl=max_kl, max_turn_kl=max_kl
        )
        return learn(policy.state_dict(), served, seed=0, settings=settings).mean_kl

    unbound = divergence(100.0)
    assert 0.0 < divergence(unbound / 2) <= unbound / 2


def test_divergence_is_zero_for_the_policy_itself_and_positive_for_another(
    policy: PointerPolicy,
) -> None:
    lanes = one_decision_lanes(policy, 4)
    assert mean_divergence(lanes, policy) == pytest.approx(0.0, abs=1e-6)
    other = with_weights(policy.state_dict())
    torch.manual_seed(0)
    other.residual.weight.data.normal_()
    assert mean_divergence(lanes, other) > 0.01


def test_advantages_bootstrap_where_a_lane_was_cut() -> None:
    """GAE on a cut lane of three decisions and one that ended, against the written-out sums."""
    gamma, lambda_ = 0.9, 0.95
    values = [0.5, 0.4, 0.3, 0.2, 0.6, 0.1]  # the last of each lane is that of its end
    rewards = [0.0, 1.0, 0.0, 0.0, 0.3, 0.0]
    targets = compute_value_targets(
        values=np.array(values),
        rewards=np.array(rewards),
        terminateds=np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        truncateds=np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]),
        gamma=gamma,
        lambda_=lambda_,
    )
    deltas = [rewards[t] + gamma * values[t + 1] - values[t] for t in range(3)]
    decay = gamma * lambda_
    advantages = [
        deltas[0] + decay * deltas[1] + decay**2 * deltas[2],
        deltas[1] + decay * deltas[2],
        deltas[2],
    ]
    assert targets[:3] == pytest.approx([v + a for v, a in zip(values, advantages, strict=False)])
    assert targets[4] == pytest.approx(0.3), "nothing follows a lane that ended"


def test_the_process_that_serves_does_not_load_rllib() -> None:
    code = "import sys, lexmove.agent.learning; print('ray.rllib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def wait_for_result(learner: OnlineLearner) -> LearningResult | None:
    while learner.is_busy:
        result = learner.poll()
        if result is not None or learner.failure is not None:
            return result
        time.sleep(0.05)
    return None


@pytest.mark.slow
def test_online_learning_gives_what_learning_gives(
    ray_session: None, served: Study, policy: PointerPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    trials = placement_group([{"CPU": 2}])
    assert trials.wait(60), "trials have every CPU"
    learner = OnlineLearner(policy.state_dict(), seed=1, settings=QUICK)
    assert learner.poll() is None
    assert learner.submit(served)
    assert learner.is_busy
    assert not learner.submit(served), "one study at a time"
    result = wait_for_result(learner)
    expected = learn(policy.state_dict(), served, seed=1, settings=QUICK)
    assert result.applied
    assert result.policy_version == expected.policy_version == weights_hash(result.weights)
    assert learner.poll() is None, "a result is given once"

    # The next call goes on from the new weights and still uses the decisions of the old ones.
    assert learner.submit(served)
    again = wait_for_result(learner)
    assert again.num_transitions == len(served.decisions)
    assert again.policy_version not in (result.policy_version, weights_hash(policy.state_dict()))

    # Its death is told once and does no harm.
    pid = learner.pid
    assert learner.submit(served)
    os.kill(pid, signal.SIGKILL)
    assert wait_for_result(learner) is None
    assert "the job goes on without it" in learner.failure
    assert not learner.submit(served)
    assert learner.poll() is None
    assert len([r for r in caplog.records if r.name == "lexmove.agent.learning"]) == 1
    learner.close()
    remove_placement_group(trials)


@pytest.mark.slow  # twelve seconds
def test_a_job_learns_which_way_all_hyperparameters_go() -> None:
    """Where raising each is right, and where lowering is: the direction after 24 trials."""

    def direction(seed: int, *, rises: bool) -> float:
        rng = np.random.default_rng(seed)
        domain = Float(low=0.0, high=1.0, default=0.2 if rises else 0.8)
        names = [f"x{i}" for i in range(20)]
        space = SearchSpace(
            hyperparameters=tuple(Hyperparameter(name=name, domain=domain) for name in names)
        )

        def measured(config: Config) -> float:
            x = np.array([float(config[name]) for name in names])
            left = 1.0 - x if rises else x
            return float(1.0 - np.mean(left**2) + 0.02 * rng.standard_normal())

        policy = PointerPolicy.untrained().eval()
        study = new_study(space, num_trials=24, seed=seed)
        played = play(study, PolicyProposer(policy, sample=True), measured)
        return learn(policy.state_dict(), played, seed=seed).weights["direction"].item()

    raised = [direction(seed, rises=True) for seed in range(2)]
    lowered = [direction(seed, rises=False) for seed in range(2)]
    # Measured: four of four seeds each, by 4 to 8 logits per unit range.
    assert min(raised) > 0.0 > max(lowered)
