"""A whole seeded study under frozen weights, decision by decision, against a golden file."""

from collections.abc import Callable

import torch

from agent.landscapes import MIXED, fine_tuning, finish, new_study, newest, rungs, start
from lexmove.agent.policy import PointerPolicy
from lexmove.agent.proposer import PolicyProposer
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Suggestion

NUM_TRIALS = 14


def frozen_policy() -> PointerPolicy:
    """Weights that follow from a formula and depart from the floor now and then."""
    policy = PointerPolicy.untrained()
    with torch.no_grad():
        width = policy.residual.weight.shape[1]
        policy.residual.weight.copy_(torch.linspace(-8.0, 8.0, width)[None])
    return policy


def line(study: Study, suggestion: Suggestion) -> str:
    """One decision in the digits that another processor's rounding leaves alone."""
    decision = suggestion.decision
    gain = "" if decision.predicted_gain is None else f"{decision.predicted_gain:+.2f}"
    return (
        f"{newest(study, suggestion)} to {suggestion.until} | {decision.expert} | "
        f"p {decision.probability:.2f} | {gain} | {decision.text}"
    )


def test_a_study_under_frozen_weights_goes_as_it_went(
    golden: Callable[[str, str], None],
) -> None:
    study = new_study(MIXED, num_trials=NUM_TRIALS, fidelity=rungs(), parallel=1, seed=7)
    proposer, lines = PolicyProposer(frozen_policy(), sample=True, gated=True), []
    while (suggestion := proposer.propose(study, decision_rng(study))) is not None:
        study = start(study, suggestion)
        lines.append(line(study, suggestion))
        trial_id = newest(study, suggestion)
        fails = trial_id % 6 == 4
        share = 0.5 + 0.5 * suggestion.until / study.spec.fidelity.maximum
        score = None if fails else share * fine_tuning(suggestion.config)
        study = finish(study, trial_id, score)
    assert study.incumbent is not None
    lines.append(f"incumbent {study.incumbent.trial_id} at {study.incumbent.fidelity}")
    golden("study_frozen_weights.txt", "\n".join(lines) + "\n")
