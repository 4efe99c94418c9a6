"""The agent as a search algorithm for a Ray Tune `Tuner` of your own.

    from lexmove.ray import LexmoveSearch
    tune.Tuner(trainable, tune_config=tune.TuneConfig(
        search_alg=LexmoveSearch({"parameters": {"lr": {"min": 1e-5, "max": 1e-2, "log": True}}},
                                 metric="accuracy", mode="max"), num_samples=32))

Left out: pausing and continuing trials, which a searcher cannot do; a scheduler such as ASHA may
stop trials beside it, and what they reached counts.
"""

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ray.tune.search import Searcher

from lexmove.agent.ask_tell import AskTell, read_space
from lexmove.errors import UsageError
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import Goal

_GOALS: Mapping[str, Goal] = {"max": "maximize", "min": "minimize"}
_UNBOUNDED = 8
"""Trials at once, as far as the agent knows, where Tune sets no bound."""


class LexmoveSearch(Searcher):
    """Suggests configs to Ray Tune and learns from its trials' results.

    Args:
        space: a `SearchSpace`, the path of a file, or a mapping in the file's form.
        metric: the reported metric; None takes that of the `TuneConfig`.
        mode: "max" or "min"; None takes that of the `TuneConfig`.
        seed: equal seeds and equal results give equal suggestions.
        proposer: as for `lexmove.AskTell`.

    Raises:
        InvalidFileError: mistakes in the search space.
        UsageError: an unknown mode.
    """

    def __init__(
        self,
        space: SearchSpace | str | Path | Mapping[str, Any],
        *,
        metric: str | None = None,
        mode: str | None = None,
        seed: int = 0,
        proposer: str = "policy",
    ) -> None:
        if mode is not None and mode not in _GOALS:
            raise UsageError(f"mode is {mode!r}; it must be 'max' or 'min'")
        super().__init__(metric=metric, mode=mode)
        self._space = read_space(space)
        self._seed = seed
        self._proposer = proposer
        self._parallel = _UNBOUNDED
        self._numbers: dict[str, int] = {}
        # Tune pickles the searcher when a Tuner is built: torch is loaded by the first suggestion.
        self._agent: AskTell | None = None

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Takes metric and mode from the `TuneConfig`; a `param_space` is refused.

        Raises:
            UsageError: the Tuner has a `param_space` of its own.
        """
        if config:
            raise UsageError(
                "LexmoveSearch has its own search space: leave param_space out of the Tuner and "
                "give constants as {value: …} in the space"
            )
        self._metric = self._metric or metric
        self._mode = self._mode or mode
        return True

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Notes how many trials run at once; Tune need not limit the searcher further."""
        self._parallel = max_concurrent
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """A config to try; None while as many run as may, FINISHED when nothing is left."""
        if len(self._numbers) >= self._parallel:
            return None
        try:
            asked = self._asking().ask()
        except UsageError:
            # Tune's own signature leaves its FINISHED marker, a string, out.
            return None if self._numbers else cast("None", Searcher.FINISHED)
        self._numbers[trial_id] = asked.trial_id
        return dict(asked.config)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing yet: a trial counts with its last report."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learns from a trial's last report; one without a finite value has failed."""
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        value = (result or {}).get(self._metric)
        if error:
            self._asking().tell(number, failed="Ray Tune reports an error")
        elif not isinstance(value, int | float) or not math.isfinite(value):
            self._asking().tell(number, failed=f"{self._metric} is {value}")
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

    def _asking(self) -> AskTell:
        if self._agent is None:
            if self._mode is None:
                raise UsageError("LexmoveSearch needs metric and mode, here or in the TuneConfig")
            self._agent = AskTell(
                self._space,
                goal=_GOALS[self._mode],
                parallel=self._parallel,
                seed=self._seed,
                proposer=self._proposer,
            )
        return self._agent
