"""The start portfolio: what the user asks for, what memory offers, the default, Sobol points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lexmove.agent.candidates import Kind
from lexmove.agent.encoding import SAME_TOLERANCE, Array, Encoding, is_apart
from lexmove.agent.history import History
from lexmove.agent.ledger import DEFAULT_START, Ledger
from lexmove.agent.surrogate import Surrogate
from lexmove.space.move import describe, move_between
from lexmove.space.search_space import Config
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Suggestion, Trial

NUM_SCORED_BEFORE_FLOOR = 3
"""Trials with a result before the floor decides (measured: README.md)."""

NUM_FAILED_BEFORE_FLOOR = 3
"""Failures after which one result is enough.

Where most configs fail, Sobol points may never have three; moves from what held have.
"""

NUM_COMPLETE_BEFORE_FLOOR = 3
"""Where ASHA pauses trials: how many must be trained to the end before the floor decides."""

MAX_EARLY_BEFORE_FLOOR = 12
"""Trials with a result after which the floor decides all the same."""

PATIENCE = 2
"""Starts from memory with a result, none above the default's, after which memory is left aside."""

MIN_AGREEMENT = 0.0
"""Up to this rank correlation with earlier results memory is compared with the default."""

_MAX_TRIES = 64
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A config to start without asking the surrogate, its point (D,), and what the log says.

    Beside one that `is_alone` nothing else is on offer. One that `gives_way` comes after the first
    paused trial that ASHA promotes.
    """

    kind: Kind
    config: Config
    units: Array
    expert: str
    reason: str = ""
    is_alone: bool = False
    gives_way: bool = False


def next_start(study: Study, encoding: Encoding, surrogate: Surrogate) -> Opening | None:
    """What to start without asking the surrogate; None when the surrogate should decide."""
    history = surrogate.history
    seen_ND = history.tried
    asked = asked_start(study, encoding, seen_ND)
    if asked is not None:
        return asked
    planned = _from_memory(study, encoding, seen_ND)
    if _is_defaults_turn(study, surrogate, planned):
        return _default(encoding)
    knows_enough = _has_scores(history)
    if planned is not None or has_past(study) or (knows_enough and _has_ends(study, history)):
        return planned
    point = sobol_point(study, encoding, seen_ND)
    if point is None:
        return None
    config = encoding.config(point)
    return Opening(
        kind="global", config=config, units=point, expert="start:sobol", gives_way=knows_enough
    )


def _default(encoding: Encoding) -> Opening:
    return Opening(
        kind="default",
        config=encoding.space.default,
        units=encoding.default,
        expert=DEFAULT_START,
        is_alone=True,
    )


def _is_defaults_turn(study: Study, surrogate: Surrogate, planned: Opening | None) -> bool:
    """Whether the default is what to start now: the yardstick where nothing better is known.

    It comes first where nothing else is planned, where trials pause at rungs, so that it costs
    little, and where time is the limit, since what memory offers may take long; never where the
    user asks for something. Elsewhere a memory is compared with it after `PATIENCE` of its starts,
    or, where it brings results, once they misrank the study's trials, or these fail.
    """
    ledger = Ledger.of(study)
    if ledger.default is not None or asks_first(study):
        return False
    comes_first = study.spec.fidelity.eta is not None or study.spec.wall_clock_s is not None
    if not study.trials:
        return planned is None or comes_first
    if comes_first or not has_memory(study):
        return False
    if study.spec.past:
        agreement = surrogate.agreement
        is_misranked = agreement is not None and agreement <= MIN_AGREEMENT
        return is_misranked or _often_fails(surrogate.history)
    return planned is None or len(ledger.planned) >= PATIENCE


def asks_first(study: Study) -> bool:
    """Whether the user asked for configs when the study began."""
    return any(start.is_asked and not start.after for start in study.spec.starts)


def has_memory(study: Study) -> bool:
    """Whether a memory put configs forward when the study began."""
    return any(not start.is_asked for start in study.spec.starts)


def _has_scores(history: History) -> bool:
    """Whether the surrogate has enough scores to decide by."""
    num_needed = 1 if _often_fails(history) else NUM_SCORED_BEFORE_FLOOR
    return history.num_scored >= num_needed


def _has_ends(study: Study, history: History) -> bool:
    """Whether enough of them are of full trainings, where ASHA pauses most trials early.

    What leads after an epoch may not lead in the end, and moves of it go the same way. Starts that
    somebody or a memory put forward are known to be good, unless they were worse than the default.
    """
    plan = study.spec.fidelity
    is_paused = plan.eta is not None and plan.promotion == "asha"
    if not is_paused or _is_guided(study) or _often_fails(history):
        return True
    if history.num_scored >= MAX_EARLY_BEFORE_FLOOR:
        return True
    is_end = (history.fidelity == 1.0) & ~history.failed
    num_complete = len(np.unique(history.trial_ids[is_end]))
    return num_complete >= NUM_COMPLETE_BEFORE_FLOOR


def _is_guided(study: Study) -> bool:
    # What is asked for later was not there when earlier decisions are looked at again.
    is_given = any(start.after <= len(study.trials) for start in study.spec.starts)
    return is_given and not misleads(study)


def _often_fails(history: History) -> bool:
    return int(np.count_nonzero(history.failed)) >= NUM_FAILED_BEFORE_FLOOR


def asked_start(study: Study, encoding: Encoding, seen_ND: Array) -> Opening | None:
    """The first start that the user asks for and that was not tried; None when all were."""
    return _first_new(study, encoding, seen_ND, is_asked=True)


def asked_suggestion(
    study: Study, encoding: Encoding, seen_ND: Array, *, proposer: str, lane: int
) -> Suggestion | None:
    """The same as a suggestion, for proposers that make no slate of candidates."""
    asked = asked_start(study, encoding, seen_ND) if study.num_trials_left else None
    if asked is None:
        return None
    space = study.spec.space
    decision = Decision(
        proposer=proposer,
        expert=asked.expert,
        text=f"{asked.reason}: {describe(space, space.default, asked.config)}",
        move=move_between(space, space.default, asked.config, origin=None),
        lane=lane,
    )
    return Suggestion(config=asked.config, until=study.spec.fidelity.rungs[0], decision=decision)


def _from_memory(study: Study, encoding: Encoding, seen_ND: Array) -> Opening | None:
    """The first start from memory that was not tried; None once they mislead."""
    if not has_memory(study) or misleads(study):
        return None
    return _first_new(study, encoding, seen_ND, is_asked=False)


def _first_new(
    study: Study, encoding: Encoding, seen_ND: Array, *, is_asked: bool
) -> Opening | None:
    for start in study.spec.starts:
        # What is asked for later was not there when earlier decisions are looked at again.
        if start.is_asked is not is_asked or start.after > len(study.trials):
            continue
        units = encoding.units([start.config])
        # What somebody asks for is tried, however near it lies to what was.
        tolerance = _ROUNDING if is_asked else SAME_TOLERANCE
        is_new = is_apart(units, seen_ND, tolerance)[0]
        if is_new and encoding.space.is_valid(start.config):
            return Opening(
                kind="global",
                config=start.config,
                units=units[0],
                expert="start:asked" if is_asked else "start:memory",
                reason=start.reason,
                is_alone=is_asked,
            )
    return None


def misleads(study: Study) -> bool:
    """Whether `PATIENCE` starts from memory have a result and none is above the default's.

    Where the user asked for configs in place of it: above the worst of theirs. Trials are compared
    at the first rung, which all of them reach. Where neither was tried nothing is known.
    """
    ledger = Ledger.of(study)
    ours = _first_scores(study, ledger.planned)
    if len(ours) < PATIENCE:
        return False
    default = [] if ledger.default is None else [ledger.default]
    theirs = _first_scores(study, ledger.asked if asks_first(study) else default)
    return bool(theirs) and max(ours) <= min(theirs)


def has_past(study: Study) -> bool:
    """Whether results of earlier studies say where to look, and nothing speaks against them yet."""
    return bool(study.spec.past) and not misleads(study)


def _first_scores(study: Study, trial_ids: Sequence[int]) -> list[float]:
    """Of the trials that have a result or have ended without one."""
    reached = (_first_score(study, study.trials[trial_id]) for trial_id in trial_ids)
    return [score for score in reached if score is not None]


def _first_score(study: Study, trial: Trial) -> float | None:
    """The best score up to the first rung; −inf of a trial that failed, None while it runs."""
    rung = study.spec.fidelity.rungs[0]
    scores = [
        score
        for item in trial.measurements
        if item.fidelity <= rung and (score := study.score_at(trial, item.fidelity)) is not None
    ]
    has_ended = trial.status.is_final or trial.fidelity >= rung
    return max(scores, default=-np.inf) if has_ended else None


def sobol_point(study: Study, encoding: Encoding, seen_ND: Array) -> Array | None:
    """The next new and allowed point (D,) of the study's own scrambled Sobol sequence.

    Its index is the number of trials; points that are taken or forbidden are passed over. None
    when the next 64 all are.
    """
    # Imported here: scipy.stats takes longer to load than the rest of the agent.
    from scipy.stats import qmc

    first = len(study.trials)
    engine = qmc.Sobol(encoding.num_dims, scramble=True, rng=np.random.default_rng(study.spec.seed))
    num_bits = int(np.ceil(np.log2(first + _MAX_TRIES)))
    shares = engine.random_base2(num_bits)[first : first + _MAX_TRIES]
    points = encoding.snap(encoding.believed(shares))
    is_free = is_apart(points, seen_ND, SAME_TOLERANCE) & ~encoding.forbidden(points)
    return points[np.argmax(is_free)] if is_free.any() else None
