"""The learner of pre-training: RLlib's PPO loss, a pull to the floor, and auxiliary losses.

The module holds the policy and two heads that exist in training only: a critic that sees the
true regret, and an outcome head that ranks the candidates by what they would truly reach.
"""

from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor, nn

from lexmove.agent.observation import NUM_GLOBALS
from lexmove.agent.policy import MASKED_LOGIT, WIDTH
from lexmove.agent.rl_module import (
    PointerRLModule,
    action_space,
    network_parameters,
    observation_space,
)

_NUM_TRUE = 3
"""What the critic is told beside the globals: reached, best and mean potential in the slate."""

KL_TO_FLOOR = "kl_to_floor"
OUTCOME_LOSS = "outcome_loss"


class PretrainingRLModule(PointerRLModule):
    """The policy with a privileged critic and an outcome head beside it.

    The critic reads the study's globals and what the truth tells, and nothing of the policy's; a
    decision with nothing to choose is the end of a study and worth 0.
    """

    def setup(self) -> None:
        super().setup()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.critic = nn.Sequential(
                nn.Linear(NUM_GLOBALS + _NUM_TRUE, WIDTH),
                nn.Tanh(),
                nn.Linear(WIDTH, WIDTH),
                nn.Tanh(),
                nn.Linear(WIDTH, 1),
            )
            self.outcome = nn.Linear(WIDTH, 1)

    def _forward_train(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        observations = batch[Columns.OBS]
        tokens_BTd = self.policy.encode(
            observations["features"], observations["globals"], observations["mask"]
        )
        logits_BK, value_B = self.policy.read(
            tokens_BTd,
            observations["features"],
            observations["mask"],
            observations["prior_logits"],
        )
        return {
            Columns.ACTION_DIST_INPUTS: logits_BK,
            "own_value": value_B,
            "outcome": self.outcome(tokens_BTd[:, 1:]).squeeze(-1),
        }

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Values (B,) with the truth in view."""
        observations = batch[Columns.OBS]
        mask_BK, truth_BK = observations["mask"], observations["truth"]
        count_B = mask_BK.sum(-1)
        is_open_B = count_B > 0
        best_B = truth_BK.masked_fill(mask_BK < 0.5, -1.0).amax(-1)
        mean_B = (truth_BK * mask_BK).sum(-1) / count_B.clamp(min=1.0)
        seen = torch.cat(
            [
                observations["globals"],
                observations["reached"],
                torch.stack([best_B, mean_B], dim=-1),
            ],
            dim=-1,
        )
        value_B: Tensor = self.critic(seen).squeeze(-1) * is_open_B
        return value_B


class FloorPpoLearner(PPOTorchLearner):
    """PPO's loss and three terms more.

    - `kl_to_floor` × KL(π ‖ floor), with the floor's probabilities the softmax of the prior that
      every observation carries. The weight is set before every iteration.
    - `outcome_weight` × a cross-entropy between the outcome head's softmax over the candidates and
      that of their true potentials: every candidate of every decision teaches, tried or not.
    - `own_value_weight` × the squared error of the policy's own value head, which is served.
    """

    def build(self) -> None:
        super().build()
        settings = self.config.learner_config_dict
        self.kl_weight: float = settings["kl_to_floor"]
        self._outcome_weight: float = settings["outcome_weight"]
        self._own_value_weight: float = settings["own_value_weight"]

    def get_parameters(self, module: Any) -> list[nn.Parameter]:
        """All but the policy's direction, which only a job can tell."""
        return network_parameters(module)

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """RLlib's PPO loss plus the three terms, over the steps that count."""
        loss: Any = super().compute_loss_for_module(
            module_id=module_id, config=config, batch=batch, fwd_out=fwd_out
        )
        observations = batch[Columns.OBS]
        counts_B = (observations["mask"].sum(-1) > 0).float()
        if Columns.LOSS_MASK in batch:
            counts_B = counts_B * batch[Columns.LOSS_MASK].float()

        def mean(losses_B: Tensor) -> Tensor:
            total: Tensor = (losses_B * counts_B).sum() / counts_B.sum().clamp(min=1.0)
            return total

        divergence = mean(kl_to_floor(fwd_out[Columns.ACTION_DIST_INPUTS], observations))
        outcome = mean(outcome_loss(fwd_out["outcome"], observations))
        own = mean((fwd_out["own_value"] - batch[Postprocessing.VALUE_TARGETS]) ** 2)
        self.metrics.log_dict(
            {KL_TO_FLOOR: divergence.detach(), OUTCOME_LOSS: outcome.detach()},
            key=module_id,
            window=1,
        )
        total: Tensor = (
            loss
            + self.kl_weight * divergence
            + self._outcome_weight * outcome
            + self._own_value_weight * own
        )
        return total


def kl_to_floor(logits_BK: Tensor, observations: dict[str, Tensor]) -> Tensor:
    """KL(π ‖ floor) in nats, (B,), the floor softened as the observations are."""
    is_open = observations["mask"].bool()
    floor_BK = observations["prior_logits"].masked_fill(~is_open, MASKED_LOGIT).log_softmax(-1)
    own_BK = logits_BK.log_softmax(-1)
    divergence_B: Tensor = (own_BK.exp() * (own_BK - floor_BK)).sum(-1)
    return divergence_B


def outcome_loss(scores_BK: Tensor, observations: dict[str, Tensor]) -> Tensor:
    """Cross-entropy (B,) between softmax(scores) and softmax(2 × true potential)."""
    is_closed = ~observations["mask"].bool()
    target_BK = (2.0 * observations["truth"]).masked_fill(is_closed, MASKED_LOGIT).softmax(-1)
    log_BK = scores_BK.masked_fill(is_closed, MASKED_LOGIT).log_softmax(-1)
    loss_B: Tensor = -(target_BK * log_BK).sum(-1)
    return loss_B


def pretraining_module_spec() -> RLModuleSpec:
    """What RLlib needs to build the module; the policy's spaces are those of serving."""
    return RLModuleSpec(
        module_class=PretrainingRLModule,
        observation_space=observation_space(),
        action_space=action_space(),
    )
