"""The objective: fine-tunes a classifier for one segment, epoch by epoch, and measures it."""

import gc
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lexmove.errors import InfeasibleError, LexmoveError, TrialError, TrialFailedError
from lexmove.job.spec import ModelSpec, TaskSpec
from lexmove.space.search_space import Config
from lexmove.study.protocols import UNMEASURED, Report
from lexmove.study.trial import Measurement, Segment
from lexmove.trials.measuring import check_metric
from lexmove.trials.prediction import DecisionRule, Logits
from lexmove.trials.prepared import Preparation, Prepared, prepare
from lexmove.trials.recipe import Recipe
from lexmove.trials.scoring import fitted_threshold, scored
from lexmove.trials.stopwatch import Stopwatch

if TYPE_CHECKING:
    from lexmove.trials.fine_tuning import FineTuning

THRESHOLD = "threshold"
"""What a measurement calls the threshold that was fitted on its first split."""


_paused: "dict[Path, tuple[dict[str, Any], FineTuning]]" = {}
"""The training that this process paused last, by its checkpoint; at most one.

Where its worker is the one to go on with it, nothing has to be built or read.
"""


@dataclass(frozen=True, kw_only=True)
class FineTuningObjective:
    """Fine-tunes `model` on `task` with the config of a segment (an `Objective`).

    Reports every epoch, its checkpoint in place: `train_loss`, and all metrics of the first split
    of `evaluate_on`; at the last epoch of the segment also those of the further ones, as
    `test_f1_macro` and so on. Without `every_epoch`, the last epoch of a segment alone is measured;
    the one before it that was trained last is kept unmeasured, so that whoever comes after a worker
    that died goes on there. Cheap to pickle: tokens are mapped from the node's disk, pretrained
    weights loaded once per process. `data` is the fingerprint that the task must have; empty takes
    what is there. `max_epochs` is the full length of a trial, which the schedule is planned for.
    With `is_final`, the end of a segment is that of its trial: kept are the logits of its splits,
    and not what going on would take. `fits_threshold` takes the threshold of a multi-label task
    that is best on the first split, and measures it, too. Resolve `model.precision` before a study
    (`model.resolve_precision`).

    Raises:
        UsageError: `metric`, which the study is about, is unknown.
    """

    task: TaskSpec
    model: ModelSpec
    max_epochs: int
    data: str = ""
    metric: str = "f1_macro"
    goal: Literal["maximize", "minimize"] = "maximize"
    evaluate_on: tuple[str, ...] = ("validation",)
    every_epoch: bool = True
    is_final: bool = False
    fits_threshold: bool = False

    def __post_init__(self) -> None:
        check_metric(self.metric)

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        begun_s = time.monotonic()
        clock = Stopwatch()
        with trial_outcome():
            with clock.phase("import"):
                import_all()
            recipe = Recipe.from_config(segment.config, self.model)
            wanted = Preparation.of(
                recipe, task=self.task, data=self.data, model_name=self.model.name
            )
            data = prepare(wanted, clock)
            with clock.phase("load"):
                unmeasured = trial_dir / UNMEASURED
                training = self._continued(segment, data)
                after = segment.after
                if training is None:
                    training = self._start(segment, recipe, data)
                    after = self._restored(training, segment, data, unmeasured)
        try:
            for epoch in range(after + 1, segment.until + 1):
                last = epoch == segment.until
                with trial_outcome():
                    with clock.phase("train"):
                        metrics = {"train_loss": training.train_epoch(epoch)}
                    if not (last or self.every_epoch):
                        with clock.phase("checkpoint"):
                            self._save(training, unmeasured, self._note(segment, epoch, data))
                        continue
                    with clock.phase("evaluate"):
                        names = self.evaluate_on if last else self.evaluate_on[:1]
                        logits = {name: training.logits(data.splits[name]) for name in names}
                        metrics |= self._measured(logits, recipe, data)
                    folder = trial_dir / f"epoch_{epoch}"
                    with clock.phase("checkpoint"):
                        note = self._note(segment, epoch, data)
                        self._save(training, folder, note, logits if self.is_final else None)
                        shutil.rmtree(unmeasured, ignore_errors=True)
                now_s = time.monotonic()
                # Outside the guard: what `report` raises is the caller's own business.
                report(
                    Measurement(
                        fidelity=epoch,
                        metrics=metrics,
                        duration_s=now_s - begun_s,
                        phases_s=clock.take(),
                        checkpoint=str(folder),
                    )
                )
                begun_s = now_s
            if not self.is_final and segment.until < self.max_epochs:
                _paused[folder] = (self._note(segment, segment.until, data), training)
        finally:
            if not _paused:
                training.close()

    def warm_up(self, config: Config) -> None:
        """Does ahead what the first segment of a process does first: imports, tokens, weights.

        Raises:
            LexmoveError: as a segment of this config would.
        """
        from lexmove.trials.model import load_pretrained

        import_all()
        recipe = Recipe.from_config(config, self.model)
        prepare(Preparation.of(recipe, task=self.task, data=self.data, model_name=self.model.name))
        load_pretrained(self.model.name, recipe.num_hidden_layers)

    def _continued(self, segment: Segment, data: Prepared) -> "FineTuning | None":
        """The training of this segment, if this process has just paused it; else none is kept."""
        from lexmove.trials.effects import verify

        wanted = None if segment.resume_from is None else Path(segment.resume_from)
        kept = None if wanted is None else _paused.pop(wanted, None)
        close_paused()
        if kept is None:
            return None
        note, training = kept
        if note != self._note(segment, segment.after, data):
            training.close()
            return None
        verify(training)
        return training

    def _start(self, segment: Segment, recipe: Recipe, data: Prepared) -> "FineTuning":
        """A training that stands at `segment.after`, with the recipe in effect."""
        from lexmove.trials.effects import verify
        from lexmove.trials.fine_tuning import FineTuning, Plan
        from lexmove.trials.model import load_pretrained, resolve_precision

        plan = Plan(
            recipe=recipe,
            num_labels=len(data.labels),
            max_epochs=self.max_epochs,
            seed=segment.seed,
            precision=resolve_precision(self.model.precision),
        )
        pretrained = load_pretrained(self.model.name, recipe.num_hidden_layers)
        training = FineTuning(pretrained, data.splits["train"], plan)
        verify(training)
        return training

    def _restored(
        self, training: "FineTuning", segment: Segment, data: Prepared, unmeasured: Path
    ) -> int:
        """Takes a new training to where this segment goes on; returns after which epoch."""
        from lexmove.trials.checkpoint import load_state
        from lexmove.trials.effects import verify

        for epoch in range(segment.until - 1, segment.after, -1):
            note = self._note(segment, epoch, data)
            with suppress(TrialFailedError):  # not there, or of another epoch
                state = load_state(unmeasured, note=note, device=training.device)
                training.restore(state.weights, state.optimizer)
                verify(training)
                return epoch
        if segment.after:
            if segment.resume_from is None:
                raise TrialFailedError(
                    f"cannot continue after epoch {segment.after}: no checkpoint"
                )
            note = self._note(segment, segment.after, data)
            state = load_state(Path(segment.resume_from), note=note, device=training.device)
            training.restore(state.weights, state.optimizer)
            verify(training)
        return segment.after

    def _measured(
        self, logits: Mapping[str, Logits], recipe: Recipe, data: Prepared
    ) -> dict[str, float]:
        """All metrics of every split, decided as on the first one where the threshold is fitted."""
        rule = DecisionRule(is_multi_label=data.is_multi_label, threshold=recipe.threshold)
        metrics: dict[str, float] = {}
        for place, (name, values) in enumerate(logits.items()):
            labels = data.splits[name].labels
            if place == 0 and self.fits_threshold and data.is_multi_label:
                rule = fitted_threshold(
                    rule,
                    values,
                    labels,
                    metric=self.metric,
                    no_label_column=data.no_label_column,
                    sign=1.0 if self.goal == "maximize" else -1.0,
                )
                metrics[THRESHOLD] = rule.threshold
            measured = scored(
                rule,
                values,
                labels,
                metric=self.metric,
                no_label_column=data.no_label_column,
            )
            prefix = f"{name}_" if place else ""
            metrics |= {f"{prefix}{metric}": value for metric, value in measured.items()}
        return metrics

    def _note(self, segment: Segment, epoch: int, data: Prepared) -> dict[str, Any]:
        """What a checkpoint must agree on to be continued."""
        return {
            "fidelity": epoch,
            "config": dict(segment.config),
            "seed": segment.seed,
            "max_epochs": self.max_epochs,
            "data": data.fingerprint,
        }

    def _save(
        self,
        training: "FineTuning",
        folder: Path,
        note: Mapping[str, Any],
        logits: Mapping[str, Logits] | None = None,
    ) -> None:
        """Writes what going on takes; where there are logits, those in its place."""
        from lexmove.trials.checkpoint import TrialState, save_state

        state = TrialState(
            weights=training.weights(),
            optimizer=training.training_state() if logits is None else {},
            note=note,
            logits=logits or {},
        )
        save_state(folder, state)


def close_paused() -> None:
    """Forgets the training that was paused last: what goes on with it reads its checkpoint."""
    while _paused:
        _, (_, training) = _paused.popitem()
        training.close()


@cache
def import_all() -> None:
    """What takes seconds in a fresh worker, once."""
    for name in ("lexmove.trials.fine_tuning", "transformers.models.auto.modeling_auto"):
        import_module(name)
    # Half a million objects that stay: to look through them costs .25 s after every trial.
    gc.collect()
    gc.freeze()


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
        from lexmove.trials.fine_tuning import is_out_of_memory

        reason = f"{type(error).__name__}: {_first_line(error)}"
        if is_out_of_memory(error):
            raise InfeasibleError(f"out of memory: {_first_line(error)}") from error
        raise TrialFailedError(reason) from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
