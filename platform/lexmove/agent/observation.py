"""The observation: what the policy sees before one decision, in training and in serving."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.acquisition import rule_of
from lexmove.agent.candidates import Candidate, Kind, Origin, origins_of
from lexmove.agent.continuation import (
    Continuation,
    choose_continuations,
    read_curve,
    start_gain_per_epoch,
)
from lexmove.agent.encoding import Array, Encoding
from lexmove.agent.features import (
    FEATURE_NAMES,
    GLOBAL_NAMES,
    Slate,
    candidate_features,
    global_features,
)
from lexmove.agent.gaussian_process import one_blas_thread
from lexmove.agent.ledger import DEPARTURE
from lexmove.agent.rows import fidelity_place
from lexmove.agent.selection import Start, choose_starts
from lexmove.agent.surrogate import Surrogate
from lexmove.agent.warm_surrogate import surrogate_of
from lexmove.space.move import Move, describe, move_between
from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity
from lexmove.study.study import Study
from lexmove.study.trial import Trial

NUM_CANDIDATES = 64
"""K: slots of one decision."""

NUM_FEATURES = len(FEATURE_NAMES)
"""F: numbers per candidate."""

IS_CONTINUE, NET_STEP, STD = map(FEATURE_NAMES.index, ("is_continue", "net_step", "std"))
"""Columns of the features that others than the network read."""

NUM_GLOBALS = len(GLOBAL_NAMES)
"""G: numbers per study."""

PRIOR_SHARPNESS = {"EI": 16.0, "UCB": 32.0}
"""β of the prior, for scores in log-gain (EI, gain per epoch) and in standard deviations (UCB).

Sharp enough that a policy that draws its actions stays near the floor: at a quarter of this the
likeliest of 64 candidates had a probability of a few hundredths.
"""

_LOWEST_PRIOR, _HIGHEST_PRIOR = -20.0, 20.0
_START_PRIOR = 8.0
_ASHA_PRIOR = 6.0
_ASHA_STEP = 2.0
"""Between neighbours in ASHA's order: wide enough that a policy that draws keeps to it."""

_YIELDING_PRIOR = 5.0
"""Of a start that gives way: between the first two that ASHA promotes."""

_WAITING_PRIOR = -3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The candidates of one decision and the numbers that describe them.

    `features` (K, F), `globals` (G,) and `prior_logits` (K,) are float32. `mask` (K,) is True
    where a candidate may be chosen; slots beyond `len(candidates)` are zeros. `prior_logits` are
    β log a_k, with a_k the floor's score: the untrained policy's logits, 0 where masked. `units`
    (C, D) are the candidates' points in the unit cube.
    """

    candidates: tuple[Candidate, ...]
    features: NDArray[np.float32]
    globals: NDArray[np.float32]
    mask: NDArray[np.bool_]
    prior_logits: NDArray[np.float32]
    units: Array

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What a network is fed: features, globals, mask (0 or 1) and prior_logits."""
        return {
            "features": self.features,
            "globals": self.globals,
            "mask": self.mask.astype(np.float32),
            "prior_logits": self.prior_logits,
        }


class _Slot(NamedTuple):
    """One filled slot before the surrogate is asked about it."""

    decode: Callable[[], Config]
    units: Array
    kind: Kind
    until: Fidelity
    logit: float
    expert: str
    origin: int | None = None
    trial: Trial | None = None
    reason: str = ""


def observe(study: Study, rng: np.random.Generator) -> Observation:
    """The observation before the next decision: a function of the study and the generator.

    Slots are in the floor's order, best first, and hold starts and paused trials that may go on.
    When no trial may be started and none continued, nothing is selectable and `candidates` is
    empty.
    """
    with one_blas_thread():
        return _observe(study, rng)


def _observe(study: Study, rng: np.random.Generator) -> Observation:
    encoding = Encoding.of(study.spec.space)
    surrogate = surrogate_of(study, encoding)
    rule = rule_of(len(study.trials), is_timed=study.spec.wall_clock_s is not None)
    origins = origins_of(study)
    continued = choose_continuations(study, surrogate)
    starts: tuple[Start, ...] = ()
    if study.num_trials_left:
        room = NUM_CANDIDATES - len(continued)
        starts = choose_starts(study, encoding, surrogate, origins, rng, rule=rule, room=room)
    slots = [
        *_start_slots(study, starts, PRIOR_SHARPNESS[rule]),
        *_continue_slots(continued, _continue_logits(study, surrogate, continued, starts)),
    ]
    globals_G = global_features(study, encoding, surrogate, rule=rule)
    if not slots:
        return _empty(globals_G)
    slots.sort(key=lambda slot: -slot.logit)
    return _filled(study, encoding, surrogate, origins, slots, globals_G)


def _config_of(trial: Trial) -> Config:
    return trial.config


def _continue_slots(continued: Sequence[Continuation], logits: Sequence[float]) -> list[_Slot]:
    return [
        _Slot(
            decode=partial(_config_of, item.trial),
            units=item.units,
            kind="continue",
            until=item.until,
            logit=logit,
            trial=item.trial,
            expert=item.expert,
        )
        for item, logit in zip(continued, logits, strict=True)
    ]


def _continue_logits(
    study: Study,
    surrogate: Surrogate,
    continued: Sequence[Continuation],
    starts: Sequence[Start],
) -> list[float]:
    """The prior of continuations, on the scale of the starts', whose best has 0.

    The pilot stands before all else. Gains per epoch are compared with that of the best start by
    the floor's rule. A point of the start portfolio stands before them, unless it gives way to the
    first that ASHA promotes; what ASHA promotes stands before the floor's starts, and what waits
    at a rung behind the best ones.
    """
    if not continued:
        return []
    if study.spec.fidelity.promotion == "asha":
        return [_asha_logit(item) for item in continued]
    scored = [start for start in starts if math.isfinite(start.score)]
    if scored:
        reference = start_gain_per_epoch(study, surrogate, scored[0].units)
    else:
        reference = max((item.score for item in continued if not item.is_pilot), default=0.0)
    highest = _HIGHEST_PRIOR if len(scored) == len(starts) else 0.0
    sharpness = PRIOR_SHARPNESS["EI"]
    return [
        _HIGHEST_PRIOR
        if item.is_pilot
        else float(np.clip(sharpness * (item.score - reference), _LOWEST_PRIOR, highest))
        for item in continued
    ]


def _asha_logit(item: Continuation) -> float:
    if item.is_pilot:
        return _HIGHEST_PRIOR
    if item.expert == DEPARTURE:
        return _WAITING_PRIOR
    return max(_ASHA_PRIOR + _ASHA_STEP * item.score, _WAITING_PRIOR)


def _start_slots(study: Study, starts: Sequence[Start], sharpness: float) -> list[_Slot]:
    """Starts with their prior: 0 for the floor's best, the portfolio's point above it."""
    top = max((start.score for start in starts if math.isfinite(start.score)), default=0.0)
    until = study.spec.fidelity.rungs[0]
    return [
        _Slot(
            decode=start.decode,
            units=start.units,
            kind=start.kind,
            until=until,
            logit=_start_logit(start, sharpness=sharpness, top=top),
            origin=start.origin,
            expert=start.expert,
            reason=start.reason,
        )
        for start in starts
    ]


def _start_logit(start: Start, *, sharpness: float, top: float) -> float:
    if math.isinf(start.score):
        return _YIELDING_PRIOR if start.gives_way else _START_PRIOR
    return max(sharpness * (start.score - top), _LOWEST_PRIOR)


def _filled(
    study: Study,
    encoding: Encoding,
    surrogate: Surrogate,
    origins: Sequence[Origin],
    slots: Sequence[_Slot],
    globals_G: NDArray[np.float32],
) -> Observation:
    """The arrays of the filled slots, padded to K."""
    slate = _slate(study, origins, slots)
    prediction = surrogate.predict(slate.units, np.ones(len(slots)))
    maximum = study.spec.fidelity.maximum
    places = np.array([fidelity_place(slot.until, maximum) for slot in slots])
    asked = prediction if places.min() == 1.0 else surrogate.predict(slate.units, places)
    features = candidate_features(study, encoding, surrogate, slate, prediction, asked)
    knows = surrogate.history.num_scored > 0
    unknown = [None] * len(slots)
    gains = prediction.gains.tolist() if knows else unknown
    gain_stds = prediction.gain_stds.tolist() if knows else unknown
    candidates = tuple(
        _candidate(study, origins, slot, gain, gain_std)
        for slot, gain, gain_std in zip(slots, gains, gain_stds, strict=True)
    )
    return Observation(
        candidates=candidates,
        features=_padded(features),
        globals=globals_G,
        mask=_padded(np.ones(len(slots), dtype=bool)),
        prior_logits=_padded(np.array([slot.logit for slot in slots], dtype=np.float32)),
        units=slate.units,
    )


def _padded(rows_C: NDArray[Any]) -> NDArray[Any]:
    padded = np.zeros((NUM_CANDIDATES, *rows_C.shape[1:]), dtype=rows_C.dtype)
    padded[: len(rows_C)] = rows_C
    return padded


def _slate(study: Study, origins: Sequence[Origin], slots: Sequence[_Slot]) -> Slate:
    maximum = study.spec.fidelity.maximum
    units = np.array([slot.units for slot in slots])
    curves = [read_curve(study, slot.trial) for slot in slots]
    return Slate(
        units=units,
        origins=np.array(
            [slot.units if slot.origin is None else origins[slot.origin].units for slot in slots]
        ),
        origin_rank=np.array([_origin_rank(origins, slot) for slot in slots]),
        kinds=np.array([slot.kind for slot in slots]),
        after=np.array([slot.trial.fidelity / maximum if slot.trial else 0.0 for slot in slots]),
        until=np.array([slot.until / maximum for slot in slots]),
        last_rank=np.array([curve.last_rank for curve in curves]),
        slope=np.array([curve.slope for curve in curves]),
        curvature=np.array([curve.curvature for curve in curves]),
    )


def _origin_rank(origins: Sequence[Origin], slot: _Slot) -> int:
    if slot.origin is None or origins[slot.origin].trial_id is None:
        return -1
    return slot.origin


def _candidate(
    study: Study,
    origins: Sequence[Origin],
    slot: _Slot,
    gain: float | None,
    gain_std: float | None,
) -> Candidate:
    return Candidate(
        decode=slot.decode,
        tell=partial(_told, study, origins, slot),
        until=slot.until,
        kind=slot.kind,
        trial_id=None if slot.trial is None else slot.trial.trial_id,
        predicted_gain=gain,
        predicted_gain_std=gain_std,
        expert=slot.expert,
    )


def _told(study: Study, origins: Sequence[Origin], slot: _Slot, config: Config) -> tuple[Move, str]:
    """A slot as a move and in words."""
    if slot.trial is not None:
        text = f"continue trial {slot.trial.trial_id} from {slot.trial.fidelity} to {slot.until}"
        return Move(origin=slot.trial.trial_id, changes={}), text
    origin = origins[slot.origin or 0]
    move = move_between(study.spec.space, origin.config, config, origin=origin.trial_id)
    if slot.kind == "default":
        return move, "the default config"
    text = describe(study.spec.space, origin.config, config)
    return move, f"{slot.reason}: {text}" if slot.reason else text


def _empty(globals_G: NDArray[np.float32]) -> Observation:
    return Observation(
        candidates=(),
        features=np.zeros((NUM_CANDIDATES, NUM_FEATURES), dtype=np.float32),
        globals=globals_G,
        mask=np.zeros(NUM_CANDIDATES, dtype=bool),
        prior_logits=np.zeros(NUM_CANDIDATES, dtype=np.float32),
        units=np.empty((0, 0)),
    )
