"""Fine-tuning: epochs of AdamW under a schedule planned for the full length of a trial.

A plain torch loop and not HF's `Trainer`: a trial must go on at an epoch exactly as if it had
never been paused. So the schedule is always that of `max_epochs`, and
dropout and data order are seeded by (seed, epoch).
Left out: several GPUs per trial, gradient checkpointing.
"""

import gc
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexmove.errors import TrialFailedError
from lexmove.space.move import say_value
from lexmove.trials.classifier import TextClassifier
from lexmove.trials.loss import Loss
from lexmove.trials.model import (
    Precision,
    Pretrained,
    build_classifier,
    embedding_block,
    encoder_layers,
)
from lexmove.trials.recipe import Recipe
from lexmove.trials.tokens import Batch, Tokens, evaluation_batches, training_batches

_EVALUATION_TOKENS = {"cpu": 2_048}
_MOST_EVALUATION_TOKENS = 16_384
"""Tokens per evaluation batch, padding included, by device; a CPU's caches hold no more.

400 texts of 48 tokens, two layers of MiniLM: .43 to .45 s with 512 to 2,048, .57 s with 16,384.
"""

_STEPS_UNSEEN = 32
"""Optimizer steps between two looks at the losses: a look makes the host wait for a GPU."""

_LEFT_BYTES = 64 * 2**20
"""Libraries keep some megabytes of a GPU for themselves."""

_T = TypeVar("_T")

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is fixed before the first step.

    What is to be decided (one of `num_labels` classes, several of them, one of several endings) is
    said by the tokens. `max_epochs` is the full length that the schedule is planned for; `seed`
    that of the head, of dropout and of the data order.
    """

    recipe: Recipe
    num_labels: int
    max_epochs: int
    seed: int
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loader:
    """The training split in batches; `accumulation` of them make one optimizer step."""

    tokens: Tokens
    batch_size: int
    accumulation: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps that one pass over the data takes."""
        return math.ceil(math.ceil(len(self.tokens) / self.batch_size) / self.accumulation)

    def steps(self, rng: np.random.Generator) -> list[list[NDArray[np.int64]]]:
        """Positions of the examples of one epoch: a list of batches for every step."""
        batches = training_batches(self.tokens.areas, self.batch_size, rng)
        return [
            batches[start : start + self.accumulation]
            for start in range(0, len(batches), self.accumulation)
        ]


class Room:
    """How much memory holds at a time: examples in training, padded tokens in evaluation.

    What does not fit is done again in halves: the same gradients, added up from smaller parts.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def enough_for(self, do: Callable[[], _T]) -> _T:
        """What `do` returns, with as much less room as it needs.

        Raises:
            Exception: out of memory with room for 1, or what else `do` raises.
        """
        while True:
            try:
                return do()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self.size == 1:
                    raise
            # Outside the handler, which would hold the tensors of the failed attempt.
            self.size //= 2
            free_memory()


class FineTuning:
    """One trial's training: a model, its optimizer and schedule, and where they stand.

    Whether all of it is as the recipe says, `effects.verify` finds out.

    Raises:
        InfeasibleError: the recipe does not fit the model.
        TrialFailedError: training diverged.
    """

    def __init__(self, pretrained: Pretrained, train: Tokens, plan: Plan) -> None:
        from transformers import get_scheduler

        recipe = plan.recipe
        self.plan = plan
        self.loader = Loader(
            tokens=train, batch_size=recipe.batch_size, accumulation=recipe.accumulation
        )
        # Unchecked, it is the device that this torch was built for, be there one or not.
        found = torch.accelerator.current_accelerator(check_available=True)
        self.device = found or torch.device("cpu")
        torch.manual_seed(plan.seed)
        model: Any = build_classifier(
            pretrained, recipe, num_labels=plan.num_labels, shape=train.shape
        )
        groups = _parameter_groups(model, recipe)
        betas = (recipe.adam_beta1, recipe.adam_beta2)
        self.model = model.to(self.device)
        self.optimizer = torch.optim.AdamW(
            # The groups have their own rates; the polynomial schedule reads this one.
            groups,
            lr=recipe.learning_rate,
            betas=betas,
            eps=recipe.adam_epsilon,
            fused=True,
        )
        self.scheduler = get_scheduler(
            recipe.schedule,
            self.optimizer,
            num_warmup_steps=warmup_steps(recipe, self.num_steps),
            num_training_steps=self.num_steps,
        )
        # fp16 alone underflows without scaled losses.
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=plan.precision == "fp16")
        self.loss = Loss.of(recipe, train.labels, num_labels=plan.num_labels, device=self.device)
        self.max_grad_norm = recipe.max_grad_norm
        self.num_steps_done = 0
        self._examples = Room(recipe.batch_size)
        self._evaluation_tokens = Room(
            _EVALUATION_TOKENS.get(self.device.type, _MOST_EVALUATION_TOKENS)
        )

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the full training."""
        return self.loader.steps_per_epoch * self.plan.max_epochs

    def train_epoch(self, epoch: int) -> float:
        """Trains epoch `epoch`, counted from 1; returns the mean loss per batch.

        Raises:
            TrialFailedError: the loss is no longer finite.
            InfeasibleError: not even single examples have room in memory.
        """
        seeds = np.random.SeedSequence([self.plan.seed, epoch])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        self.model.train()
        losses: list[float] = []
        unseen: list[Tensor] = []
        for batches in self.loader.steps(np.random.default_rng(seeds)):
            unseen += self.train_step(batches)
            if len(unseen) >= _STEPS_UNSEEN * self.loader.accumulation:
                losses += self._seen(unseen, len(losses), epoch)
                unseen = []
        losses += self._seen(unseen, len(losses), epoch)
        return float(np.mean(losses))

    def _seen(self, unseen: list[Tensor], num_before: int, epoch: int) -> list[float]:
        """The losses of consecutive batches as numbers; the host waits for them."""
        values: list[float] = torch.stack(unseen).tolist() if unseen else []
        for place, value in enumerate(values, num_before):
            if not math.isfinite(value):
                before = (epoch - 1) * self.loader.steps_per_epoch
                step = before + place // self.loader.accumulation + 1
                raise self._diverged("training loss", value, step)
        return values

    def train_step(self, batches: list[NDArray[np.int64]]) -> list[Tensor]:
        """One optimizer step over the gradients of batches of positions; returns their losses."""
        losses = self._examples.enough_for(lambda: self._gradients(batches))
        self._scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.scheduler.step()
        self.num_steps_done += 1
        return losses

    def _gradients(self, batches: list[NDArray[np.int64]]) -> list[Tensor]:
        """Adds up the gradients of the mean over these batches, in parts that have room."""
        self.optimizer.zero_grad()
        losses = []
        for index in batches:
            labels = torch.from_numpy(self.loader.tokens.labels[index]).to(self.device)
            total = torch.zeros((), device=self.device)
            for start in range(0, len(index), self._examples.size):
                part = slice(start, start + self._examples.size)
                logits = self._forward(self.loader.tokens.batch(index[part]))
                loss = self.loss(logits, labels[part]) * self.loss.share(labels[part], labels)
                scaled: Any = self._scaler.scale(loss / len(batches))
                scaled.backward()
                total += loss.detach()
            losses.append(total)
        return losses

    def _forward(self, batch: Batch) -> Tensor:
        """Logits, (B, C), in full precision."""
        ids, mask, types = map(self._on_device, (batch.ids, batch.mask, batch.types))
        half = _HALF.get(self.plan.precision)
        with torch.autocast(self.device.type, dtype=half, enabled=half is not None):
            logits: Tensor = self.model(
                input_ids=ids, attention_mask=mask, token_type_ids=types
            ).logits
        return logits.float()

    def _on_device(self, array: NDArray[np.int64] | None) -> Tensor | None:
        """A copy that the host does not wait for, where there is a device to copy to."""
        if array is None:
            return None
        tensor = torch.from_numpy(array)
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    @torch.inference_mode()
    def logits(self, tokens: Tokens) -> NDArray[np.float32]:
        """What the model says of every example, (N, C), in the order of `tokens`.

        Raises:
            TrialFailedError: a logit is not finite.
            InfeasibleError: not even a single example has room in memory.
        """
        self.model.eval()
        found = np.empty((len(tokens), self.plan.num_labels), dtype=np.float32)
        for index, logits_BC in self._evaluation_tokens.enough_for(lambda: self._evaluated(tokens)):
            found[index] = logits_BC.cpu().numpy()
        if not np.isfinite(found).all():
            raise self._diverged("a logit", math.nan, self.num_steps_done)
        return found

    def _evaluated(self, tokens: Tokens) -> list[tuple[NDArray[np.int64], Tensor]]:
        """Positions and logits (B, C) of batch after batch; they are on the device still."""
        return [
            (index, self._forward(tokens.batch(index)))
            for index in evaluation_batches(tokens, self._evaluation_tokens.size)
        ]

    def _diverged(self, what: str, value: float, step: int) -> TrialFailedError:
        rate = say_value(self.plan.recipe.learning_rate)
        return TrialFailedError(
            f"diverged: {what} is {value} at optimizer step {step} (learning_rate {rate})"
        )

    def weights(self) -> dict[str, Tensor]:
        """The trained parameters by name."""
        return {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad}

    def training_state(self) -> dict[str, Any]:
        """States of the optimizer, the schedule and the loss scale; the number of steps done."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self._scaler.state_dict(),
            "num_steps_done": self.num_steps_done,
            "examples_at_a_time": self._examples.size,
        }

    def restore(self, weights: Mapping[str, Tensor], training_state: Mapping[str, Any]) -> None:
        """Takes over what `weights` and `training_state` gave.

        Raises:
            TrialFailedError: they are those of another model.
        """
        if set(weights) != set(self.weights()):
            raise TrialFailedError("cannot continue: the checkpoint holds other weights")
        self.model.load_state_dict(dict(weights), strict=False)
        self.optimizer.load_state_dict(training_state["optimizer"])
        self.scheduler.load_state_dict(training_state["scheduler"])
        self._scaler.load_state_dict(training_state["scaler"])
        self.num_steps_done = int(training_state["num_steps_done"])
        self._examples.size = int(training_state["examples_at_a_time"])

    def close(self) -> None:
        """Gives the memory back, that of a GPU too: the process goes on with other trials.

        What a GPU still holds then is told in the trial's log: the next trial would lack it.
        """
        del self.model, self.optimizer, self.scheduler
        free_memory()
        num_bytes = held_bytes()
        if num_bytes > _LEFT_BYTES:
            logging.getLogger(__name__).warning(
                "%d MiB of GPU memory are still held after the trial", num_bytes >> 20
            )


def free_memory() -> None:
    """Collects what nothing refers to, and gives a GPU's back."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def held_bytes() -> int:
    """What this process holds of its GPU's memory; 0 without one."""
    return torch.accelerator.memory_allocated() if torch.accelerator.is_available() else 0


def is_out_of_memory(error: BaseException) -> bool:
    """Python's, CUDA's, or that of torch's CPU allocator, which is a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def warmup_steps(recipe: Recipe, num_steps: int) -> int:
    """Optimizer steps of the warm-up; a value below 1 is a ratio of all (transformers 5)."""
    if recipe.warmup_steps < 1:
        return math.ceil(recipe.warmup_steps * num_steps)
    return int(recipe.warmup_steps)


def _parameter_groups(model: TextClassifier, recipe: Recipe) -> list[dict[str, Any]]:
    """The head first, then layer by layer downwards; biases and LayerNorms without weight decay."""
    encoder = model.encoder
    blocks: list[tuple[nn.Module, float]] = [
        (model.head, recipe.learning_rate * recipe.head_lr_multiplier)
    ]
    if model.segments is not None:
        blocks.append((model.segments, recipe.learning_rate))
    for depth, block in enumerate([*reversed(encoder_layers(encoder)), embedding_block(encoder)]):
        blocks.append((block, recipe.learning_rate * recipe.layer_lr_decay**depth))
    # What belongs to no layer (a final LayerNorm) comes last and takes the full rate.
    blocks.append((encoder, recipe.learning_rate))
    groups, placed = [], set[int]()
    for block, rate in blocks:
        trained = [p for p in block.parameters() if p.requires_grad and id(p) not in placed]
        placed |= {id(p) for p in trained}
        for params, decay in (
            ([p for p in trained if p.ndim > 1], recipe.weight_decay),
            ([p for p in trained if p.ndim <= 1], 0.0),
        ):
            if params:
                groups.append({"params": params, "lr": rate, "weight_decay": decay})
    return groups
