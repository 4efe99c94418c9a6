"""Continuing: which paused trials are worth more training, against starting another one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lexmove.agent.acquisition import log_expected_improvement
from lexmove.agent.encoding import Array
from lexmove.agent.ledger import DEPARTURE, START, Ledger
from lexmove.agent.portfolio import asks_first, has_memory, has_past
from lexmove.agent.surrogate import Prediction, Surrogate
from lexmove.study.allowance import affordable
from lexmove.study.fidelity import Fidelity, promotable
from lexmove.study.study import Study
from lexmove.study.trial import Trial

STD_FACTOR = 2.0
"""Standard deviations count this often: the surrogate trusts early epochs too much (README.md)."""

MAX_CONTINUED = 16
"""Paused trials on offer in one decision, the best of them."""

MAX_ASKED_PILOTS = 4
"""Of what the user asks for, so many are trained to the end before all else (README.md)."""

MAX_RECALLED_PILOTS = 10
"""While results of earlier studies say where to look, so many trials are trained to the end before
all else: what is known of them is worth more than what their first epochs tell (README.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """A paused trial that may go on `until` its next rung.

    `units` (D,) is its config. `score` is its gain per epoch (see `log_gain_per_epoch`), or minus
    its place in ASHA's order; comparable within one rule, `expert`, only. A pilot bears the expert
    of its start, and stands before all others.
    """

    trial: Trial
    units: Array
    until: Fidelity
    score: float
    expert: str

    @property
    def is_pilot(self) -> bool:
        """Whether it is trained to the end before all else."""
        return self.expert.startswith(START)


def pilot_of(study: Study) -> Trial | None:
    """A trial that is trained to the end before all else, while it waits at a rung; else None.

    What the user asks for, in turn and `MAX_ASKED_PILOTS` at most: the first in any case, a later
    one until it is the worst of them at a rung. Where nobody asks when the study begins: while
    results of earlier studies say where to look, the first `MAX_RECALLED_PILOTS` trials without
    the default; with a memory of starts alone, or by `gain_per_epoch`, its first start; without a
    memory the default. By `gain_per_epoch` a study whose allowance does not pay for it has none.
    """
    return next(
        (trial for trial in _pilots(study) if trial.is_paused and _may_go_on(study, trial)), None
    )


def _pilots(study: Study) -> Iterator[Trial]:
    # Told by what they are and not by the log: whatever decided, learning and serving see the same.
    ledger = Ledger.of(study)
    asked = [study.trials[trial_id] for trial_id in ledger.asked[:MAX_ASKED_PILOTS]]
    for index, trial in enumerate(asked):
        if not _is_worst(study, trial, among=asked[:index]):
            yield trial
    if asks_first(study):
        return
    if has_past(study) and study.spec.fidelity.promotion == "asha":
        recalled = (trial for trial in study.trials if trial.trial_id != ledger.default)
        yield from islice(recalled, MAX_RECALLED_PILOTS)
    elif has_memory(study):
        yield from (study.trials[trial_id] for trial_id in ledger.planned[:1])
    elif study.trials and study.trials[0].config == study.spec.space.default:
        yield study.trials[0]


def _is_worst(study: Study, trial: Trial, *, among: Sequence[Trial]) -> bool:
    """Whether all others that were measured where a trial stands now were better there."""
    reached = (study.score_at(other, trial.fidelity) for other in among)
    scores = [score for score in reached if score is not None]
    own = study.score_at(trial, trial.fidelity)
    return bool(scores) and (own is None or own < min(scores))


def _may_go_on(study: Study, trial: Trial) -> bool:
    is_free = study.spec.fidelity.promotion == "asha"
    return is_free or any(other.trial_id == trial.trial_id for other in affordable(study))


def _promoted(study: Study) -> tuple[Trial, ...]:
    """The paused trials that the floor may continue by `FidelityPlan.promotion`."""
    if study.spec.fidelity.promotion == "asha":
        return tuple(study.trials[trial_id] for trial_id in promotable(study))
    return affordable(study)


def has_options(study: Study) -> bool:
    """Whether anything may be started or continued, without looking for what; False is certain."""
    return bool(study.num_trials_left or _promoted(study) or pilot_of(study))


def choose_continuations(study: Study, surrogate: Surrogate) -> tuple[Continuation, ...]:
    """The paused trials that may go on now, the best first, at most `MAX_CONTINUED`.

    First a pilot, whose whole curve says what the early values of the others are worth. Then by
    the study's `FidelityPlan.promotion`: all that it can afford, by their gain per epoch; or those
    that ASHA promotes, in ASHA's order, and after them those that wait, which a trained policy
    alone would choose. Who waits is on offer beside something else only, so that a study ends when
    ASHA would end it.
    """
    pilot = pilot_of(study)
    ahead = () if pilot is None else (_as_pilot(study, surrogate, pilot),)
    known = {item.trial.trial_id for item in ahead}
    trials = [trial for trial in _promoted(study) if trial.trial_id not in known]
    if study.spec.fidelity.promotion == "gain_per_epoch":
        gains = _gains_per_epoch(study, surrogate, trials)
        found = _ordered(study, surrogate, trials, gains, expert="floor:gain_per_epoch")
        return (*ahead, *found)[:MAX_CONTINUED]
    places = -np.arange(len(trials), dtype=float)
    found = (*ahead, *_ordered(study, surrogate, trials, places, expert="asha"))
    if not has_options(study):
        return found
    chosen = {item.trial.trial_id for item in found}
    waiting = [trial for trial in affordable(study) if trial.trial_id not in chosen]
    gains = _gains_per_epoch(study, surrogate, waiting)
    return (*found, *_ordered(study, surrogate, waiting, gains, expert=DEPARTURE))[:MAX_CONTINUED]


def _as_pilot(study: Study, surrogate: Surrogate, trial: Trial) -> Continuation:
    ledger = Ledger.of(study)
    source = "memory" if has_memory(study) or has_past(study) else "default"
    source = "asked" if trial.trial_id in ledger.asked else source
    (pilot,) = _ordered(study, surrogate, [trial], np.zeros(1), expert=f"{START}{source}")
    return pilot


def _ordered(
    study: Study, surrogate: Surrogate, trials: Sequence[Trial], scores_N: Array, *, expert: str
) -> tuple[Continuation, ...]:
    return tuple(
        Continuation(
            trial=trials[index],
            units=surrogate.history.tried[trials[index].trial_id],
            until=study.spec.fidelity.next_rung(trials[index].fidelity),
            score=float(scores_N[index]),
            expert=expert,
        )
        for index in np.argsort(-scores_N, kind="stable")[:MAX_CONTINUED]
    )


def start_gain_per_epoch(study: Study, surrogate: Surrogate, units_D: Array) -> float:
    """The gain per epoch of starting a config, on the scale of a continuation's score.

    Where time counts it is the gain per second, as a continuation's is too.
    """
    maximum = study.spec.fidelity.maximum
    prediction = surrogate.predict(units_D[None], np.ones(1))
    gains = log_gain_per_epoch(prediction, surrogate.best, np.array([maximum]))
    return float((gains - surrogate.cost(units_D[None]))[0])


def _gains_per_epoch(study: Study, surrogate: Surrogate, trials: Sequence[Trial]) -> Array:
    if not trials:
        return np.empty(0)
    units = surrogate.history.tried[[trial.trial_id for trial in trials]]
    left = np.array([study.spec.fidelity.maximum - trial.fidelity for trial in trials])
    prediction = surrogate.predict(units, np.ones(len(units)))
    gains: Array = log_gain_per_epoch(prediction, surrogate.best, left) - surrogate.cost(units)
    return gains


def log_gain_per_epoch(prediction: Prediction, best: Array, epochs_M: Array) -> Array:
    """log(expected improvement at the end of training / epochs from here to there), (M,).

    A paused trial's own curve is among the surrogate's rows, so that its last value informs what
    is predicted of its end. The improvement is over the `best` target of each process (2,),
    averaged over both; `epochs_M` are what is left to train.
    """
    logs = log_expected_improvement(prediction.means, STD_FACTOR * prediction.stds, best[:, None])
    gains: Array = np.logaddexp(logs[0], logs[1]) - np.log(2.0) - np.log(epochs_M)
    return gains


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A learning curve in numbers free of scale; all 0 for a config that was never trained.

    `last_rank` in [0, 1] is the last value's among all trials measured at that fidelity. `slope`
    and `curvature` are its last first and second difference, over the range of those trials.
    """

    last_rank: float = 0.0
    slope: float = 0.0
    curvature: float = 0.0


_NO_CURVE = Curve()


def read_curve(study: Study, trial: Trial | None) -> Curve:
    """The curve of a paused trial; that of a start, None, has nothing to say."""
    if trial is None:
        return _NO_CURVE
    measured = [study.score_at(trial, item.fidelity) for item in trial.measurements]
    scores = [score for score in measured if score is not None]
    peers = _scores_at(study, trial.fidelity)
    if not scores or not len(peers):
        return Curve()
    spread = float(np.ptp(peers)) or np.inf
    differences = [np.diff(scores, order) for order in (1, 2)]
    slope, curvature = (float(d[-1] / spread) if len(d) else 0.0 for d in differences)
    rank = float(np.mean(peers <= scores[-1]))
    return Curve(last_rank=rank, slope=slope, curvature=curvature)


def _scores_at(study: Study, fidelity: Fidelity) -> Array:
    """Of all trials that were measured there, in no order."""
    if fidelity in study.spec.fidelity.rungs[:-1]:
        return -np.array([score for score, _ in study.scored_at(fidelity)])
    scores = [study.score_at(other, fidelity) for other in study.trials]
    return np.array([score for score in scores if score is not None])
