"""Pre-training: RLlib's PPO learns through the module, and writes what it made."""

import json

import numpy as np

from agent_rllib.tasks import IdentityEnv, make_bowl
from lexmove.agent.environment import EpisodeSpec
from lexmove.agent.lanes import logits_of
from lexmove.agent.policy import PointerPolicy, load_weights, weights_hash
from lexmove.agent.pretraining import PpoSettings, optimize, pretrain, recipe_path

NUM_SEEDS = 3
IDENTITY = PpoSettings(
    learning_rate=5e-3,
    num_steps=128,
    minibatch_size=32,
    gamma=0.0,
    clip=0.3,
    kl_coefficient=0.0,
    value_coefficient=0.1,
    num_envs=16,
)


def mean_reward(policy: PointerPolicy, *, seed: int, num_decisions: int = 400) -> float:
    """Mean reward of sampled actions."""
    env, rng = IdentityEnv({}), np.random.default_rng(seed)
    observations, marked = [], []
    for index in range(num_decisions):
        observation, _ = env.reset(seed=seed + index)
        observations.append(observation)
        marked.append(int(observation["features"][:, env.MARK].argmax()))
    logits = logits_of(policy, observations)
    chosen = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return float((chosen == marked).mean())


def test_ppo_learns_an_identity_environment(ray_session: None) -> None:
    start = PointerPolicy.untrained()
    chance = mean_reward(start, seed=10_000)
    assert abs(chance - 1 / IdentityEnv.NUM_VALID) < 0.04
    reached = []
    for seed in range(NUM_SEEDS):
        result = optimize(
            IdentityEnv, {}, start.state_dict(), iterations=6, seed=seed, settings=IDENTITY
        )
        assert weights_hash(result.weights) == result.policy_version
        policy = PointerPolicy.untrained()
        policy.load_state_dict(dict(result.weights))
        reached.append(mean_reward(policy.eval(), seed=10_000))
    # Measured: chance 0.06; 0.98, 0.97 and 0.97 after 6 iterations of 128 decisions.
    assert sum(reward > 0.9 for reward in reached) >= NUM_SEEDS - 1


def test_pretraining_writes_weights_and_recipe(ray_session: None, tmp_path) -> None:
    path = tmp_path / "weights" / "policy.safetensors"
    seen = []
    result = pretrain(
        make_bowl,
        iterations=2,
        seed=0,
        out_path=path,
        episode=EpisodeSpec(num_trials=4, parallel=2),
        settings=PpoSettings(num_steps=32, minibatch_size=16, num_epochs=1, num_envs=2),
        on_iteration=lambda index, mean_return: seen.append((index, mean_return)),
    )
    assert [index for index, _ in seen] == [0, 1]
    assert np.isfinite(result.mean_returns).all()
    assert weights_hash(load_weights(path).state_dict()) == result.policy_version
    recipe = json.loads(recipe_path(path).read_text())
    untrained = weights_hash(PointerPolicy.untrained().state_dict())
    assert recipe["policy_version"] == result.policy_version != untrained
    assert recipe["initial_policy_version"] == untrained
    assert recipe["ppo"]["num_steps"] == 32
    assert recipe["episode"]["num_trials"] == 4
