"""Memory across jobs: from past studies the few configs that a new one had best begin with.

Greedy portfolio selection (Wistuba, Schilling and Schmidt-Thieme 2015, "Sequential model-free
hyperparameter tuning"; Feurer et al. 2022, "Auto-sklearn 2.0", section 3): each next config is
the one that most lowers the mean, over past studies, of the regret of the best config chosen so
far. Past studies measured different configs, so each study's own surrogate says what any of them
would have reached there. Two departures: the space's default counts as chosen from the start, and
the mean goes over disturbed copies of every study, because the new task is like the past ones but
none of them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Self

import numpy as np

from lexmove.agent.encoding import Array, Encoding, Mask, nearest
from lexmove.agent.gaussian_process import thinned
from lexmove.agent.history import read_history
from lexmove.agent.surrogate import Surrogate, clipped
from lexmove.errors import InvalidConfigError
from lexmove.space.search_space import Config, SearchSpace
from lexmove.space.translation import translate
from lexmove.study.past import PastResults
from lexmove.study.scoring import Incumbent
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Decision, Ended, Event, Measured, Measurement, Started, TrialStatus

MAX_STARTS = 4
"""Configs that a portfolio holds at most, without the default."""

MIN_SCORED = 8
"""A study with fewer measured trials teaches nothing."""

MIN_SHARED = 0.5
"""Share of the new space's searched hyperparameters that a past study must have varied."""

MAX_STUDIES = 16
"""Past studies that are looked into, those of the greatest weight first."""

MAX_PAST = 8
"""Past studies whose results a new one keeps."""

MAX_EXCESS = 0.2
"""A value may lie this far outside a range (unit ranges): clipped there, too far beyond."""

_KEPT_DROP = 10_000.0
"""A score further below a study's best than this many gaps between best and median is kept as if
that far: it would take the digits from what tells the others apart."""

_CANDIDATES_EACH = 24
_NUM_REFERENCES = 64
_MIN_DISTANCE = 0.02
_NUM_COPIES = 16
_DISTURBANCE = 0.2
"""Standard deviation between tasks, in units of a study's gap between best and median config."""

_MIN_GAIN = 0.01
"""A config that lowers the mean regret by less is not worth a trial."""

_NUM_FEATURES = 64


@dataclass(frozen=True, kw_only=True)
class PastStudy:
    """A study to learn from. `weight` > 0 says how much it counts beside the others."""

    study: Study
    weight: float = 1.0

    @classmethod
    def from_study(cls, study: Study, *, weight: float = 1.0) -> Self:
        """A study as it is, finished or not."""
        return cls(study=study, weight=weight)

    @classmethod
    def from_results(
        cls,
        name: str,
        space: SearchSpace,
        results: Iterable[tuple[Config, float]],
        *,
        metric: str = "value",
        weight: float = 1.0,
    ) -> Self:
        """A table's rows, configs with their values at full fidelity, higher better."""
        events: list[Event] = []
        for trial_id, (config, value) in enumerate(results):
            events += _completed(len(events), trial_id, config, {metric: value})
        spec = StudySpec(name=name, space=space, metric=metric)
        return cls(study=Study.from_events(spec, events), weight=weight)

    @property
    def name(self) -> str:
        """The study's."""
        return self.study.spec.name

    @property
    def space(self) -> SearchSpace:
        """What was searched."""
        return self.study.spec.space

    @cached_property
    def num_scored(self) -> int:
        """How many trials have a result."""
        return len(self.study.ranking)


def _completed(
    seq: int, trial_id: int, config: Config, metrics: dict[str, float]
) -> tuple[Event, ...]:
    return (
        Started(
            seq=seq,
            at_s=0.0,
            trial_id=trial_id,
            config=dict(config),
            until=1,
            seed=0,
            decision=Decision(proposer="table"),
        ),
        Measured(
            seq=seq + 1,
            at_s=0.0,
            trial_id=trial_id,
            measurement=Measurement(fidelity=1, metrics=metrics),
        ),
        Ended(seq=seq + 2, at_s=0.0, trial_id=trial_id, status=TrialStatus.COMPLETED),
    )


def why_unfit(past: PastStudy, space: SearchSpace) -> str | None:
    """Why a past study teaches nothing about `space`, in words; None if it does."""
    if past.num_scored < MIN_SCORED:
        return f"{past.num_scored} measured trials, {MIN_SCORED} are needed"
    if not shares_enough(past.space, space):
        shared = _shared(past.space, space)
        num = f"{shared} of {len(space.searched)} hyperparameters in common"
        return f"{num}, {_num_needed(space)} {'is' if _num_needed(space) == 1 else 'are'} needed"
    if not all(past.space.is_valid(trial.config) for trial in past.study.trials):
        return "it holds configs that its own search space does not allow"
    return None


def shares_enough(past: SearchSpace, space: SearchSpace) -> bool:
    """Whether what was found in one space may say something about another."""
    return _shared(past, space) >= _num_needed(space)


def _num_needed(space: SearchSpace) -> int:
    """How many of a space's hyperparameters a past study must have searched, too."""
    return max(1, math.ceil(MIN_SHARED * len(space.searched)))


def _shared(past: SearchSpace, space: SearchSpace) -> int:
    """How many hyperparameters both spaces search."""
    varied = {item.name for item in past.searched}
    return sum(item.name in varied for item in space.searched)


def learn_portfolio(
    studies: Sequence[PastStudy], space: SearchSpace, size: int = MAX_STARTS
) -> tuple[PlannedStart, ...]:
    """The configs of `space` to begin with, in order, after its default.

    Args:
        studies: what was done before; unfit ones (`why_unfit`) are passed over.
        space: of the new study.
        size: how many at most; fewer where further ones promise nothing more.

    Returns:
        Valid configs of `space` that no past study failed on, each near a trial of a past study.
    """
    fit = _fit(studies, space)[:MAX_STUDIES]
    candidates = _candidates(fit, space)
    if not candidates or size < 1:
        return ()
    rng = np.random.default_rng(0)
    configs = [space.default, *(start.config for start in candidates)]
    try:
        references = [space.sample(rng) for _ in range(_NUM_REFERENCES)]
    except InvalidConfigError:  # nearly all is forbidden: what was tried stands for what there is
        references = configs
    regrets = [_regrets(past, space, configs, references, rng) for past in fit]
    weights = np.repeat([past.weight for past in fit], _NUM_COPIES)
    chosen = _greedy(np.concatenate(regrets), weights / weights.sum(), size=size)
    return tuple(candidates[index - 1] for index in chosen)


def past_results(studies: Sequence[PastStudy], space: SearchSpace) -> tuple[PastResults, ...]:
    """What earlier studies found, as points of `space`, for a study to keep beside its own trials.

    Of a study at most 64 trials, the best half and an even spread of the rest. One that stopped
    early counts with what the study's surrogate expected of its end.

    Args:
        studies: what was done before; unfit ones (`why_unfit`) are passed over.
        space: of the new study.

    Returns:
        At most `MAX_PAST` results, those of the greatest weight first.
    """
    found = (_results(past, space) for past in _fit(studies, space))
    return tuple(islice((results for results in found if results is not None), MAX_PAST))


def _fit(studies: Sequence[PastStudy], space: SearchSpace) -> list[PastStudy]:
    """Those that teach something about `space`, the greatest weight first."""
    fit = [past for past in studies if why_unfit(past, space) is None]
    return sorted(fit, key=lambda past: -past.weight)


def _results(past: PastStudy, space: SearchSpace) -> PastResults | None:
    """One study's; None where too little has a place in `space`, or nothing made a difference."""
    reached = _ends(past.study)
    there = {trial_id: translate(past.study.trials[trial_id].config, space) for trial_id in reached}
    inside = [trial_id for trial_id, item in there.items() if item.excess <= MAX_EXCESS]
    scores = clipped(np.array([reached[trial_id] for trial_id in inside]), max_drop=_KEPT_DROP)
    if len(inside) < MIN_SCORED or not np.ptp(scores):
        return None
    kept = thinned(scores)
    units = Encoding(space).units([there[inside[row]].config for row in kept])
    standard = (scores[kept] - scores[kept].mean()) / scores[kept].std()
    varied = {item.name for item in past.space.searched}
    return PastResults(
        source=past.name,
        weight=past.weight,
        known=tuple(item.name for item in space.searched if item.name in varied),
        units=tuple(map(tuple, units.round(4).tolist())),
        scores=tuple(standard.round(5).tolist()),
    )


def _ends(study: Study) -> dict[int, float]:
    """What each measured trial reached, higher better, or was expected to reach at its end."""
    encoding = Encoding(study.spec.space)
    history = read_history(study, encoding)
    expected = Surrogate(history, encoding).predict(history.tried, np.ones(len(history.tried)))
    measured = np.flatnonzero(~history.failed)
    ends = {
        int(trial_id): float(expected.gains[trial_id] + history.incumbent)
        for trial_id in history.trial_ids[measured]
    }
    for row in measured[history.fidelity[measured] == 1.0]:
        ends[int(history.trial_ids[row])] = float(history.scores[row])
    return ends


def _candidates(studies: Sequence[PastStudy], space: SearchSpace) -> list[PlannedStart]:
    """The best trials of every study that have a place in `space`, no two alike."""
    encoding = Encoding(space)
    taken = encoding.units([space.default, *_failed(studies, space)])
    found: list[PlannedStart] = []
    for past in studies:
        own = 0
        for item in past.study.ranking:
            there = translate(past.study.trials[item.trial_id].config, space)
            units = encoding.units([there.config])
            is_new = nearest(units, taken)[0] > _MIN_DISTANCE
            if there.excess > MAX_EXCESS or not is_new or not space.is_valid(there.config):
                continue
            reason = _reason(past, item, is_exact=there.is_exact)
            found.append(PlannedStart(config=there.config, source=past.name, reason=reason))
            taken = np.concatenate([taken, units])
            own += 1
            if own == _CANDIDATES_EACH:
                break
    return found


def _reason(past: PastStudy, item: Incumbent, *, is_exact: bool) -> str:
    """`best of contracts (trial 17: f1_macro 0.81)`."""
    where = "best of" if item == past.study.incumbent else "from"
    value = f"trial {item.trial_id}: {past.study.spec.metric} {item.value:.3g}"
    return f"{where if is_exact else 'near one of'} {past.name} ({value})"


def _failed(studies: Sequence[PastStudy], space: SearchSpace) -> list[Config]:
    """What failed before, as configs of `space`."""
    statuses = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)
    return [
        translate(trial.config, space).config
        for past in studies
        for trial in past.study.with_status(*statuses)
    ]


def _regrets(
    past: PastStudy,
    space: SearchSpace,
    configs: Sequence[Config],
    references: Sequence[Config],
    rng: np.random.Generator,
) -> Array:
    """Normalised regret of M configs of `space` on C disturbed copies of a study, (C, M).

    0 is the best of the configs on that copy, 1 the median of the references. 1 has whatever is
    worse, too, and what the study knows nothing about.
    """
    encoding = Encoding(past.space)
    surrogate = Surrogate(read_history(past.study, encoding), encoding)
    units, knows = _places(encoding, [*configs, *references], space)
    heights = surrogate.predict(units, np.ones(len(units))).gains
    is_config = np.arange(len(units)) < len(configs)
    best = heights[knows & is_config].max(initial=-np.inf)
    median = np.median(heights[knows & ~is_config]) if (knows & ~is_config).any() else np.inf
    if best <= median:
        return np.ones((_NUM_COPIES, len(configs)))
    scaled = (heights - best) / (best - median)
    scaled = scaled + _DISTURBANCE * _smooth_noise(units / surrogate.length_scales, rng)
    top = np.where(knows & is_config, scaled, -np.inf).max(axis=1, keepdims=True)
    regrets: Array = np.where(knows, np.clip(top - scaled, 0.0, 1.0), 1.0)[:, is_config]
    return regrets


def _places(
    encoding: Encoding, configs: Sequence[Config], space: SearchSpace
) -> tuple[Array, Mask]:
    """Configs of `space` as points (N, D) of a past one, and whether they lie inside, (N,)."""
    if encoding.space == space:  # the usual case, and thirty times as fast
        return encoding.units(configs), np.ones(len(configs), dtype=bool)
    there = [translate(config, encoding.space) for config in configs]
    units = encoding.units([item.config for item in there])
    return units, np.array([item.excess <= MAX_EXCESS for item in there])


def _smooth_noise(points_ND: Array, rng: np.random.Generator) -> Array:
    """C draws from a Gaussian process with variance 1 and length-scale 1, (C, N).

    Random Fourier features (Rahimi and Recht 2007); Student-t frequencies with 5 degrees of
    freedom are those of Matérn-5/2.
    """
    frequencies = rng.standard_t(5, (points_ND.shape[1], _NUM_FEATURES))
    phases = rng.uniform(0, 2 * np.pi, _NUM_FEATURES)
    amplitudes = rng.standard_normal((_NUM_COPIES, _NUM_FEATURES)) * np.sqrt(2 / _NUM_FEATURES)
    noise: Array = amplitudes @ np.cos(points_ND @ frequencies + phases).T
    return noise


def _greedy(regrets_TM: Array, weights_T: Array, *, size: int) -> list[int]:
    """Columns that together leave the least mean regret over T tasks; column 0 is given."""
    best_T = regrets_TM[:, 0]
    chosen: list[int] = []
    while len(chosen) < size:
        gains = weights_T @ (best_T[:, None] - np.minimum(best_T[:, None], regrets_TM))
        index = int(np.argmax(gains))
        if gains[index] < _MIN_GAIN:
            break
        chosen.append(index)
        best_T = np.minimum(best_T, regrets_TM[:, index])
    return chosen
