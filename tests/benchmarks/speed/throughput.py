"""Throughput: training samples/s of lexmove's `FineTuning` against a bare PyTorch loop.

Both train the same epochs in this process, on one thread, epoch by epoch, and take turns in going
first. An epoch of lexmove is `train_epoch`, with the batches that it makes; evaluation and
checkpoints are outside, in both. The figure is the median over the epochs of all repeats.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.speed.bare_loop import BareLoop
from benchmarks.speed.comparison import Comparison, ComparisonError, ratio
from benchmarks.speed.setting import Setting
from lexmove.trials.fine_tuning import FineTuning, Plan
from lexmove.trials.model import (
    Pretrained,
    load_pretrained,
    load_tokenizer,
    resolve_precision,
)
from lexmove.trials.recipe import Recipe
from lexmove.trials.tasks.task import TaskData, load_task
from lexmove.trials.tokens import Tokens, tokenized

MAX_LOSS_DIFFERENCE = 1e-6
"""Between mean losses of an epoch, about 1: more than that is another training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPair:
    """One epoch of both: seconds, and mean losses per batch."""

    num_samples: int
    ours_s: float
    bare_s: float
    ours_loss: float
    bare_loss: float

    @property
    def ratio(self) -> float:
        """Our samples/s divided by those of the bare loop."""
        return self.bare_s / self.ours_s

    @property
    def loss_difference(self) -> float:
        """Absolute."""
        return abs(self.ours_loss - self.bare_loss)


def measure(setting: Setting, folder: Path) -> Comparison:
    """Times all repeats, after an epoch that only warms the process up; needs no folder.

    Raises:
        ComparisonError: the losses differ.
    """
    torch.set_num_threads(1)
    task, model = load_task(setting.task), setting.model
    tokens = tokenized(task.train, load_tokenizer(model.name), max_length=model.max_length)
    pretrained = load_pretrained(model.name, model.num_hidden_layers)
    plans = [_plan(setting, task, seed=seed) for seed in range(setting.repeats)]
    played(pretrained, tokens, plans[0], num_epochs=1)
    repeats = [
        played(pretrained, tokens, plan, num_epochs=setting.throughput_epochs) for plan in plans
    ]
    return Comparison(
        title="Throughput",
        head=["repeat", "lexmove", "bare loop", "ratio", "largest difference of losses"],
        rows=[_row(number, pairs) for number, pairs in enumerate(repeats, start=1)],
        figure=median(pair.ratio for pairs in repeats for pair in pairs),
    )


def _plan(setting: Setting, task: TaskData, *, seed: int) -> Plan:
    recipe = Recipe(
        learning_rate=5e-4,
        weight_decay=0.01,
        warmup_steps=0.1,
        max_length=setting.model.max_length,
        freeze_embeddings=True,
    )
    return Plan(
        recipe=recipe,
        num_labels=len(task.labels),
        max_epochs=setting.throughput_epochs,
        seed=seed,
        precision=resolve_precision("auto"),
    )


def played(
    pretrained: Pretrained, tokens: Tokens, plan: Plan, *, num_epochs: int
) -> list[EpochPair]:
    """Trains the first epochs of a plan in both ways.

    Raises:
        ComparisonError: the losses differ.
    """
    ours = FineTuning(pretrained, tokens, plan)
    bare = BareLoop(pretrained, tokens, plan, device=ours.device)
    pairs = [_pair(ours, bare, epoch) for epoch in range(1, num_epochs + 1)]
    ours.close()
    worst = max(pair.loss_difference for pair in pairs)
    if not worst <= MAX_LOSS_DIFFERENCE:
        raise ComparisonError(f"losses differ by {worst:.2g}: these are two trainings")
    return pairs


def _pair(ours: FineTuning, bare: BareLoop, epoch: int) -> EpochPair:
    prepared = bare.prepared(epoch)
    turns: list[tuple[str, Callable[[], float]]] = [
        ("ours", lambda: ours.train_epoch(epoch)),
        ("bare", lambda: bare.train(prepared)),
    ]
    timed = {name: _timed(train) for name, train in turns[:: 1 if epoch % 2 else -1]}
    return EpochPair(
        num_samples=len(ours.loader.tokens),
        ours_s=timed["ours"][0],
        bare_s=timed["bare"][0],
        ours_loss=timed["ours"][1],
        bare_loss=timed["bare"][1],
    )


def _timed(train: Callable[[], float]) -> tuple[float, float]:
    since = time.perf_counter()
    loss = train()
    return time.perf_counter() - since, loss


def _row(number: int, pairs: list[EpochPair]) -> list[str]:
    num_samples = sum(pair.num_samples for pair in pairs)
    return [
        str(number),
        f"{num_samples / sum(pair.ours_s for pair in pairs):.1f} samples/s",
        f"{num_samples / sum(pair.bare_s for pair in pairs):.1f} samples/s",
        ratio(median(pair.ratio for pair in pairs)),
        f"{max(pair.loss_difference for pair in pairs):.1g}",
    ]
