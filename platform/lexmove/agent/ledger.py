"""The ledger: a study as arrays that grow with it, so that no decision reads all trials again."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.agent.rows import rows_of
from lexmove.study.study import Study
from lexmove.study.trial import Continued, Decision, Event, Started, Trial, TrialStatus

START = "start:"
"""How the log's name for what put a config of the start portfolio forward begins."""

DEFAULT_START = f"{START}default"
"""`Decision.expert` where it was the default's turn."""

DEPARTURE = "policy"
"""`Decision.expert` where the policy chose what the floor would not have chosen."""

WITHIN = {0.8: 1.2816, 0.95: 2.92}
"""Predicted standard deviations to either side that hold such a share of the realised gains.

The first as of a normal; the second as of a Student t with two degrees of freedom on that scale,
because surprises have heavy tails ("Calibration" in README.md).
"""

_PENDING = (TrialStatus.RUNNING, TrialStatus.PREEMPTED)
_NO_ORIGIN, _DEFAULT = -2, -1
_OTHER, _DEPARTED, _FLOOR = 0, 1, 2


class _Column:
    """Rows of an array that has room for more."""

    def __init__(self, dtype: DTypeLike, *shape: int, fill: float = 0) -> None:
        self._rows: NDArray[Any] = np.full((64, *shape), fill, dtype=dtype)
        self._fill = fill
        self._length = 0

    def grow(self, length: int) -> None:
        """Makes it at least that long."""
        if length > len(self._rows):
            more = np.full_like(self._rows, self._fill, shape=(length, *self._rows.shape[1:]))
            self._rows = np.concatenate([self._rows, more])
        self._length = max(self._length, length)

    def append(self, row: Any) -> None:
        self.grow(self._length + 1)
        self._rows[self._length - 1] = row

    @property
    def rows(self) -> NDArray[Any]:
        """All rows, as they are now."""
        return self._rows[: self._length]


class Ledger:
    """What the agent knows of a study's trials, by id, and of its measurements, by event.

    A follower of the study: `of` gives that of a study at this moment, and its arrays are to be
    read before the study goes on.
    """

    def __init__(self, study: Study, encoding: Encoding) -> None:
        self.encoding = encoding
        starts = study.spec.starts
        self._asked_configs = {start.config for start in starts if start.is_asked}
        self.asked: list[int] = []
        """Trials of configs that the user asks for."""
        self.default: int | None = None
        """The trial of the default, or of what a pool of configs has in its place."""
        self._planned_configs = {start.config for start in starts if not start.is_asked}
        self.planned: list[int] = []
        """Trials of the study's starts from memory."""
        self.num_checked = self.num_covered = 0
        """Completed trials with a predicted gain, and those whose gain lay in its interval."""
        self.is_switched_off = False
        """Whether the policy has decided without a version: see `gate`."""
        self._units = _Column(float, encoding.num_dims)
        self._steps = _Column(float, encoding.num_dims)
        self._origins, self._experts = _Column(int), _Column(np.int8)
        self._best = _Column(float)
        self._seconds, self._reached = _Column(float), _Column(float)
        self._is_pending, self._is_final = _Column(bool), _Column(bool)
        self._owners = _Column(int, fill=-1)
        self._places, self._scores = _Column(float), _Column(float)
        units = encoding.units([trial.started.config for trial in study.trials])
        for trial, units_D in zip(study.trials, units, strict=True):
            self._start(study, trial, units_D)
            for event in trial.events:
                self._note(event)
            self._update(study, trial)
            self._check(study, trial)

    @classmethod
    def of(cls, study: Study, encoding: Encoding | None = None) -> "Ledger":
        """The ledger of a study."""
        return study.followed_by(
            cls, lambda study: cls(study, encoding or Encoding.of(study.spec.space))
        )

    def take_in(self, study: Study, before: Trial | None, event: Event) -> None:
        """Learns of one event; `study` is the one after it, `before` its trial until then."""
        trial = study.trials[event.trial_id]
        if before is None:
            self._start(study, trial, self.encoding.units([trial.started.config])[0])
        self._note(event)
        if before is not None:
            for row in rows_of(study, before):
                self._owners.rows[row.seq] = -1
        self._update(study, trial)
        if before is None or before.status is not trial.status:
            self._check(study, trial)

    def _start(self, study: Study, trial: Trial, units_D: Array) -> None:
        decision = trial.decision
        move = decision.move
        origin = _NO_ORIGIN if move is None else _DEFAULT if move.origin is None else move.origin
        before = self._units.rows[origin] if origin >= 0 else self.encoding.default
        self._units.append(units_D)
        self._steps.append(units_D - before)
        self._origins.append(origin)
        self._experts.append(_kind_of(decision))
        for column in (
            self._best,
            self._seconds,
            self._reached,
            self._is_pending,
            self._is_final,
        ):
            column.append(0)
        is_default = decision.expert == DEFAULT_START or trial.config == study.spec.space.default
        if self.default is None and is_default:
            self.default = trial.trial_id
        if self._planned_configs and trial.config in self._planned_configs:
            self.planned.append(trial.trial_id)
        if self._asked_configs and trial.config in self._asked_configs:
            self.asked.append(trial.trial_id)

    def _note(self, event: Event) -> None:
        decision = event.decision if isinstance(event, Started | Continued) else None
        if decision is not None and decision.proposer == "policy":
            self.is_switched_off |= decision.policy_version is None

    def _update(self, study: Study, trial: Trial) -> None:
        """Where a trial stands now, and what it has reached."""
        index, best = trial.trial_id, study.best_score(trial)
        self._best.rows[index] = np.nan if best is None else best
        self._seconds.rows[index] = sum(item.duration_s for item in trial.measurements)
        self._reached.rows[index] = trial.fidelity
        self._is_pending.rows[index] = trial.status in _PENDING
        self._is_final.rows[index] = trial.status.is_final
        for row in rows_of(study, trial):
            for column in (self._owners, self._places, self._scores):
                column.grow(row.seq + 1)
            self._owners.rows[row.seq] = index
            self._places.rows[row.seq] = row.place
            self._scores.rows[row.seq] = row.score

    def _check(self, study: Study, trial: Trial) -> None:
        """Counts whether the realised gain of a completed trial lies in its 80 % interval."""
        gain, std = trial.decision.predicted_gain, trial.decision.predicted_gain_std
        if trial.status is not TrialStatus.COMPLETED or gain is None or not std:
            return
        realised = study.realised_gain(trial)
        if realised is not None:
            self.num_checked += 1
            self.num_covered += abs(realised - gain) <= WITHIN[0.8] * std

    @property
    def units(self) -> Array:
        """Points of all trials, (T, D)."""
        return self._units.rows

    @property
    def steps(self) -> Array:
        """The step from its origin, else from the default, that every trial made, (T, D)."""
        return self._steps.rows

    @property
    def paces(self) -> Array:
        """Seconds per unit of fidelity of every trial, (T,); NaN where no time was measured."""
        seconds, reached = self._seconds.rows, self._reached.rows
        known = (seconds > 0.0) & (reached > 0.0)
        paces: Array = np.where(known, seconds / np.maximum(reached, 1.0), np.nan)
        return paces

    @property
    def pending(self) -> NDArray[np.int_]:
        """Ids of the trials that run or wait for a worker."""
        return np.flatnonzero(self._is_pending.rows)

    @property
    def rows(self) -> tuple[NDArray[np.int_], Array, Array]:
        """Trial, place and score of all rows of the history, in the order of their events."""
        at = np.flatnonzero(self._owners.rows >= 0)
        return self._owners.rows[at], self._places.rows[at], self._scores.rows[at]

    @property
    def outcomes(self) -> tuple[Mask, Mask]:
        """Which moves are known to have improved on their origin or not, and which did, (T,).

        Known are those of ended trials whose origin has a score.
        """
        origins, best = self._origins.rows, self._best.rows
        is_move = origins >= 0
        before = np.where(is_move, best[np.where(is_move, origins, 0)], np.nan)
        known = is_move & ~np.isnan(before) & self._is_final.rows
        return known, known & (_or_lowest(best) > before)

    @property
    def departures_and_floors(self) -> tuple[Array, Array]:
        """Best scores of the trials at rest that the policy departed for, and of the floor's.

        −inf of those that failed.
        """
        best, is_open = _or_lowest(self._best.rows), self._is_pending.rows
        departed, floors = (
            best[(self._experts.rows == kind) & ~is_open] for kind in (_DEPARTED, _FLOOR)
        )
        return departed, floors


def _or_lowest(scores_T: Array) -> Array:
    lowest: Array = np.where(np.isnan(scores_T), -np.inf, scores_T)
    return lowest


def _kind_of(decision: Decision) -> int:
    if decision.expert == DEPARTURE:
        return _DEPARTED
    return _FLOOR if decision.expert.startswith("floor:") else _OTHER
