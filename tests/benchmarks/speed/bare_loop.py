"""A bare PyTorch loop as the limit: what training costs with nothing around it.

It trains the same model on the same batches under the same schedule as `FineTuning`, so that the
losses are the same numbers. Its tensors are made before the clock starts, its parameters are in as
few groups as the rates need, and no loss is looked at before the epoch is over. Left out:
accumulation, fp16 with its scaled losses, smoothing, class weights, and rates by layer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import get_scheduler

from lexmove.trials.fine_tuning import Loader, Plan, warmup_steps
from lexmove.trials.model import Pretrained, build_classifier
from lexmove.trials.recipe import Recipe
from lexmove.trials.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedEpoch:
    """Padded tensors of one epoch's batches (ids, mask, labels), and the seed of its dropout."""

    batches: tuple[tuple[Tensor, Tensor, Tensor], ...]
    seed: int


class BareLoop:
    """A training from scratch; epochs are prepared and trained one after the other."""

    def __init__(
        self, pretrained: Pretrained, train: Tokens, plan: Plan, *, device: torch.device
    ) -> None:
        recipe = plan.recipe
        self._seed, self._device = plan.seed, device
        self._max_grad_norm = recipe.max_grad_norm
        self._half = torch.bfloat16 if plan.precision == "bf16" else None
        self._loader = Loader(tokens=train, batch_size=recipe.batch_size, accumulation=1)
        torch.manual_seed(plan.seed)
        model: Any = build_classifier(pretrained, recipe, num_labels=plan.num_labels)
        self._model = model.to(device)
        self._trained = [p for p in self._model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(
            _groups(self._model, recipe),
            betas=(recipe.adam_beta1, recipe.adam_beta2),
            eps=recipe.adam_epsilon,
            fused=True,
        )
        num_steps = self._loader.steps_per_epoch * plan.max_epochs
        self._scheduler = get_scheduler(
            recipe.schedule,
            self._optimizer,
            num_warmup_steps=warmup_steps(recipe, num_steps),
            num_training_steps=num_steps,
        )

    def prepared(self, epoch: int) -> PreparedEpoch:
        """The tensors of epoch `epoch`, counted from 1."""
        seeds = np.random.SeedSequence([self._seed, epoch])
        steps = self._loader.steps(np.random.default_rng(seeds))
        return PreparedEpoch(
            batches=tuple(self._tensors(index) for step in steps for index in step),
            seed=int(seeds.generate_state(1)[0]),
        )

    def _tensors(self, index: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        batch = self._loader.tokens.batch(index)
        ids, mask, labels = (
            torch.from_numpy(array).to(self._device)
            for array in (batch.ids, batch.mask, batch.labels)
        )
        return ids, mask, labels

    def train(self, epoch: PreparedEpoch) -> float:
        """Trains one epoch; returns the mean loss per batch."""
        torch.manual_seed(epoch.seed)
        self._model.train()
        losses = []
        for ids, mask, labels in epoch.batches:
            with torch.autocast(
                self._device.type, dtype=self._half, enabled=self._half is not None
            ):
                logits_BC = self._model(input_ids=ids, attention_mask=mask).logits
            loss: Any = cross_entropy(logits_BC.float(), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(self._trained, self._max_grad_norm)
            self._optimizer.step()
            self._scheduler.step()
            self._optimizer.zero_grad()
            losses.append(loss.detach())
        return float(torch.stack(losses).double().mean())


def _groups(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """Head and encoder, matrices with weight decay and vectors without."""
    rate = recipe.learning_rate
    return [
        {
            "params": [p for p in part.parameters() if p.requires_grad and (p.ndim > 1) == decays],
            "lr": part_rate,
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for part, part_rate in (
            (model.head, rate * recipe.head_lr_multiplier),
            (model.encoder, rate),
        )
        for decays in (True, False)
    ]
