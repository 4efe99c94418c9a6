"""Ask and tell: the agent for any objective, without Ray, a store or a file."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

from lexmove.agent.baselines import make_proposer
from lexmove.errors import NothingLeftError, UsageError
from lexmove.space.domain import Value
from lexmove.space.search_space import Config, SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.scoring import Goal, Incumbent
from lexmove.study.starts import asked_for
from lexmove.study.study import Study, StudySpec, carried_out, decision_rng
from lexmove.study.trial import (
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Trial,
    TrialStatus,
)

ETA = 3
"""Factor between rungs with `max_fidelity`."""

_UNLIMITED = 10**9
_METRIC = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to evaluate: `config` up to `fidelity`; a `trial_id` seen before means continue it.

    `decision` says why. `seed` is the trial's own and the same each time it goes on.
    """

    trial_id: int
    config: Config
    fidelity: Fidelity
    seed: int
    decision: Decision


class AskTell:
    """Suggests configs and learns from their values; from several threads, too.

    Args:
        space: a `SearchSpace`, the path of a file, or a mapping in the file's form.
        goal: "maximize" or "minimize".
        parallel: how many trials are evaluated at once, as a hint to the agent.
        seed: equal seeds and equal answers give equal suggestions.
        max_fidelity: the full length of a trial (epochs, steps); None if it has none. With it,
            trials are paused on the way and the best are continued.
        proposer: a name in `lexmove.agent.baselines.PROPOSERS`.
        starts: configs to ask for first, in place of the space's default; see `enqueue`.

    Raises:
        InvalidFileError: mistakes in the search space.
        InvalidConfigError: a start outside it.
        UsageError: an unknown goal or proposer, or a number out of range.
    """

    def __init__(
        self,
        space: "SearchSpace | str | Path | Mapping[str, Any]",
        goal: Goal = "maximize",
        parallel: int = 8,
        seed: int = 0,
        max_fidelity: Fidelity | None = None,
        proposer: str = "policy",
        starts: Sequence[Mapping[str, Value]] = (),
    ) -> None:
        if goal not in ("maximize", "minimize"):
            raise UsageError(f"goal is {goal!r}; it must be 'maximize' or 'minimize'")
        parallel, seed = _whole("parallel", parallel, 1), _whole("seed", seed, 0)
        if max_fidelity is not None:
            max_fidelity = _whole("max_fidelity", max_fidelity, 1)
        self._lock = threading.RLock()
        self._has_fidelity = max_fidelity is not None
        self._proposer = make_proposer(proposer)
        self._study = Study(
            spec=StudySpec(
                name="ask_tell",
                space=read_space(space),
                metric=_METRIC,
                goal=goal,
                fidelity=FidelityPlan(
                    maximum=max_fidelity or 1, eta=ETA if self._has_fidelity else None
                ),
                num_trials=_UNLIMITED,
                parallel=parallel,
                seed=seed,
            )
        )
        if isinstance(starts, Mapping):
            raise UsageError("starts is one config; give a list of configs")
        for start in starts:
            self.enqueue(start)

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, which belongs to this process."""
        return {name: item for name, item in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    @property
    def study(self) -> Study:
        """Everything asked and told so far."""
        return self._study

    @property
    def incumbent(self) -> Incumbent | None:
        """The best value told so far, with its trial; None before the first."""
        return self._study.incumbent

    @property
    def best_config(self) -> Config | None:
        """The config of the best value told so far; None before the first."""
        best = self.incumbent
        return None if best is None else self._study.trials[best.trial_id].config

    def __repr__(self) -> str:
        best = self.incumbent
        told = "nothing told" if best is None else f"best {best.value:.4g} (trial {best.trial_id})"
        return f"<AskTell: {len(self._study.trials)} asked, {told}>"

    def enqueue(self, config: Mapping[str, Value]) -> None:
        """Makes `ask` give this config next, before anything that the agent thinks of.

        Hyperparameters that it leaves out take their defaults.

        Raises:
            InvalidConfigError: it is not in the space.
            UsageError: just this config was asked before, or waits to be.
        """
        if not isinstance(config, Mapping):
            raise UsageError(f"a config is a mapping of names to values, not {config!r}")
        with self._lock:
            spec = self._study.spec
            after = len(self._study.trials)
            start = asked_for(spec.space.config(config), by="you", after=after)
            for trial in self._study.trials:
                if trial.config == start.config:
                    raise UsageError(f"trial {trial.trial_id} was asked with just this config")
            if any(waiting.config == start.config for waiting in spec.starts):
                raise UsageError("just this config waits to be asked already")
            self._study = replace(self._study, spec=replace(spec, starts=(*spec.starts, start)))

    def ask(self) -> Asked:
        """What to evaluate next. May be called again before earlier ones are told.

        Raises:
            NothingLeftError: no allowed config was found that was not suggested.
            UsageError: the space has nothing to search.
        """
        with self._lock:
            suggestion = self._proposer.propose(self._study, decision_rng(self._study))
            if suggestion is None:
                raise NothingLeftError(
                    "nothing is left to suggest: no allowed config was found that lies more than "
                    f"a thousandth of a range from all {len(self._study.trials)} that were asked; "
                    "tell the values that are still open, or stop"
                )
            event = carried_out(self._study, suggestion, at_s=time.time())
            self._study = self._study.with_event(event)
            trial = self._study.trials[event.trial_id]
        return Asked(
            trial_id=trial.trial_id,
            config=trial.config,
            fidelity=trial.until,
            seed=trial.started.seed,
            decision=suggestion.decision,
        )

    def tell(
        self,
        trial_id: int,
        value: float | None = None,
        fidelity: Fidelity | None = None,
        failed: str | None = None,
    ) -> None:
        """Reports the value of a trial, or that it failed.

        Args:
            trial_id: as asked; in any order.
            value: the objective; NaN or infinite counts as a failure.
            fidelity: where it was measured, with `max_fidelity`; without it, the one asked for.
                Below the one asked for, the trial goes on.
            failed: why the trial failed, in words; `value` is then left out.

        Raises:
            UsageError: an unknown trial, one that is not being evaluated, a value for a fidelity
                that was told or not asked for, or not just one of a value and a failure.
        """
        if failed is not None and not isinstance(failed, str):
            raise UsageError(f"tell({trial_id}): failed is why it failed, in words, not {failed!r}")
        if (failed is None) == (value is None):
            found = "both a value and a failure" if failed is not None else "neither"
            raise UsageError(f"tell({trial_id}) needs a value, or failed='why'; it has {found}")
        with self._lock:
            trial = self._open_trial(trial_id)
            if failed is not None:
                self._end(trial.trial_id, TrialStatus.FAILED, failed or "failed")
            else:
                self._measured(trial, _score(trial_id, value), self._fidelity(trial, fidelity))

    def _measured(self, trial: Trial, score: float, at: Fidelity) -> None:
        trial_id, metrics = trial.trial_id, {_METRIC: score}
        self._record(
            Measured, trial_id=trial_id, measurement=Measurement(fidelity=at, metrics=metrics)
        )
        if not math.isfinite(score):
            self._end(trial_id, TrialStatus.FAILED, f"the value is {score} at fidelity {at}")
        elif at >= self._study.spec.fidelity.maximum:
            self._end(trial_id, TrialStatus.COMPLETED, None)
        elif at >= trial.until:
            self._end(trial_id, TrialStatus.PAUSED, None)

    def _open_trial(self, trial_id: int) -> Trial:
        num_trials, number = len(self._study.trials), _index(trial_id)
        if number is None or not 0 <= number < num_trials:
            asked = f"0 to {num_trials - 1}" if num_trials else "none"
            raise UsageError(f"trial {trial_id!r} was never asked; the trials so far: {asked}")
        trial = self._study.trials[number]
        if trial.status is not TrialStatus.RUNNING:
            raise UsageError(
                f"trial {number} was told already and is {trial.status}; "
                "a value counts once, after ask() has given the trial"
            )
        return trial

    def _fidelity(self, trial: Trial, fidelity: Fidelity | None) -> Fidelity:
        at = trial.until if fidelity is None else _index(fidelity)
        if at is None or not trial.fidelity < at <= trial.until:
            raise UsageError(
                f"fidelity {fidelity!r} of trial {trial.trial_id} is not a whole number between "
                f"{trial.fidelity + 1} and {trial.until}, which is what was asked for"
            )
        return at

    def _end(self, trial_id: int, status: TrialStatus, reason: str | None) -> None:
        self._record(Ended, trial_id=trial_id, status=status, reason=reason)

    def _record(self, kind: Callable[..., Event], *, trial_id: int, **fields: object) -> None:
        event = kind(seq=self._study.num_events, at_s=time.time(), trial_id=trial_id, **fields)
        self._study = self._study.with_event(event)


def _score(trial_id: int, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # what is no number is told so
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"tell({trial_id}) needs a number, not {value!r}") from None


def _index(number: SupportsIndex) -> int | None:
    """A whole number, whatever library it is from; None for anything else, a bool too."""
    if isinstance(number, bool):
        return None
    try:
        return index(number)
    except TypeError:
        return None


def _whole(name: str, number: SupportsIndex, least: int) -> int:
    found = _index(number)
    if found is None or found < least:
        raise UsageError(f"{name} is {number!r}; it must be a whole number of at least {least}")
    return found


def read_space(space: "SearchSpace | str | Path | Mapping[str, Any]") -> SearchSpace:
    """A search space from itself, from a file's path, or from a mapping in the file's form.

    Raises:
        InvalidFileError: all mistakes of the file or mapping.
        UsageError: it is none of these.
    """
    if isinstance(space, SearchSpace):
        return space
    # Imported here: a space that is given as an object needs no YAML reader.
    from lexmove.space.loading import load_space, space_from_mapping

    if isinstance(space, Mapping):
        return space_from_mapping(space)
    if not isinstance(space, str | Path):
        raise UsageError(f"a space is a SearchSpace, a mapping or a file's path, not {space!r}")
    return load_space(Path(space))
