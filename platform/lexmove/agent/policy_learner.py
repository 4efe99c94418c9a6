"""The learner: RLlib's `LearnerGroup` with PPO's loss around one policy, without an environment."""

import copy
from typing import Any

import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from lexmove.agent.rl_module import (
    Weights,
    action_space,
    assert_same_weights,
    from_module_state,
    module_spec,
    observation_space,
    quiet_rllib,
    to_module_state,
)


class PolicyLearner:
    """A local RLlib `LearnerGroup` around one policy, without an environment.

    Args:
        weights: where to start.
        learning_rate: Adam's.
        seed: of everything random in RLlib's learner.
    """

    def __init__(self, weights: Weights, *, learning_rate: float, seed: int) -> None:
        config = (
            PPOConfig()  # type: ignore[no-untyped-call]  # ray is typed in part only
            .learners(num_learners=0, num_gpus_per_learner=0)
            .training(
                lr=learning_rate,
                gamma=0.9,
                lambda_=0.95,
                clip_param=0.15,
                # The critic shares the trunk, and a job's few rewards teach it little.
                vf_loss_coeff=0.1,
                entropy_coeff=0.0,
                # `learn` bounds the divergence itself.
                use_kl_loss=False,
                num_epochs=1,
                minibatch_size=None,
            )
            .rl_module(rl_module_spec=module_spec())
            .debugging(seed=seed)
        )
        with quiet_rllib():
            self._group: LearnerGroup = config.build_learner_group(
                spaces={DEFAULT_MODULE_ID: (observation_space(), action_space())}
            )
        self.weights = weights

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The policy's weights, a copy."""
        return from_module_state(self._module_state())

    @weights.setter
    def weights(self, weights: Weights) -> None:
        state = {COMPONENT_RL_MODULE: {DEFAULT_MODULE_ID: to_module_state(weights)}}
        self._group.set_state({COMPONENT_LEARNER: state})
        assert_same_weights(self._module_state(), weights)

    def step(self, lanes: list[SingleAgentEpisode]) -> float:
        """One gradient step on all transitions of `lanes`; returns the loss before the step."""
        # RLlib lengthens the episodes that it is given.
        (results,) = self._group.update(episodes=[copy.deepcopy(lane) for lane in lanes])
        return float(_plain(results[DEFAULT_MODULE_ID]["total_loss"]))

    def _module_state(self) -> dict[str, Any]:
        state = self._group.get_state(components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}")
        module: dict[str, Any] = state[COMPONENT_LEARNER][COMPONENT_RL_MODULE][DEFAULT_MODULE_ID]
        return module


def _plain(value: Any) -> float:
    """A number out of RLlib's statistics, which may still hold it wrapped."""
    return float(value.peek() if hasattr(value, "peek") else value)
