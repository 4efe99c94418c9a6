"""The objective: fine-tunes a classifier for one segment, epoch by epoch, and measures it."""

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexmove.errors import InfeasibleError, LexmoveError, TrialError, TrialFailedError
from lexmove.job.spec import ModelSpec, TaskSpec
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment
from lexmove.trials.metrics import check_metric, evaluate
from lexmove.trials.recipe import Recipe
from lexmove.trials.tasks.task import TaskData, load_task

if TYPE_CHECKING:
    from lexmove.trials.fine_tuning import FineTuning
    from lexmove.trials.tokens import Tokens

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class FineTuningObjective:
    """Fine-tunes `model` on `task` with the config of a segment (an `Objective`).

    Reports every epoch, its checkpoint in place: `train_loss`, and `f1_macro`, `f1_micro` and
    `accuracy` of the first split of `evaluate_on`; at the last epoch of the segment also those
    of the further ones, as `test_f1_macro` and so on. Cheap to pickle: data, tokens and
    pretrained weights are loaded once per process. `max_epochs` is the full length of a trial,
    which the schedule is planned for. Without `every_epoch`, the last epoch of a segment alone is
    measured and kept: for a training whose end is all that counts. Resolve `model.precision`
    before a study (`model.resolve_precision`).

    Raises:
        UsageError: `metric`, which the study is about, is none of those measured.
    """

    task: TaskSpec
    model: ModelSpec
    max_epochs: int
    metric: str = "f1_macro"
    evaluate_on: tuple[str, ...] = ("validation",)
    every_epoch: bool = True

    def __post_init__(self) -> None:
        check_metric(self.metric)

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        since = time.monotonic()
        with trial_outcome():
            recipe = Recipe.from_config(segment.config, self.model)
            splits = load_tokens(self.task, self.model.name, recipe.max_length)
            training = self._start(segment, recipe, splits["train"])
        try:
            for epoch in range(segment.after + 1, segment.until + 1):
                last = epoch == segment.until
                with trial_outcome():
                    metrics = {"train_loss": training.train_epoch(epoch)}
                    if not (last or self.every_epoch):
                        continue
                    metrics |= self._evaluate(training, splits, further=last)
                    folder = trial_dir / f"epoch_{epoch}"
                    self._save(training, segment, epoch, folder)
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
        """A training that stands at `segment.after`."""
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
        if segment.after > 0:
            self._restore(training, segment)
        return training

    def _evaluate(
        self, training: "FineTuning", splits: Mapping[str, "Tokens"], *, further: bool
    ) -> dict[str, float]:
        first = self.evaluate_on[0]
        metrics = evaluate(splits[first].labels, training.predict(splits[first]))
        for name in self.evaluate_on[1:] if further else ():
            measured = evaluate(splits[name].labels, training.predict(splits[name]))
            metrics |= {f"{name}_{metric}": value for metric, value in measured.items()}
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

    def _save(self, training: "FineTuning", segment: Segment, epoch: int, folder: Path) -> None:
        from lexmove.trials.checkpoint import TrialState, save_state

        state = TrialState(
            weights=training.weights(),
            optimizer=training.training_state(),
            note=self._note(segment, epoch),
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
def load_tokens(spec: TaskSpec, model_name: str, max_length: int) -> Mapping[str, "Tokens"]:
    """The tokens of every split, cut at `max_length`; once per process.

    Raises:
        TaskError: the task cannot be loaded.
        ModelError: the tokenizer cannot be loaded.
    """
    from lexmove.trials.model import load_tokenizer
    from lexmove.trials.tokens import pack

    task, tokenizer = _task(spec), load_tokenizer(model_name)
    splits = {}
    for name in _SPLITS:
        examples = task.split(name)
        encoded = tokenizer(list(examples.texts), truncation=True, max_length=max_length)
        splits[name] = pack(encoded["input_ids"], examples.labels, pad_id=tokenizer.pad_token_id)
    return splits


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
