"""The agent as a proposer: observe, ask the policy, choose, say why."""

import numpy as np
import torch

from lexmove.agent.decision import log_softmax, suggest
from lexmove.agent.observation import Observation, observe
from lexmove.agent.policy import PointerPolicy, weights_hash
from lexmove.study.study import Study
from lexmove.study.trial import Suggestion


class PolicyProposer:
    """Decides by the pointer policy.

    Args:
        weights: the policy; untrained (and so equal to the floor) without one.
        sample: draw from the policy's probabilities instead of taking the likeliest candidate.
    """

    def __init__(self, weights: PointerPolicy | None = None, *, sample: bool = False) -> None:
        self._policy = PointerPolicy.untrained() if weights is None else weights
        self._policy.eval()
        self._sample = sample
        self._version = weights_hash(self._policy.state_dict())

    @property
    def name(self) -> str:
        """What the move log calls it."""
        return "policy"

    @property
    def policy_version(self) -> str:
        """Hash of the weights."""
        return self._version

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """The policy's choice; None when nothing can be done now."""
        observation = observe(study, rng)
        if not observation.mask.any():
            return None
        log_probabilities = log_softmax(policy_logits(self._policy, observation), observation.mask)
        if self._sample:
            action = int(rng.choice(len(log_probabilities), p=np.exp(log_probabilities)))
        else:
            action = int(np.argmax(log_probabilities))
        return suggest(
            observation,
            log_probabilities,
            action,
            proposer=self.name,
            lane=lane,
            policy_version=self._version,
        )


def policy_logits(policy: PointerPolicy, observation: Observation) -> np.ndarray:
    """Logits (K,) of one observation, float32."""
    arrays = {name: torch.from_numpy(rows)[None] for name, rows in observation.arrays().items()}
    with torch.inference_mode():
        logits_BK, _ = policy(
            arrays["features"], arrays["globals"], arrays["mask"], arrays["prior_logits"]
        )
    logits: np.ndarray = logits_BK[0].numpy()
    return logits
