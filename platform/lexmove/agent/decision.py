"""Decisions: a chosen candidate with everything the move log wants to know about it."""

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.ledger import DEPARTURE
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
    gain_std_factor: float,
    departs: bool = False,
    policy_version: str | None = None,
) -> Suggestion:
    """The suggestion of one candidate; `expert` is "policy" where it `departs` from the floor.

    `gain_std_factor` widens the surrogate's standard deviation of the gain (`calibration`).
    """
    candidate = observation.candidates[action]
    gain_std = candidate.predicted_gain_std
    likeliest = np.argsort(-log_probabilities_K, kind="stable")
    others = [int(i) for i in likeliest if i != action and observation.mask[i]][:NUM_RUNNERS_UP]
    decision = Decision(
        proposer=proposer,
        expert=DEPARTURE if departs else candidate.expert,
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
        predicted_gain_std=None if gain_std is None else gain_std_factor * gain_std,
        policy_version=policy_version,
        lane=lane,
    )
    return candidate.to_suggestion(decision)
