"""Fine-tuning: epochs of AdamW under a schedule planned for the full length of a trial.

A plain loop over accelerate (device, backward, clipping) and not HF's `Trainer`: a trial must go
on at an epoch exactly as if it had never been paused. So the schedule is always that of
`max_epochs`, and dropout and data order are seeded by (seed, epoch).
Left out: several GPUs per trial, gradient checkpointing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.space.move import say_value
from lexmove.trials.model import (
    Precision,
    Pretrained,
    TextClassifier,
    build_classifier,
    embedding_block,
    encoder_layers,
    hidden_dropout_name,
)
from lexmove.trials.recipe import Recipe
from lexmove.trials.tokens import Tokens, evaluation_batches, training_batches

_EVALUATION_TOKENS = 16_384
"""Tokens per evaluation batch, at the maximal length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is fixed before the first step.

    Whether a text has one of `num_labels` classes or several is said by the labels themselves.
    `max_epochs` is the full length that the schedule is planned for; `seed` that of the head, of
    dropout and of the data order.
    """

    recipe: Recipe
    num_labels: int
    max_epochs: int
    seed: int
    precision: Precision


class FineTuning:
    """One trial's training: a model, its optimizer and schedule, and where they stand.

    Raises:
        InfeasibleError: the recipe does not fit the model.
        TrialFailedError: what was set up is not what the recipe says, or training diverged.
    """

    def __init__(self, pretrained: Pretrained, train: Tokens, plan: Plan) -> None:
        from transformers import get_scheduler

        self._plan, self._train = plan, train
        # bf16 needs no loss scaling: autocast is ours, so that one process can serve both.
        self._accelerator = Accelerator(mixed_precision="no")
        torch.manual_seed(plan.seed)
        model = build_classifier(pretrained, plan.recipe, num_labels=plan.num_labels)
        groups = _parameter_groups(model, plan.recipe)
        betas = (plan.recipe.adam_beta1, plan.recipe.adam_beta2)
        model = model.to(self._accelerator.device)
        optimizer = torch.optim.AdamW(
            groups, lr=0.0, betas=betas, eps=plan.recipe.adam_epsilon, fused=True
        )
        self.model: TextClassifier
        self.model, self.optimizer = self._accelerator.prepare(model, optimizer)
        self._scheduler = get_scheduler(
            plan.recipe.schedule,
            self.optimizer,
            num_warmup_steps=warmup_steps(plan.recipe, self.num_steps),
            num_training_steps=self.num_steps,
        )
        self._class_weights = self._weights_of_classes()
        self._num_steps_done = 0
        self._verify()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self._accelerator.device
        return device

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the full training."""
        recipe = self._plan.recipe
        batches = math.ceil(len(self._train) / recipe.batch_size)
        return math.ceil(batches / recipe.accumulation) * self._plan.max_epochs

    def train_epoch(self, epoch: int) -> float:
        """Trains epoch `epoch`, counted from 1; returns the mean loss per batch.

        Raises:
            TrialFailedError: the loss is no longer finite.
        """
        seeds = np.random.SeedSequence([self._plan.seed, epoch])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        recipe = self._plan.recipe
        batches = training_batches(
            self._train.lengths, recipe.batch_size, np.random.default_rng(seeds)
        )
        self.model.train()
        losses: list[float] = []
        for start in range(0, len(batches), recipe.accumulation):
            losses += self._step(batches[start : start + recipe.accumulation])
        return float(np.mean(losses))

    def _step(self, batches: list[NDArray[np.int64]]) -> list[float]:
        """One optimizer step over the gradients of these batches; returns their losses."""
        losses = []
        for index in batches:
            loss = self._loss(index)
            self._accelerator.backward(loss / len(batches))
            losses.append(loss.item())
        if not math.isfinite(sum(losses)):
            raise self._diverged("training loss", sum(losses), self._num_steps_done + 1)
        self._accelerator.clip_grad_norm_(self.model.parameters(), self._plan.recipe.max_grad_norm)
        self.optimizer.step()
        self._scheduler.step()
        self.optimizer.zero_grad()
        self._num_steps_done += 1
        return losses

    def _loss(self, index: NDArray[np.int64]) -> Tensor:
        logits_BC, labels = self._forward(self._train, index)
        smoothing = self._plan.recipe.label_smoothing
        if self._train.is_multi_label:
            # Smoothed as for one class among two: each decision is one of its own.
            targets_BC = labels * (1 - smoothing) + smoothing / 2
            return binary_cross_entropy_with_logits(logits_BC, targets_BC)
        return cross_entropy(
            logits_BC, labels, weight=self._class_weights, label_smoothing=smoothing
        )

    def _forward(self, tokens: Tokens, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        device = self._accelerator.device
        ids_BL, mask_BL, labels = (
            torch.from_numpy(array).to(device) for array in tokens.batch(index)
        )
        bf16 = self._plan.precision == "bf16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            logits_BC: Tensor = self.model(ids_BL, mask_BL)
        return logits_BC.float(), labels

    @torch.inference_mode()
    def predict(self, tokens: Tokens) -> NDArray[np.int64]:
        """The most likely class of every text, (N,); with several labels, 0 or 1 for each, (N, C).

        A label is given where its probability is above the recipe's threshold.

        Raises:
            TrialFailedError: the logits are not finite.
        """
        self.model.eval()
        size = max(1, _EVALUATION_TOKENS // self._plan.recipe.max_length)
        predicted = np.empty_like(tokens.labels)
        for index in evaluation_batches(tokens.lengths, size):
            logits_BC, _ = self._forward(tokens, index)
            if not bool(torch.isfinite(logits_BC).all()):
                raise self._diverged("a logit", math.nan, self._num_steps_done)
            predicted[index] = self._decide(logits_BC).cpu().numpy()
        return predicted

    def _decide(self, logits_BC: Tensor) -> Tensor:
        if self._train.is_multi_label:
            return (logits_BC.sigmoid() > self._plan.recipe.threshold).long()
        return logits_BC.argmax(dim=1)

    def _diverged(self, what: str, value: float, step: int) -> TrialFailedError:
        rate = say_value(self._plan.recipe.learning_rate)
        return TrialFailedError(
            f"diverged: {what} is {value} at optimizer step {step} (learning_rate {rate})"
        )

    def weights(self) -> dict[str, Tensor]:
        """The trained parameters by name."""
        return {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad}

    def training_state(self) -> dict[str, Any]:
        """States of the optimizer and of the schedule, and the number of steps done."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "num_steps_done": self._num_steps_done,
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
        self._scheduler.load_state_dict(training_state["scheduler"])
        self._num_steps_done = int(training_state["num_steps_done"])

    def close(self) -> None:
        """Gives the memory back, that of a GPU too: the process goes on with other trials."""
        self._accelerator.free_memory(self.model, self.optimizer)
        del self.model, self.optimizer, self._scheduler

    def _weights_of_classes(self) -> Tensor | None:
        """Weights (C,) of n / (C · n_c), scikit-learn's `balanced`; None if all count the same."""
        if self._plan.recipe.class_weighting == "none":
            return None
        if self._train.is_multi_label:
            raise InfeasibleError("model.class_weighting: balanced needs one class per text")
        counts = np.bincount(self._train.labels, minlength=self._plan.num_labels)
        weights = len(self._train) / (self._plan.num_labels * np.maximum(counts, 1))
        return torch.tensor(weights, dtype=torch.float32, device=self._accelerator.device)

    def _verify(self) -> None:
        """Reads back what is in effect: a hyperparameter without effect ruins a study silently."""
        recipe, config = self._plan.recipe, self.model.encoder.config
        head, *rest = self.optimizer.param_groups
        wanted = {
            "learning_rate": (recipe.learning_rate, head["initial_lr"] / recipe.head_lr_multiplier),
            "weight_decay": (
                recipe.weight_decay,
                max(group["weight_decay"] for group in (head, *rest)),
            ),
            "adam_beta2": (recipe.adam_beta2, head["betas"][1]),
            "model.classifier_dropout": (recipe.classifier_dropout, self.model.dropout.p),
            "model.hidden_dropout": (
                recipe.hidden_dropout,
                getattr(config, hidden_dropout_name(config) or "", None)
                if recipe.hidden_dropout is not None
                else None,
            ),
        }
        for name, (asked, found) in wanted.items():
            if asked != found and not math.isclose(asked or 0.0, found or 0.0, rel_tol=1e-6):
                raise TrialFailedError(f"{name} is {found} in effect, not {asked} as asked")
        if self.model.pooling != recipe.pooling:
            raise TrialFailedError(f"model.pooling is {self.model.pooling} in effect")
        if int(self._train.lengths.max()) > recipe.max_length:
            raise TrialFailedError(
                f"a text has {self._train.lengths.max()} tokens, model.max_length says"
                f" {recipe.max_length}"
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
