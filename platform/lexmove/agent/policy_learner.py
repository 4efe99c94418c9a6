"""The learner: RLlib's `LearnerGroup` around one policy, without an environment.

PPO's loss moves the network, and what trials brought beside what was predicted its direction.
"""

import copy
from typing import Any

import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from lexmove.agent.lanes import SURPRISE
from lexmove.agent.observation import NET_STEP
from lexmove.agent.rl_module import (
    Weights,
    action_space,
    assert_same_weights,
    from_module_state,
    module_spec,
    network_parameters,
    observation_space,
    quiet_rllib,
    to_module_state,
)

SHARPNESS = 120.0
"""Logits for a standard deviation of all scores: "Which way to go" in this package's README."""

_PRIOR_STD = 0.3
"""How much of a standard deviation a unit range may bring before a job has told anything."""

_LEAST_VARIANCE = 0.01


class HindsightLearner(PPOTorchLearner):
    """PPO's loss for the network; for the policy's direction a natural policy gradient.

    The policy's logits are linear in the net step of a candidate, so that the natural gradient of
    the return by the direction is the slope of the least squares fit of the advantages to the net
    steps (Kakade 2001, "A natural policy gradient", theorem 1). The advantages are what trials
    brought beside the surrogate's prediction, and the slope is the posterior mean under a normal
    prior around 0, so that a few trials turn the policy a little only.
    """

    def get_parameters(self, module: Any) -> list[torch.nn.Parameter]:
        """Those that PPO's loss moves."""
        return network_parameters(module)

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Adam for the network; a whole step down its own quadratic loss for the direction."""
        module: Any = self.module[module_id]
        network = self.get_parameters(module)
        direction = module.policy.direction.requires_grad_()
        for name, optimizer, params, rate in (
            ("network", torch.optim.Adam(network), network, config.lr),
            ("direction", torch.optim.SGD([direction]), [direction], 1.0),
        ):
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=optimizer,
                params=params,
                lr_or_lr_schedule=rate,
            )

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> torch.Tensor:
        """RLlib's PPO loss plus half the squared distance of the direction from hindsight's."""
        loss: Any = super().compute_loss_for_module(
            module_id=module_id, config=config, batch=batch, fwd_out=fwd_out
        )
        actions_B = batch[Columns.ACTIONS].long()
        net_steps_BK = batch[Columns.OBS]["features"][..., NET_STEP]
        net_steps_B = net_steps_BK.gather(1, actions_B[:, None]).squeeze(1)
        surprises_B = batch[SURPRISE]
        known_B = surprises_B.isfinite() & batch[Columns.LOSS_MASK].bool()
        wanted = direction_in_hindsight(net_steps_B[known_B], surprises_B[known_B])
        module: Any = self.module[module_id]
        distance = (module.policy.direction - wanted).square().sum()
        total: torch.Tensor = loss + 0.5 * distance
        return total


def direction_in_hindsight(net_steps_N: torch.Tensor, surprises_N: torch.Tensor) -> float:
    """What N trials say of the direction, in logits per unit range; 0 if they say nothing.

    `SHARPNESS` times the posterior mean of the slope of `surprises_N`, in standard deviations of
    all scores, over `net_steps_N`, in unit ranges.
    """
    if len(surprises_N) < 2:
        return 0.0
    steps_N, surprises_N = net_steps_N - net_steps_N.mean(), surprises_N - surprises_N.mean()
    variance = float(surprises_N.square().mean().clamp(min=_LEAST_VARIANCE))
    precision = float(steps_N.square().sum()) + variance / _PRIOR_STD**2
    return SHARPNESS * float((steps_N * surprises_N).sum()) / precision


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
            .learners(num_learners=0, num_gpus_per_learner=0, learner_class=HindsightLearner)
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
