"""The floor: the classical rule alone, which the untrained policy equals decision for decision."""

import numpy as np

from lexmove.agent.calibration import gain_std_factor
from lexmove.agent.decision import log_softmax, suggest
from lexmove.agent.observation import observe
from lexmove.study.study import Study
from lexmove.study.trial import Suggestion


class FloorProposer:
    """EI and UCB alternating over candidate moves; continues by the study's `promotion`."""

    @property
    def name(self) -> str:
        """What the move log calls it."""
        return "floor"

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """The candidate with the highest prior; None when nothing can be done now."""
        observation = observe(study, rng)
        if not observation.mask.any():
            return None
        log_probabilities = log_softmax(observation.prior_logits, observation.mask)
        action = int(np.argmax(log_probabilities))
        return suggest(
            observation,
            log_probabilities,
            action,
            proposer=self.name,
            lane=lane,
            gain_std_factor=gain_std_factor(study),
        )
