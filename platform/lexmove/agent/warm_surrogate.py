"""The warm surrogate: a study's own processes, and beside them those of earlier studies.

Ranking-weighted ensemble of Gaussian processes (Feurer, Letham, Hutter and Bakshy 2018, "Practical
transfer learning for Bayesian optimization", arXiv 1802.02219): every process counts for how often
it ranks the trials of this study best, its own by leaving one out.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.belief import rank_correlation
from lexmove.agent.encoding import Array, Encoding
from lexmove.agent.history import History, read_history
from lexmove.agent.portfolio import has_past
from lexmove.agent.surrogate import Prediction, Surrogate
from lexmove.study.past import PastResults
from lexmove.study.study import Study

_NUM_RESAMPLES = 64
_MAX_RANKED = 96
"""Trials that the weights look at, the latest: their number squares the work."""

_FIRST_SHARE = 0.7
"""Of earlier studies together, while fewer than two trials can be ranked."""

_COUNTS_FOR = 10.0
"""After so many results earlier studies fade: together they count for 10 / n at most."""

_MIN_WEIGHT = 0.02

_MIN_RANKED = 4
"""Trials with different scores before it is said whether earlier studies agree with this one."""


def surrogate_of(study: Study, encoding: Encoding) -> Surrogate:
    """What a study says, and earlier ones beside it unless the starts that they gave mislead."""
    history = read_history(study, encoding)
    if has_past(study):
        return WarmSurrogate(history, encoding, study.spec.past)
    return Surrogate(history, encoding)


class WarmSurrogate(Surrogate):
    """A surrogate whose predictions at full fidelity are also those of earlier studies.

    Means are averaged by weight, variances too, each process in the standardised units of its own
    study. `targets`, `trust`, `noise` and `length_scales` are the study's own.
    """

    def __init__(self, history: History, encoding: Encoding, past: Sequence[PastResults]) -> None:
        super().__init__(history, encoding)
        told = [_Earlier(results, encoding) for results in past]
        ranked = _last_rows(history.trial_ids[self.scored])[-_MAX_RANKED:]
        targets = self.targets[0][ranked]
        weights = _by_likeness(past)
        if len(targets) > 1 and not np.ptp(targets):
            # With results that are all the same, as at chance, nothing agrees.
            self.agreement = 0.0
        elif told and len(targets) > 1:
            units = history.units[self.scored[ranked]]
            says = [earlier.predict(units).means[0] for earlier in told]
            weights = _by_ranks(says, self.leave_one_out()[ranked], targets, history.num_scored)
            if len(targets) >= _MIN_RANKED:
                self.agreement = rank_correlation(np.mean(says, axis=0), targets) or 0.0
        self._earlier = [
            (float(weight), earlier.beside(history.pending))
            for weight, earlier in zip(weights, told, strict=True)
            if weight >= _MIN_WEIGHT
        ]
        self.own_weight = 1.0 - sum(weight for weight, _ in self._earlier)
        """What the study's own processes count for, in [0, 1]."""
        self._best = self._find_best()

    @property
    def best(self) -> Array:
        """The best of what all processes say of the trials, the own ones by their targets, (2,)."""
        return self._best

    def _find_best(self) -> Array:
        if not self._earlier or not self.targets.size:
            return super().best
        means = self.own_weight * self.targets
        for weight, earlier in self._earlier:
            means = means + weight * earlier.predict(self.history.units[self.scored]).means
        best: Array = means.max(axis=1)
        return best

    def predict(self, units_MD: Array, places_M: Array) -> Prediction:
        """As the base class; at full fidelity from all processes."""
        own = super().predict(units_MD, places_M)
        is_end = places_M >= 1.0
        if not self._earlier or not is_end.any():
            return own
        means, variances = self.own_weight * own.means, self.own_weight * own.stds**2
        for weight, earlier in self._earlier:
            said = earlier.predict(units_MD)
            means, variances = means + weight * said.means, variances + weight * said.stds**2
        return self._told(
            np.where(is_end, means, own.means), np.where(is_end, np.sqrt(variances), own.stds)
        )


class _Earlier:
    """The surrogate of one earlier study, asked in the new one's space.

    Points are asked about with the defaults where the study knows nothing. `pending` (P, D) are
    what runs in the new study: the uncertainty around it shrinks, as in the study's own.
    """

    def __init__(
        self, results: PastResults, encoding: Encoding, pending: Array | None = None
    ) -> None:
        self._results, self._encoding = results, encoding
        self._is_known = np.array([item.name in results.known for item in encoding.space.searched])
        if pending is None or not len(pending):
            self._surrogate = _surrogate_of(results, encoding)
        else:
            self._surrogate = Surrogate(_history_of(results, self._asked(pending)), encoding)

    def beside(self, pending_PD: Array) -> "_Earlier":
        """The same while these points run."""
        return _Earlier(self._results, self._encoding, pending_PD) if len(pending_PD) else self

    def predict(self, units_MD: Array) -> Prediction:
        return self._surrogate.predict(self._asked(units_MD), np.ones(len(units_MD)))

    def _asked(self, units_MD: Array) -> Array:
        asked: Array = np.where(self._is_known, units_MD, self._encoding.default)
        return asked


@lru_cache(maxsize=32)
def _surrogate_of(results: PastResults, encoding: Encoding) -> Surrogate:
    return Surrogate(_history_of(results, np.empty((0, encoding.num_dims))), encoding)


def _history_of(results: PastResults, pending_PD: Array) -> History:
    units, scores = np.array(results.units), np.array(results.scores)
    num = len(scores)
    return History(
        units=units,
        scores=scores,
        measured=scores,
        fidelity=np.ones(num),
        trial_ids=np.arange(num),
        failed=np.zeros(num, dtype=bool),
        pending=pending_PD,
        tried=units,
        num_scored=num,
        incumbent=float(scores.max()),
        paces=np.full(num, np.nan),
    )


def _by_likeness(past: Sequence[PastResults]) -> Array:
    """How much each earlier study counts before any trial: as much as it is alike."""
    alike = np.array([results.weight for results in past])
    return _FIRST_SHARE * alike.max() * alike / alike.sum() if len(alike) else alike


def _by_ranks(says: Sequence[Array], own: Array, targets: Array, num_scored: int) -> Array:
    """How much each earlier study counts, (S,); what is left to 1 is the study's own.

    Of 64 resamples of the trials, the share in which a process misranks the fewest pairs. The own
    one wins ties, equal earlier ones share them; and all earlier ones fade.
    """
    num_trials = len(targets)
    # What is equal but for rounding, as far from all data, must rank alike in every process.
    says = [np.round(said, 9) for said in (*says, own)]
    rng = np.random.default_rng(num_trials)
    evenly = np.full(num_trials, 1 / num_trials)
    drawn: Array = rng.multinomial(num_trials, evenly, _NUM_RESAMPLES).astype(float)
    losses = np.stack([_misranked(said, targets, drawn) for said in says], axis=1)
    is_least = losses == losses.min(axis=1, keepdims=True)
    is_least[is_least[:, -1], :-1] = False
    shares = is_least / is_least.sum(axis=1, keepdims=True)
    counts = shares.mean(axis=0)[:-1]
    most = min(1.0, _COUNTS_FOR / num_scored)
    weights: Array = counts * most / max(most, counts.sum())
    return weights


def _last_rows(trial_ids_N: NDArray[np.int_]) -> NDArray[np.int_]:
    """The last row of each trial, ascending: the one at its highest fidelity."""
    _, from_the_end = np.unique(trial_ids_N[::-1], return_index=True)
    return np.sort(len(trial_ids_N) - 1 - from_the_end)


def _misranked(said_N: Array, truth_N: Array, counts_BN: Array) -> Array:
    """Pairs in the wrong order, (B,), each trial as often as it was drawn."""
    is_apart = truth_N[:, None] != truth_N
    is_wrong = ((said_N[:, None] < said_N) != (truth_N[:, None] < truth_N)) & is_apart
    wrong: Array = ((counts_BN @ is_wrong.astype(float)) * counts_BN).sum(axis=1)
    return wrong
