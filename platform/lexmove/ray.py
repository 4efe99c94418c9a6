"""The agent as a search algorithm for a Ray Tune `Tuner` of your own.

    from lexmove.ray import LexmoveSearch
    tune.Tuner(trainable, tune_config=tune.TuneConfig(
        search_alg=LexmoveSearch({"parameters": {"lr": {"min": 1e-5, "max": 1e-2, "log": True}}},
                                 metric="accuracy", mode="max"), num_samples=32))

Constants may stand in the Tuner's `param_space`; what is searched may not. A name with slashes
(`optimizer/lr`) is searched within the trainable's nested config, as Tune itself writes it.
Left out: pausing and continuing trials, which a searcher cannot do; a scheduler such as ASHA may
stop trials beside it, and what they reached counts.
"""

import math
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from ray.tune.search import Searcher
from ray.tune.utils import flatten_dict

from lexmove.agent.ask_tell import AskTell, read_space
from lexmove.errors import NothingLeftError, UsageError
from lexmove.space.domain import Value
from lexmove.space.search_space import SearchSpace
from lexmove.study.scoring import Goal
from lexmove.study.study import Study

_GOALS: Mapping[str, Goal] = {"max": "maximize", "min": "minimize"}
_UNKNOWN_PARALLEL = 8
"""Trials at once that the agent reckons with, where the Tuner sets no `max_concurrent_trials`."""


class LexmoveSearch(Searcher):
    """Suggests configs to Ray Tune and learns from its trials' results.

    Args:
        space: a `SearchSpace`, the path of a file, or a mapping in the file's form.
        metric: the reported metric to optimize.
        mode: "max" or "min"; None for that of the `TuneConfig`, which Tune tells a searcher only
            if there is a `param_space`. Told nothing, it maximizes, with a warning.
        seed: equal seeds and equal results give equal suggestions.
        proposer: as for `lexmove.AskTell`.
        starts: configs to try first; what they leave out takes its default.

    Raises:
        InvalidFileError: mistakes in the search space.
        InvalidConfigError: a start outside it, when the first config is suggested.
        UsageError: an unknown mode, or a name below another one; by `Tuner.fit`, another mode than
            the `TuneConfig` has, a searched name in the `param_space`, or nothing to search.
    """

    def __init__(
        self,
        space: SearchSpace | str | Path | Mapping[str, Any],
        *,
        metric: str,
        mode: Literal["max", "min"] | None = None,
        seed: int = 0,
        proposer: str = "policy",
        starts: Sequence[Mapping[str, Value]] = (),
    ) -> None:
        if mode is not None and mode not in _GOALS:
            raise UsageError(f"mode is {mode!r}; it must be 'max' or 'min'")
        super().__init__(metric=metric, mode=mode)
        self._space = read_space(space)
        _check_nesting(self._space.names)
        self._objective = metric
        self._goal = None if mode is None else _GOALS[mode]
        self._seed = seed
        self._proposer = proposer
        self._starts = tuple(starts)
        self._max_concurrent: int | None = None
        self._numbers: dict[str, int] = {}
        self._before: dict[str, int] = {}
        """Trials that ran when the experiment was interrupted: Tune may never run them again."""
        self._values: dict[str, float] = {}
        # Tune pickles the searcher when a Tuner is built: torch is loaded by the first suggestion.
        self._agent: AskTell | None = None

    @property
    def study(self) -> Study | None:
        """Everything asked and told so far, with the move behind each trial; None before."""
        return None if self._agent is None else self._agent.study

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Takes the Tuner's mode where none was given; what is searched stays as it is.

        Raises:
            UsageError: another mode was given, of the same metric, or what is searched has a value
                in `config`.
        """
        if taken := [name for name in flatten_dict(config) if name in self._space]:
            raise UsageError(
                f"{taken[0]} is searched, and has a value in the param_space: take it out of there"
            )
        if mode is not None and metric in (None, self._objective):
            if self._goal not in (None, _GOALS[mode]):
                raise UsageError(
                    f"LexmoveSearch is to {self._goal} {self._objective}, and the TuneConfig has "
                    f"mode={mode!r}: give the same mode to both, or none to LexmoveSearch"
                )
            self._goal = _GOALS[mode]
        return super().set_search_properties(metric, mode, config, **spec)

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Notes how many trials run at once; Tune need not limit the searcher further."""
        self._max_concurrent = max_concurrent
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """A config to try; None while as many run as may, FINISHED when nothing is left.

        Raises:
            UsageError: the space has nothing to search.
        """
        if self._max_concurrent is not None and len(self._numbers) >= self._max_concurrent:
            return None
        agent = self._asking()
        try:
            asked = agent.ask()
        except NothingLeftError:
            # Tune's own signature leaves its FINISHED marker, a string, out.
            return None if self._numbers else cast("None", Searcher.FINISHED)
        self._numbers[trial_id] = asked.trial_id
        return _nested(asked.config)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Notes its value: a trial counts with its last report that has one."""
        if trial_id in self._before:
            self._numbers[trial_id] = self._before.pop(trial_id)
        value = _number(result.get(self._objective))
        if math.isfinite(value):
            self._values[trial_id] = value

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learns from a trial's last report; one without a finite value has failed.

        What failed stays so here, also where Tune runs it again (`Tuner.restore`).
        """
        number = self._numbers.pop(trial_id, self._before.pop(trial_id, None))
        noted = self._values.pop(trial_id, math.nan)
        if number is None:
            return
        given = (result or {}).get(self._objective)
        value = noted if given is None else _number(given)
        if error:
            self._asking().tell(number, failed="Ray Tune reports an error")
        elif not math.isfinite(value):
            self._asking().tell(number, failed=f"{self._objective} is {value}")
        else:
            self._asking().tell(number, value)

    def save(self, checkpoint_path: str) -> None:
        """Writes everything that was asked and told."""
        with Path(checkpoint_path).open("wb") as file:
            pickle.dump(self.__dict__, file)

    def restore(self, checkpoint_path: str) -> None:
        """Reads what `save` wrote; the file must be your own, as with every Ray checkpoint."""
        with Path(checkpoint_path).open("rb") as file:
            self.__dict__.update(pickle.load(file))  # noqa: S301 - Tune's own experiment folder
        self._before |= self._numbers
        self._numbers = {}

    def _asking(self) -> AskTell:
        if self._agent is None:
            if self._goal is None:
                warnings.warn(
                    f"LexmoveSearch was given no mode and maximizes {self._objective}: say "
                    "mode='max' or mode='min' (without a param_space, Tune does not tell its own)",
                    stacklevel=2,
                )
            self._agent = AskTell(
                self._space,
                goal=self._goal or "maximize",
                parallel=self._max_concurrent or _UNKNOWN_PARALLEL,
                seed=self._seed,
                proposer=self._proposer,
                starts=self._starts,
            )
        return self._agent


def _check_nesting(names: Sequence[str]) -> None:
    """Refuses a name that is also a level of another: no config can hold both."""
    for name in names:
        if below := next((other for other in names if other.startswith(f"{name}/")), None):
            raise UsageError(f"{below} lies below {name} in a config, and {name} is a value there")


def _nested(config: Mapping[str, Value]) -> dict[str, Any]:
    """The same with a level for every slash in a name."""
    nested: dict[str, Any] = {}
    for name, value in config.items():
        *above, last = name.split("/")
        level = nested
        for part in above:
            level = level.setdefault(part, {})
        level[last] = value
    return nested


def _number(value: Any) -> float:
    """A reported value as a float, whatever library it is from; NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
