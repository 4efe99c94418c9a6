"""The objective: fine-tunes a classifier for one segment, epoch by epoch, and measures it."""

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lexmove.errors import InfeasibleError, LexmoveError, TrialError, TrialFailedError
from lexmove.job.spec import ModelSpec, TaskSpec
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment
from lexmove.trials.metrics import check_metric
from lexmove.trials.prediction import DecisionRule, Logits
from lexmove.trials.recipe import Encoding, Recipe
from lexmove.trials.scoring import fitted_threshold, scored
from lexmove.trials.tasks.task import TaskData, load_task

if TYPE_CHECKING:
    from lexmove.trials.fine_tuning import FineTuning
    from lexmove.trials.tokens import Tokens

_SPLITS = ("train", "validation", "test")

THRESHOLD = "threshold"
"""What a measurement calls the threshold that was fitted on its first split."""


@dataclass(frozen=True, kw_only=True)
class FineTuningObjective:
    """Fine-tunes `model` on `task` with the config of a segment (an `Objective`).

    Reports every epoch, its checkpoint in place: `train_loss`, and all metrics of the first split
    of `evaluate_on`; at the last epoch of the segment also those of the further ones, as
    `test_f1_macro` and so on. Cheap to pickle: data, tokens and pretrained weights are loaded once
    per process. `max_epochs` is the full length of a trial, which the schedule is planned for.
    Without `every_epoch`, the last epoch of a segment alone is measured and kept, with the logits
    of its splits: for a training whose end is all that counts. `fits_threshold` takes the threshold
    of a multi-label task that is best on the first split, and measures it, too. Resolve
    `model.precision` before a study (`model.resolve_precision`).

    Raises:
        UsageError: `metric`, which the study is about, is unknown.
    """

    task: TaskSpec
    model: ModelSpec
    max_epochs: int
    metric: str = "f1_macro"
    goal: Literal["maximize", "minimize"] = "maximize"
    evaluate_on: tuple[str, ...] = ("validation",)
    every_epoch: bool = True
    fits_threshold: bool = False

    def __post_init__(self) -> None:
        check_metric(self.metric)

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        since = time.monotonic()
        with trial_outcome():
            recipe = Recipe.from_config(segment.config, self.model)
            splits = load_tokens(
                self.task,
                self.model.name,
                recipe.max_length,
                max_segments=recipe.max_segments,
                encoding=recipe.encoding,
            )
            training = self._start(segment, recipe, splits["train"])
        try:
            for epoch in range(segment.after + 1, segment.until + 1):
                last = epoch == segment.until
                with trial_outcome():
                    metrics = {"train_loss": training.train_epoch(epoch)}
                    if not (last or self.every_epoch):
                        continue
                    names = self.evaluate_on if last else self.evaluate_on[:1]
                    logits = {name: training.logits(splits[name]) for name in names}
                    metrics |= self._measured(logits, recipe)
                    folder = trial_dir / f"epoch_{epoch}"
                    note = self._note(segment, epoch)
                    self._save(training, folder, note, {} if self.every_epoch else logits)
                now = time.monotonic()
                # Outside the guard: what `report` raises is the caller's own business.
                report(
                    Measurement(
                        fidelity=epoch,
                        metrics=metrics,
                        duration_s=now - since,
                        checkpoint=str(folder),
                    )
                )
                since = now
        finally:
            training.close()
            gc.collect()

    def _start(self, segment: Segment, recipe: Recipe, train: "Tokens") -> "FineTuning":
        """A training that stands at `segment.after`, with the recipe in effect."""
        from lexmove.trials.effects import verify
        from lexmove.trials.fine_tuning import FineTuning, Plan
        from lexmove.trials.model import load_pretrained, resolve_precision

        plan = Plan(
            recipe=recipe,
            num_labels=len(_task(self.task).labels),
            max_epochs=self.max_epochs,
            seed=segment.seed,
            precision=resolve_precision(self.model.precision),
        )
        pretrained = load_pretrained(self.model.name, recipe.num_hidden_layers)
        training = FineTuning(pretrained, train, plan)
        verify(training)
        if segment.after > 0:
            self._restore(training, segment)
            verify(training)
        return training

    def _measured(self, logits: Mapping[str, Logits], recipe: Recipe) -> dict[str, float]:
        """All metrics of every split, decided as on the first one where the threshold is fitted."""
        task = _task(self.task)
        rule = DecisionRule(is_multi_label=task.is_multi_label, threshold=recipe.threshold)
        metrics: dict[str, float] = {}
        for place, (name, values) in enumerate(logits.items()):
            examples = task.split(name)
            if place == 0 and self.fits_threshold and task.is_multi_label:
                rule = fitted_threshold(
                    rule,
                    values,
                    examples.labels,
                    task=task,
                    metric=self.metric,
                    sign=1.0 if self.goal == "maximize" else -1.0,
                )
                metrics[THRESHOLD] = rule.threshold
            measured = scored(rule, values, examples.labels, task=task, metric=self.metric)
            prefix = f"{name}_" if place else ""
            metrics |= {f"{prefix}{metric}": value for metric, value in measured.items()}
        return metrics

    def _note(self, segment: Segment, epoch: int) -> dict[str, Any]:
        """What a checkpoint must agree on to be continued."""
        return {
            "fidelity": epoch,
            "config": dict(segment.config),
            "seed": segment.seed,
            "max_epochs": self.max_epochs,
            "data": _task(self.task).fingerprint,
        }

    def _save(
        self,
        training: "FineTuning",
        folder: Path,
        note: Mapping[str, Any],
        logits: Mapping[str, Logits],
    ) -> None:
        from lexmove.trials.checkpoint import TrialState, save_state

        state = TrialState(
            weights=training.weights(),
            # What is measured at its end alone has ended there: it is never continued.
            optimizer=training.training_state() if self.every_epoch else {},
            note=note,
            logits=logits,
        )
        save_state(folder, state)

    def _restore(self, training: "FineTuning", segment: Segment) -> None:
        from lexmove.trials.checkpoint import load_state

        if segment.resume_from is None:
            raise TrialFailedError(f"cannot continue after epoch {segment.after}: no checkpoint")
        note = self._note(segment, segment.after)
        state = load_state(Path(segment.resume_from), note=note, device=training.device)
        training.restore(state.weights, state.optimizer)


@lru_cache(maxsize=1)
def _task(spec: TaskSpec) -> TaskData:
    return load_task(spec)


@lru_cache(maxsize=4)
def load_tokens(
    spec: TaskSpec,
    model_name: str,
    max_length: int,
    *,
    max_segments: int | None = None,
    encoding: Encoding = "joint",
) -> Mapping[str, "Tokens"]:
    """The tokens of every split (see `tokens.tokenized`); once per process.

    Raises:
        TaskError: the task cannot be loaded.
        ModelError: the tokenizer cannot be loaded.
    """
    from lexmove.trials.model import load_tokenizer
    from lexmove.trials.tokens import tokenized

    task, tokenizer = _task(spec), load_tokenizer(model_name)
    return {
        name: tokenized(
            task.split(name),
            tokenizer,
            max_length=max_length,
            max_segments=max_segments,
            encoding=encoding,
        )
        for name in _SPLITS
    }


def forget_data() -> None:
    """Reads data anew from here on: files may have changed."""
    _task.cache_clear()
    load_tokens.cache_clear()


@contextmanager
def trial_outcome() -> Iterator[None]:
    """Turns what goes wrong inside into a trial's outcome with a reason of one line."""
    try:
        yield
    except TrialError:
        raise
    except LexmoveError as error:
        raise TrialFailedError(_first_line(error)) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        if _is_out_of_memory(error):
            raise InfeasibleError(f"out of memory: {_first_line(error)}") from error
        raise TrialFailedError(reason) from error


def _is_out_of_memory(error: Exception) -> bool:
    """Python's, CUDA's, or that of torch's CPU allocator, which is a plain RuntimeError."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
