"""The observation: what the policy sees before one decision, in training and in serving."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.acquisition import rule_of
from lexmove.agent.candidates import Candidate, Kind, Origin, origins_of
from lexmove.agent.encoding import Array, Encoding
from lexmove.agent.features import (
    FEATURE_NAMES,
    GLOBAL_NAMES,
    Slate,
    candidate_features,
    global_features,
)
from lexmove.agent.selection import Start, choose_starts
from lexmove.agent.surrogate import Prediction, Surrogate, read_history
from lexmove.space.move import Move, describe, move_between
from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity, promotable
from lexmove.study.study import Study
from lexmove.study.trial import Trial

NUM_CANDIDATES = 64
"""K: slots of one decision."""

NUM_FEATURES = len(FEATURE_NAMES)
"""F: numbers per candidate."""

NUM_GLOBALS = len(GLOBAL_NAMES)
"""G: numbers per study."""

PRIOR_SHARPNESS = {"EI": 16.0, "UCB": 32.0}
"""β of the prior, for scores in log-gain (EI) and in standard deviations (UCB).

Sharp enough that a policy that draws its actions stays near the floor: at a quarter of this the
likeliest of 64 candidates had a probability of a few hundredths.
"""

_LOWEST_PRIOR = -20.0
_START_PRIOR = 8.0
_CONTINUE_PRIOR = 16.0
_MAX_CONTINUED = 12
_MAX_WAITING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The candidates of one decision and the numbers that describe them.

    `features` (K, F), `globals` (G,) and `prior_logits` (K,) are float32. `mask` (K,) is True
    where a candidate may be chosen; slots beyond `len(candidates)` are zeros. `prior_logits` are
    β log a_k, with a_k the floor's score: the untrained policy's logits, 0 where masked.
    """

    candidates: tuple[Candidate, ...]
    features: NDArray[np.float32]
    globals: NDArray[np.float32]
    mask: NDArray[np.bool_]
    prior_logits: NDArray[np.float32]

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What a network is fed: features, globals, mask (0 or 1) and prior_logits."""
        return {
            "features": self.features,
            "globals": self.globals,
            "mask": self.mask.astype(np.float32),
            "prior_logits": self.prior_logits,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """One filled slot before the surrogate is asked about it."""

    config: Config
    units: Array
    kind: Kind
    until: Fidelity
    logit: float
    is_selectable: bool = True
    origin: int | None = None
    trial: Trial | None = None
    expert: str


def observe(study: Study, rng: np.random.Generator) -> Observation:
    """The observation before the next decision: a function of the study and the generator.

    The best candidate by the floor is in slot 0. Trials that ASHA would continue stand before
    every start; other paused trials are shown but masked. When no trial may be started and none
    continued, nothing is selectable and `candidates` is empty.
    """
    encoding = Encoding(study.spec.space)
    surrogate = Surrogate(read_history(study, encoding), encoding)
    rule = rule_of(len(study.trials))
    origins = origins_of(study)
    ready, waiting = _paused_slots(study)
    starts: list[_Slot] = []
    if study.num_trials_left:
        room = NUM_CANDIDATES - len(ready) - len(waiting)
        chosen = choose_starts(study, encoding, surrogate, origins, rng, rule=rule, room=room)
        starts = _start_slots(study, chosen, PRIOR_SHARPNESS[rule])
    globals_G = global_features(study, encoding, surrogate, rule=rule)
    if not ready and not starts:
        return _empty(globals_G)
    return _filled(study, encoding, surrogate, origins, [*ready, *starts, *waiting], globals_G)


def _paused_slots(study: Study) -> tuple[list[_Slot], list[_Slot]]:
    """The trials that ASHA would continue now, in its order, and a few that it would not yet."""
    ready = promotable(study)[:_MAX_CONTINUED]
    others = [t.trial_id for t in study.trials if t.is_paused and t.trial_id not in ready]
    slots = [
        _Slot(
            config=trial.config,
            units=study.spec.space.to_unit(trial.config),
            kind="continue",
            until=study.spec.fidelity.next_rung(trial.fidelity),
            logit=_CONTINUE_PRIOR - 0.5 * place if place < len(ready) else 0.0,
            is_selectable=place < len(ready),
            trial=trial,
            expert="asha",
        )
        for place, trial in enumerate(
            study.trials[trial_id] for trial_id in (*ready, *others[:_MAX_WAITING])
        )
    ]
    return slots[: len(ready)], slots[len(ready) :]


def _start_slots(study: Study, starts: Sequence[Start], sharpness: float) -> list[_Slot]:
    """Starts with their prior: 0 for the floor's best, the portfolio's point above it."""
    finite = [start.score for start in starts if np.isfinite(start.score)]
    top = max(finite, default=0.0)
    return [
        _Slot(
            config=start.config,
            units=start.units,
            kind=start.kind,
            until=study.spec.fidelity.rungs[0],
            logit=float(np.clip(sharpness * (start.score - top), _LOWEST_PRIOR, _START_PRIOR)),
            origin=start.origin,
            expert=start.expert,
        )
        for start in starts
    ]


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
    features = candidate_features(study, encoding, surrogate, slate, prediction)
    knows = surrogate.history.num_scored > 0
    candidates = tuple(
        _candidate(study, origins, slot, prediction if knows else None, index)
        for index, slot in enumerate(slots)
    )
    return Observation(
        candidates=candidates,
        features=_padded(features),
        globals=globals_G,
        mask=_padded(np.array([slot.is_selectable for slot in slots], dtype=bool)),
        prior_logits=_padded(np.array([slot.logit for slot in slots], dtype=np.float32)),
    )


def _padded(rows_C: NDArray[Any]) -> NDArray[Any]:
    padded = np.zeros((NUM_CANDIDATES, *rows_C.shape[1:]), dtype=rows_C.dtype)
    padded[: len(rows_C)] = rows_C
    return padded


def _slate(study: Study, origins: Sequence[Origin], slots: Sequence[_Slot]) -> Slate:
    maximum = study.spec.fidelity.maximum
    units = np.stack([slot.units for slot in slots])
    curves = [_curve(study, slot.trial) for slot in slots]
    return Slate(
        units=units,
        origins=np.stack(
            [slot.units if slot.origin is None else origins[slot.origin].units for slot in slots]
        ),
        origin_rank=np.array([_origin_rank(origins, slot) for slot in slots]),
        kinds=np.array([slot.kind for slot in slots]),
        after=np.array([slot.trial.fidelity / maximum if slot.trial else 0.0 for slot in slots]),
        until=np.array([slot.until / maximum for slot in slots]),
        last_rank=np.array([rank for rank, _ in curves]),
        slope=np.array([slope for _, slope in curves]),
    )


def _origin_rank(origins: Sequence[Origin], slot: _Slot) -> int:
    if slot.origin is None or origins[slot.origin].trial_id is None:
        return -1
    return slot.origin


def _curve(study: Study, trial: Trial | None) -> tuple[float, float]:
    """A paused trial's rank at its fidelity in [0, 1], and its last gain over its total range."""
    if trial is None or not trial.measurements:
        return 0.0, 0.0
    own = study.score_at(trial, trial.fidelity)
    peers = [
        score
        for other in study.trials
        if (score := study.score_at(other, trial.fidelity)) is not None
    ]
    rank = float(np.mean([score <= own for score in peers])) if own is not None else 0.0
    scores = [
        score
        for item in trial.measurements
        if (score := study.score_at(trial, item.fidelity)) is not None
    ]
    spread = float(np.ptp(peers)) if len(peers) > 1 else 0.0
    slope = (scores[-1] - scores[-2]) / spread if len(scores) > 1 and spread else 0.0
    return rank, slope


def _candidate(
    study: Study,
    origins: Sequence[Origin],
    slot: _Slot,
    prediction: Prediction | None,
    index: int,
) -> Candidate:
    move, text = _told(study, origins, slot)
    return Candidate(
        config=slot.config,
        until=slot.until,
        move=move,
        text=text,
        kind=slot.kind,
        trial_id=None if slot.trial is None else slot.trial.trial_id,
        predicted_gain=None if prediction is None else float(prediction.gains[index]),
        predicted_gain_std=None if prediction is None else float(prediction.gain_stds[index]),
        expert=slot.expert,
    )


def _told(study: Study, origins: Sequence[Origin], slot: _Slot) -> tuple[Move, str]:
    """A slot as a move and in words."""
    if slot.trial is not None:
        text = f"continue trial {slot.trial.trial_id} from {slot.trial.fidelity} to {slot.until}"
        return Move(origin=slot.trial.trial_id, changes={}), text
    origin = origins[slot.origin or 0]
    move = move_between(study.spec.space, origin.config, slot.config, origin=origin.trial_id)
    if slot.kind == "default":
        return move, "the default config"
    return move, describe(study.spec.space, origin.config, slot.config)


def _empty(globals_G: NDArray[np.float32]) -> Observation:
    return Observation(
        candidates=(),
        features=np.zeros((NUM_CANDIDATES, NUM_FEATURES), dtype=np.float32),
        globals=globals_G,
        mask=np.zeros(NUM_CANDIDATES, dtype=bool),
        prior_logits=np.zeros(NUM_CANDIDATES, dtype=np.float32),
    )
