"""Decisions: a chosen candidate with everything the move log wants to know about it."""

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.observation import Observation
from lexmove.study.trial import Decision, RunnerUp, Suggestion

NUM_RUNNERS_UP = 3


def log_softmax(logits_K: NDArray[np.floating], mask_K: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-probabilities (K,) of the selectable candidates; −inf where masked."""
    logits = np.where(mask_K, logits_K.astype(np.float64), -np.inf)
    shifted = logits - logits.max()
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return normalised


def suggest(
    observation: Observation,
    log_probabilities_K: NDArray[np.float64],
    action: int,
    *,
    proposer: str,
    lane: int,
    policy_version: str | None = None,
) -> Suggestion:
    """The suggestion of one candidate; `expert` is "policy" where it departs from the prior."""
    candidate = observation.candidates[action]
    prior = np.where(observation.mask, observation.prior_logits, -np.inf)
    likeliest = np.argsort(-log_probabilities_K, kind="stable")
    others = [int(i) for i in likeliest if i != action and observation.mask[i]][:NUM_RUNNERS_UP]
    decision = Decision(
        proposer=proposer,
        expert=candidate.expert if action == int(np.argmax(prior)) else "policy",
        text=candidate.text,
        move=candidate.move,
        action=action,
        log_probability=float(log_probabilities_K[action]),
        runners_up=tuple(
            RunnerUp(
                text=observation.candidates[i].text,
                probability=float(np.exp(log_probabilities_K[i])),
            )
            for i in others
        ),
        predicted_gain=candidate.predicted_gain,
        predicted_gain_std=candidate.predicted_gain_std,
        policy_version=policy_version,
        lane=lane,
    )
    return candidate.to_suggestion(decision)
