"""RLlib's PPO around the policy: its settings, the algorithm, and one iteration of it."""

import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from lexmove.agent.pretraining.ppo_learner import (
    KL_TO_FLOOR,
    FloorPpoLearner,
    pretraining_module_spec,
)
from lexmove.agent.rl_module import (
    Weights,
    assert_same_weights,
    from_module_state,
    quiet_rllib,
    to_module_state,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PpoSettings:
    """PPO where it departs from RLlib's defaults (30 epochs, λ = 1, two remote runners).

    `num_steps` is the least number of decisions per iteration (episodes are played to their
    end); `gamma` the discount per decision. `learning_rate` and `kl_to_floor` fall linearly to
    their `_end` over the run. `temperature` softens the prior while learning: with logits
    prior / temperature + residual the likeliest candidate is that of prior + temperature ×
    residual, which is what is saved. `num_env_runners` = 0 samples in this process.
    """

    learning_rate: float = 2e-4
    learning_rate_end: float = 2e-5
    num_steps: int = 2048
    num_epochs: int = 4
    minibatch_size: int = 512
    gamma: float = 0.98
    lambda_: float = 0.95
    clip: float = 0.15
    kl_to_floor: float = 0.1
    kl_to_floor_end: float = 0.02
    entropy_coefficient: float = 0.001
    value_coefficient: float = 0.5
    outcome_weight: float = 0.1
    own_value_weight: float = 0.05
    gradient_norm: float = 0.5
    temperature: float = 1.5
    num_env_runners: int = 0


def build_algorithm(
    env: type,
    env_config: dict[str, Any],
    weights: Weights,
    *,
    seed: int,
    settings: PpoSettings,
    num_decisions: int,
) -> Any:
    """RLlib's algorithm with `weights` in its learner and its runners.

    The environment's observations carry what `TrainingEnv`'s do, and it has its `begin`.
    """
    config = ppo_config(env, env_config, seed=seed, settings=settings, num_decisions=num_decisions)
    with quiet_rllib():
        algorithm: Any = config.build_algo()
    state = algorithm.get_module(DEFAULT_MODULE_ID).get_state() | to_module_state(weights)
    algorithm.set_state({"learner_group": {"learner": {"rl_module": {DEFAULT_MODULE_ID: state}}}})
    algorithm.env_runner_group.sync_weights(
        from_worker_or_learner_group=algorithm.learner_group, inference_only=True
    )
    assert_same_weights(algorithm.get_module(DEFAULT_MODULE_ID).get_state(), weights)
    return algorithm


def ppo_config(
    env: type, env_config: dict[str, Any], *, seed: int, settings: PpoSettings, num_decisions: int
) -> PPOConfig:
    """RLlib's configuration of one run."""
    return (
        PPOConfig()  # type: ignore[no-untyped-call]  # ray is typed in part only
        .environment(env, env_config=env_config, disable_env_checking=True)
        .env_runners(
            env_runner_cls=EpisodeRunner,
            num_env_runners=settings.num_env_runners,
            # Whole episodes, one at a time: several side by side would be cut where the first
            # of them ends, and what follows from an iteration's start alone can be resumed.
            num_envs_per_env_runner=1,
            batch_mode="complete_episodes",
        )
        .learners(num_learners=0, num_gpus_per_learner=0)
        .training(
            learner_class=FloorPpoLearner,
            learner_config_dict={
                "kl_to_floor": settings.kl_to_floor,
                "outcome_weight": settings.outcome_weight,
                "own_value_weight": settings.own_value_weight,
            },
            lr=[[0, settings.learning_rate], [num_decisions, settings.learning_rate_end]],
            train_batch_size_per_learner=settings.num_steps,
            num_epochs=settings.num_epochs,
            minibatch_size=settings.minibatch_size,
            gamma=settings.gamma,
            lambda_=settings.lambda_,
            clip_param=settings.clip,
            # The divergence that counts is the one to the floor.
            use_kl_loss=False,
            entropy_coeff=settings.entropy_coefficient,
            vf_loss_coeff=settings.value_coefficient,
            grad_clip=settings.gradient_norm,
        )
        .rl_module(rl_module_spec=pretraining_module_spec())
        .reporting(metrics_num_episodes_for_smoothing=1)
        .debugging(seed=seed, log_level="ERROR")
    )


class EpisodeRunner(SingleAgentEnvRunner):
    """RLlib's runner for whole episodes of one environment: the same samples, with less a step.

    Left out are connectors, callbacks, and the copies that environments side by side need.
    """

    def _sample(
        self, *, num_episodes: int | None = None, explore: bool, **_: Any
    ) -> list[SingleAgentEpisode]:
        assert num_episodes is not None, "only whole episodes are sampled"
        assert self.num_envs == 1, "environments are played one at a time"
        episodes = [self._play(explore=explore) for _ in range(num_episodes)]
        num_steps = sum(map(len, episodes))
        self._done_episodes_for_metrics.extend(episodes)
        self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=num_steps)
        # RLlib annotates this method of its runner in part only.
        self._increase_sampled_metrics(num_steps, len(episodes))  # type: ignore[no-untyped-call]
        return episodes

    def _play(self, *, explore: bool) -> SingleAgentEpisode:
        """One episode from reset to end, as arrays."""
        vectorised: Any = self.env
        env = vectorised.unwrapped.envs[0].unwrapped
        episode = SingleAgentEpisode(
            observation_space=env.observation_space, action_space=env.action_space
        )
        seen, info = env.reset(seed=self._seed)
        episode.add_env_reset(observation=seen, infos=info)
        module: Any = self.module
        # Once for all: the module changes its mode around every forward unless it is this one.
        module.eval()
        while not episode.is_done:
            action, outputs = _act(module, seen, explore=explore)
            seen, reward, terminated, truncated, info = env.step(action)
            episode.add_env_step(
                observation=seen,
                action=action,
                reward=reward,
                infos=info,
                terminated=terminated,
                truncated=truncated,
                extra_model_outputs=outputs,
            )
        return episode.to_numpy()


def _act(module: Any, seen: dict[str, Any], *, explore: bool) -> tuple[Any, dict[str, Any]]:
    """An action drawn by the module, or its likeliest, and what PPO asks for beside it."""
    batch = {Columns.OBS: {name: torch.from_numpy(rows)[None] for name, rows in seen.items()}}
    forward = module.forward_exploration if explore else module.forward_inference
    logits_BK = forward(batch)[Columns.ACTION_DIST_INPUTS]
    chances = module.get_exploration_action_dist_cls().from_logits(logits_BK)
    chosen_from = chances if explore else chances.to_deterministic()
    action_B = chosen_from.sample()
    outputs = {
        Columns.ACTION_DIST_INPUTS: logits_BK[0].numpy(),
        Columns.ACTION_LOGP: chosen_from.logp(action_B)[0].numpy(),
    }
    return action_B[0].numpy(), outputs


def train_once(
    algorithm: Any, iteration: int, *, seed: int, kl_to_floor: float
) -> dict[str, float]:
    """One iteration: a function of the weights, the optimizer's state and the arguments.

    Returns its `num_decisions`, `mean_return`, `kl_to_floor`, `entropy`, `outcome_loss` and
    `explained_variance` of the critic.
    """

    def begin(runner: Any) -> None:
        _seed_everything(seed, iteration, runner.worker_index)
        runner.env.unwrapped.call("begin", iteration)

    def weigh(learner: Any) -> None:
        learner.kl_weight = kl_to_floor

    group = algorithm.env_runner_group
    _seed_everything(seed, iteration, 0)
    group.foreach_env_runner(begin, local_env_runner=not group.num_remote_workers())
    algorithm.learner_group.foreach_learner(weigh)
    results = algorithm.train()
    runners, learner = results["env_runners"], results["learners"][DEFAULT_MODULE_ID]
    return {
        "num_decisions": float(runners["num_env_steps_sampled"]),
        "mean_return": float(runners["episode_return_mean"]),
        KL_TO_FLOOR: float(learner[KL_TO_FLOOR]),
        "entropy": float(learner["entropy"]),
        "outcome_loss": float(learner["outcome_loss"]),
        "explained_variance": float(learner["vf_explained_var"]),
    }


def stop(algorithm: Any) -> None:
    """Stops RLlib and removes the folder for logs that it always makes."""
    algorithm.stop()
    shutil.rmtree(algorithm.logdir, ignore_errors=True)


def weights_of(algorithm: Any) -> dict[str, torch.Tensor]:
    """The policy that the algorithm has learned, for the softened prior."""
    return from_module_state(algorithm.get_module(DEFAULT_MODULE_ID).get_state())


def sharpened(weights: Weights, temperature: float) -> dict[str, torch.Tensor]:
    """Weights learned under prior / temperature, for the prior itself: the residual scaled up."""
    return {
        name: tensor * temperature if name.startswith("residual.") else tensor
        for name, tensor in weights.items()
    }


def _seed_everything(seed: int, iteration: int, worker: int) -> None:
    """RLlib draws actions and minibatches from the global generators."""
    drawn = np.random.SeedSequence([seed, iteration, worker]).generate_state(1)
    np.random.seed(int(drawn[0]))  # noqa: NPY002  # the generator that RLlib draws from
    torch.manual_seed(int(drawn[0]))
