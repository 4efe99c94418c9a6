"""The agent as a proposer: observe, ask the policy, choose, say why."""

import numpy as np
import torch
from numpy.typing import NDArray

from lexmove.agent.calibration import gain_std_factor
from lexmove.agent.decision import log_softmax, suggest
from lexmove.agent.gate import Gate, gate_of
from lexmove.agent.observation import Observation, observe
from lexmove.agent.policy import PointerPolicy, weights_hash
from lexmove.study.study import Study
from lexmove.study.trial import Suggestion

Array = NDArray[np.float64]

_LOG_DEPARTURE = float(np.log(2.0))
"""A draw is the policy's own if it has made it this much likelier (in logarithm) than the floor."""


_UNGATED = Gate(share=1.0, z=0.0)


class PolicyProposer:
    """Decides by the pointer policy.

    Args:
        weights: the policy; untrained (and so equal to the floor) without one.
        sample: draw from the policy's probabilities instead of taking the likeliest candidate.
        gated: let the floor decide as often as the policy's record in the study demands
            (`gate`); an untrained policy decides alike with and without.
    """

    def __init__(
        self, weights: PointerPolicy | None = None, *, sample: bool = False, gated: bool = False
    ) -> None:
        self._policy = PointerPolicy.untrained() if weights is None else weights
        self._policy.eval()
        self._sample = sample
        self._gated = gated
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
        """The policy's choice, or the floor's by the gate; None when nothing can be done now."""
        observation = observe(study, rng)
        if not observation.mask.any():
            return None
        floor_K = log_softmax(observation.prior_logits, observation.mask)
        policy_K = log_softmax(policy_logits(self._policy, observation), observation.mask)
        gate = gate_of(study) if self._gated else _UNGATED
        by_policy = self._lets_through(gate, policy_K, floor_K, rng)
        action = self._choose(policy_K if by_policy else floor_K, rng)
        return suggest(
            observation,
            gate.mixed(policy_K, floor_K),
            action,
            proposer=self.name,
            lane=lane,
            gain_std_factor=gain_std_factor(study),
            departs=by_policy and self._departs(policy_K, floor_K, action),
            policy_version=self._version if gate.share else None,
        )

    def _lets_through(
        self, gate: Gate, policy_K: Array, floor_K: Array, rng: np.random.Generator
    ) -> bool:
        """Whether the policy decides; nothing is drawn where it makes no difference."""
        if gate.share in (0.0, 1.0) or np.array_equal(policy_K, floor_K):
            return bool(gate.share)
        return bool(rng.random() < gate.share)

    def _choose(self, log_probabilities_K: Array, rng: np.random.Generator) -> int:
        if self._sample:
            return int(rng.choice(len(log_probabilities_K), p=np.exp(log_probabilities_K)))
        return int(np.argmax(log_probabilities_K))

    def _departs(self, policy_K: Array, floor_K: Array, action: int) -> bool:
        """Whether the floor would not have chosen so, or only much more rarely."""
        if action == int(np.argmax(floor_K)):
            return False
        return not self._sample or bool(policy_K[action] - floor_K[action] > _LOG_DEPARTURE)


def policy_logits(policy: PointerPolicy, observation: Observation) -> np.ndarray:
    """Logits (K,) of one observation, float32."""
    arrays = {name: torch.from_numpy(rows)[None] for name, rows in observation.arrays().items()}
    with torch.inference_mode():
        logits_BK = policy.logits(
            arrays["features"], arrays["globals"], arrays["mask"], arrays["prior_logits"]
        )
    logits: np.ndarray = logits_BK[0].numpy()
    return logits
