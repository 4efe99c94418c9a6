"""Pre-training: RLlib PPO on simulated studies; writes weights and the recipe that made them.

Small and whole: one task distribution in, one set of weights out. The place of a long run with
its task families, imitation phase and choice of the checkpoint on held-out families.
"""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID

from lexmove.agent.environment import EpisodeSpec, MakeObjective, TuningEnv
from lexmove.agent.policy import PointerPolicy, save_weights, weights_hash
from lexmove.agent.rl_module import (
    Weights,
    assert_same_weights,
    from_module_state,
    module_spec,
    quiet_rllib,
    to_module_state,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PpoSettings:
    """PPO where it departs from RLlib's defaults (30 epochs, λ = 1, two remote runners).

    `num_steps` is the number of decisions per iteration; `gamma` the discount per decision.
    `num_env_runners` = 0 samples in this process, `num_envs` episodes side by side.
    """

    learning_rate: float = 3e-4
    num_steps: int = 512
    num_epochs: int = 4
    minibatch_size: int = 128
    gamma: float = 0.98
    lambda_: float = 0.95
    clip: float = 0.15
    kl_coefficient: float = 0.1
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    gradient_norm: float = 0.5
    num_env_runners: int = 0
    num_envs: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingResult:
    """What pre-training made.

    `policy_version` is the hash of `weights`; `mean_returns` holds the mean undiscounted return
    of the episodes that ended in each iteration, NaN where none did.
    """

    weights: Weights
    policy_version: str
    mean_returns: tuple[float, ...]


def pretrain(
    make_objective: MakeObjective,
    *,
    iterations: int,
    seed: int,
    out_path: Path,
    episode: EpisodeSpec | None = None,
    settings: PpoSettings | None = None,
    on_iteration: Callable[[int, float], None] = lambda _index, _mean_return: None,
) -> PretrainingResult:
    """Trains a policy from its floor on tasks that `make_objective` draws, and saves it.

    Ray must be running.

    Args:
        make_objective: draws the task of an episode from a seed.
        iterations: how often PPO samples and updates.
        seed: of the tasks and of everything random in RLlib.
        out_path: the safetensors file to write; what `recipe_path` says goes beside it.
        episode: how the simulated studies run.
        settings: of PPO.
        on_iteration: called after each iteration with its index and its mean return.
    """
    episode, settings = episode or EpisodeSpec(), settings or PpoSettings()
    start = PointerPolicy.untrained().state_dict()
    result = optimize(
        TuningEnv,
        {"make_objective": make_objective, "episode": episode},
        start,
        iterations=iterations,
        seed=seed,
        settings=settings,
        on_iteration=on_iteration,
    )
    policy = PointerPolicy.untrained()
    policy.load_state_dict(dict(result.weights))
    save_weights(policy, out_path)
    recipe = {
        "policy_version": result.policy_version,
        "initial_policy_version": weights_hash(start),
        "tasks": getattr(make_objective, "__qualname__", repr(make_objective)),
        "seed": seed,
        "iterations": iterations,
        "episode": asdict(episode),
        "ppo": asdict(settings),
        # JSON has no NaN.
        "mean_returns": [value if math.isfinite(value) else None for value in result.mean_returns],
    }
    recipe_path(out_path).write_text(json.dumps(recipe, indent=2) + "\n")
    return result


def recipe_path(weights_path: Path) -> Path:
    """Where the recipe of a weights file stands."""
    return weights_path.with_suffix(".recipe.json")


def optimize(
    env: type,
    env_config: dict[str, Any],
    weights: Weights,
    *,
    iterations: int,
    seed: int,
    settings: PpoSettings,
    on_iteration: Callable[[int, float], None] = lambda _index, _mean_return: None,
) -> PretrainingResult:
    """PPO from `weights` in any environment with the policy's observations and actions."""
    algorithm: Any  # ray is typed in part only
    with quiet_rllib():
        algorithm = ppo_config(env, env_config, seed=seed, settings=settings).build_algo()
    try:
        _set_weights(algorithm, weights)
        mean_returns: list[float] = []
        for index in range(iterations):
            runners = algorithm.train()["env_runners"]
            mean_returns.append(float(runners.get("episode_return_mean", float("nan"))))
            on_iteration(index, mean_returns[-1])
        trained = from_module_state(algorithm.get_module(DEFAULT_MODULE_ID).get_state())
    finally:
        algorithm.stop()
        # RLlib always makes a folder for logs; nothing of use is in it.
        shutil.rmtree(algorithm.logdir, ignore_errors=True)
    return PretrainingResult(
        weights=trained, policy_version=weights_hash(trained), mean_returns=tuple(mean_returns)
    )


def ppo_config(
    env: type, env_config: dict[str, Any], *, seed: int, settings: PpoSettings
) -> PPOConfig:
    """RLlib's configuration of one run."""
    return (
        PPOConfig()  # type: ignore[no-untyped-call]  # ray is typed in part only
        .environment(env, env_config=env_config, disable_env_checking=True)
        .env_runners(
            num_env_runners=settings.num_env_runners,
            num_envs_per_env_runner=settings.num_envs,
        )
        .learners(num_learners=0, num_gpus_per_learner=0)
        .training(
            lr=settings.learning_rate,
            train_batch_size_per_learner=settings.num_steps,
            num_epochs=settings.num_epochs,
            minibatch_size=settings.minibatch_size,
            gamma=settings.gamma,
            lambda_=settings.lambda_,
            clip_param=settings.clip,
            kl_coeff=settings.kl_coefficient,
            entropy_coeff=settings.entropy_coefficient,
            vf_loss_coeff=settings.value_coefficient,
            grad_clip=settings.gradient_norm,
        )
        .rl_module(rl_module_spec=module_spec())
        .reporting(metrics_num_episodes_for_smoothing=64)
        .debugging(seed=seed, log_level="ERROR")
    )


def _set_weights(algorithm: Any, weights: Weights) -> None:
    """Puts `weights` into the learner and the runners."""
    algorithm.set_state(
        {"learner_group": {"learner": {"rl_module": {DEFAULT_MODULE_ID: to_module_state(weights)}}}}
    )
    algorithm.env_runner_group.sync_weights(
        from_worker_or_learner_group=algorithm.learner_group, inference_only=True
    )
    assert_same_weights(algorithm.get_module(DEFAULT_MODULE_ID).get_state(), weights)
