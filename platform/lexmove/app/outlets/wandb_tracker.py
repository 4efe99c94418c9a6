"""A study in Weights & Biases: a group of runs, one for each trial.

WANDB_PROJECT (default: lexmove), WANDB_API_KEY and WANDB_MODE mean what they mean to wandb.
"""

import importlib.util
import os
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

from lexmove.app.outlets.tracker import TrackedStudy, TrackedTrial
from lexmove.errors import UsageError

PROJECT, DEFAULT_PROJECT = "WANDB_PROJECT", "lexmove"

_WINNER = "winner"


def check_wandb() -> None:
    """Raises UsageError: it is not installed."""
    if importlib.util.find_spec("wandb") is None:
        raise UsageError("W&B is not installed: pip install 'lexmove[wandb]'")


class WandbTracker:
    """Writes runs whose ids follow from the study, so that none comes twice."""

    def __init__(self) -> None:
        self._study: TrackedStudy | None = None
        self._began_s: float | None = None

    def begin(self, study: TrackedStudy) -> Collection[int]:
        check_wandb()
        self._study = study
        return ()  # `take` sees which it has: ids are known with the first trial

    def _id(self, what: object) -> str:
        """The id of a run: of this study in this folder, begun just then, and no other."""
        assert self._study is not None, "it has begun"
        place = f"{self._study.folder.absolute()} {self._study.name} {self._began_s}"
        return f"{sha256(place.encode()).hexdigest()[:10]}t{what}"

    def take(self, trial: TrackedTrial) -> None:
        assert self._study is not None, "it has begun"
        if self._began_s is None:  # the first one that is told of is the study's first
            self._began_s = trial.started_s
        if any((self._study.folder / "wandb").glob(f"*run-*-{self._id(trial.trial_id)}")):
            return
        summary: dict[str, Any] = {
            "state": trial.status.value,
            "move": trial.move,
            "reason": trial.reason,
            f"best_{self._study.metric}": trial.value,
        }
        run = self._begun(str(trial.trial_id), f"trial {trial.trial_id}", dict(trial.config))
        for fidelity, metrics in trial.curve:
            run.log(dict(metrics), step=fidelity)
        run.summary.update(summary)
        run.finish(exit_code=1 if trial.has_failed else 0)

    def end(self, scores: Mapping[str, float]) -> None:
        assert self._study is not None, "it has begun"
        run = self._begun(_WINNER, f"{self._study.name}: winner", dict(self._study.tags))
        run.summary.update(dict(scores))
        run.finish()

    def _begun(self, what: str, name: str, config: Mapping[str, Any]) -> Any:
        import wandb

        assert self._study is not None, "it has begun"
        return wandb.init(
            project=os.environ.get(PROJECT) or DEFAULT_PROJECT,
            group=self._study.name,
            id=self._id(what),
            name=name,
            config=dict(config),
            dir=str(self._study.folder),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
