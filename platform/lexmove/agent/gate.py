"""The gate: how much the policy may depart from the floor, judged by what its departures brought.

A decision is drawn from a mixture of the policy and the floor. The weights are a function of the
study: of the ranks of the trials that either of them chose. See "Gate and kill switch" in this
package's README.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import rankdata

from lexmove.agent.ledger import Ledger
from lexmove.study.study import Study

MAX_SHARE = 0.8
"""Share of the policy while nothing speaks against it: the floor's is what it is compared with."""

MIN_DEPARTURES = 6
"""Departures that must have ended before the policy can be switched off."""

KILL_Z = -2.5
"""It is switched off below this many standard errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Where the policy stands in a study.

    `share` in [0, `MAX_SHARE`] is the probability that the policy decides and not the floor; 0
    once it has been switched off. `z` is the difference of mean ranks of departures and of the
    floor's choices, in standard errors; positive speaks for the policy.
    """

    share: float
    z: float

    def mixed(
        self, policy_K: NDArray[np.float64], floor_K: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Log-probabilities (K,) of the mixture of both."""
        if not self.share or np.array_equal(policy_K, floor_K):
            return floor_K
        if self.share == 1.0:
            return policy_K
        log_shares = math.log(self.share), math.log1p(-self.share)
        mixed: NDArray[np.float64] = np.logaddexp(policy_K + log_shares[0], floor_K + log_shares[1])
        return mixed


def gate_of(study: Study) -> Gate:
    """The gate before the next decision; a function of the study alone.

    The rank-sum statistic (Wilcoxon 1945) of the best scores of all ended trials that either
    expert chose, failures last. The share is `MAX_SHARE` times its two-sided p-value where it
    speaks against the policy. From `MIN_DEPARTURES` departures on, a statistic below `KILL_Z`
    switches the policy off for the rest of the study: its decisions bear no policy version from
    then on, which is how it is remembered.
    """
    ledger = Ledger.of(study)
    departures, floors = ledger.departures_and_floors
    z = _rank_sum(departures, floors)
    is_bad = len(departures) >= MIN_DEPARTURES and z < KILL_Z
    if is_bad or ledger.is_switched_off:
        return Gate(share=0.0, z=z)
    return Gate(share=MAX_SHARE * min(1.0, 2.0 * float(ndtr(z))), z=z)


def _rank_sum(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Difference of mean ranks in standard errors, ties at their middle; 0 with an empty side."""
    if not len(ours) or not len(theirs):
        return 0.0
    num = len(ours) + len(theirs)
    ranks = rankdata(np.concatenate([ours, theirs]))
    difference = ranks[: len(ours)].mean() - ranks[len(ours) :].mean()
    variance = num * (num + 1) / 12.0 * (1.0 / len(ours) + 1.0 / len(theirs))
    return float(difference / math.sqrt(variance))
