"""Effects: every hyperparameter read back from what trains, for one without effect ruins a study.

Read from the optimizer, the schedule, the model, the loss and the loader, after set-up and after
every restore; never from the recipe that set them.
"""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import nn

from lexmove.errors import TrialFailedError
from lexmove.trials.adapters import adapters_of
from lexmove.trials.fine_tuning import FineTuning, warmup_steps
from lexmove.trials.loss import balanced_weights
from lexmove.trials.model import embedding_block, encoder_layers, hidden_dropout_name
from lexmove.trials.recipe import Encoding, Recipe


def verify(training: FineTuning) -> None:
    """Compares all that is in effect with the recipe.

    Raises:
        TrialFailedError: a hyperparameter, by its name, has another value than was asked for.
    """
    recipe = training.plan.recipe
    names = {item.name: item.metadata["name"] for item in fields(Recipe)}
    for field_name, read in READ_BACK.items():
        name, asked = names[field_name], getattr(recipe, field_name)
        found = read(training)
        if asked is not None and not _agree(asked, found):
            raise TrialFailedError(f"{name} is {found} in effect, not {asked} as asked")


def _agree(asked: Any, found: Any) -> bool:
    if isinstance(asked, float) and isinstance(found, int | float):
        return math.isclose(asked, found, rel_tol=1e-6, abs_tol=1e-12)
    return bool(asked == found)


def _rates(training: FineTuning, module: nn.Module | None) -> set[float]:
    """Peak learning rates of a module's trained parameters."""
    own = set() if module is None else {id(p) for p in module.parameters()}
    return {
        group["initial_lr"]
        for group in training.optimizer.param_groups
        for parameter in group["params"]
        if id(parameter) in own
    }


def _one(values: set[Any]) -> Any:
    """The one value of a set, else all of them for the message."""
    return next(iter(values)) if len(values) == 1 else sorted(values, key=str)


def _num_hidden_layers(training: FineTuning) -> int:
    """The layers that are there; what the encoder goes by where they share their weights."""
    encoder = training.model.encoder
    return len(encoder_layers(encoder)) or int(encoder.config.num_hidden_layers)


def _learning_rate(training: FineTuning) -> Any:
    """The rate of the last layer and of the transformer over segments; else that of the head."""
    layers = encoder_layers(training.model.encoder)
    last = _rates(training, layers[-1] if layers else training.model.encoder)
    rates = last | _rates(training, training.model.segments)
    if not rates:
        head = _rates(training, training.model.head)
        rates = {rate / training.plan.recipe.head_lr_multiplier for rate in head}
    factor = _current_factor(training)
    for group in training.optimizer.param_groups:
        if not math.isclose(group["lr"], group["initial_lr"] * factor, rel_tol=1e-6, abs_tol=1e-30):
            return f"{group['lr']} at step {training.num_steps_done}"
    return _one(rates)


def _current_factor(training: FineTuning) -> float:
    """What the schedule multiplies the rates by at the number of steps that were done."""
    return float(training.scheduler.lr_lambdas[0](training.num_steps_done))


def _head_lr_multiplier(training: FineTuning) -> Any:
    rates = _rates(training, training.model.head)
    return _one({rate / training.plan.recipe.learning_rate for rate in rates})


def _layer_lr_decay(training: FineTuning) -> Any:
    """From every block's rate; as asked where the last layer alone is trained."""
    asked, top = training.plan.recipe.layer_lr_decay, training.plan.recipe.learning_rate
    encoder = training.model.encoder
    blocks = [*reversed(encoder_layers(encoder)), embedding_block(encoder)]
    decays = {
        (rate / top) ** (1 / depth)
        for depth, block in enumerate(blocks)
        for rate in _rates(training, block)
        if depth > 0
    }
    wrong = {decay for decay in decays if not _agree(asked, decay)}
    return _one(wrong) if wrong else asked


def _of_groups(name: str, place: int | None = None) -> Callable[[FineTuning], Any]:
    def read(training: FineTuning) -> Any:
        values = [group[name] for group in training.optimizer.param_groups]
        return _one(set(values if place is None else [value[place] for value in values]))

    return read


def _weight_decay(training: FineTuning) -> Any:
    """Of matrices; vectors (biases, LayerNorms) have none."""
    groups = training.optimizer.param_groups
    decayed = {g["weight_decay"] for g in groups if any(p.ndim > 1 for p in g["params"])}
    spared = {g["weight_decay"] for g in groups if all(p.ndim <= 1 for p in g["params"])}
    return _one(decayed if spared <= {0.0} else decayed | spared)


def _schedule(training: FineTuning) -> str:
    """The name whose shape the schedule has at five points after the warm-up."""
    recipe = training.plan.recipe
    wanted, num_steps = _reference_schedule(training), training.num_steps
    start = min(warmup_steps(recipe, num_steps), num_steps)
    points = np.linspace(start, num_steps, 5).astype(int)
    same = all(_same_factor(training, wanted, step) for step in points)
    at_place = training.scheduler.last_epoch == training.num_steps_done
    return recipe.schedule if same and at_place else "another schedule, or another place in it"


def _warmup(training: FineTuning) -> Any:
    recipe = training.plan.recipe
    num_warmup = warmup_steps(recipe, training.num_steps)
    wanted = _reference_schedule(training)
    points = sorted({0, num_warmup // 2, num_warmup})
    if all(_same_factor(training, wanted, step) for step in points):
        return recipe.warmup_steps
    return "another number of steps"


def _reference_schedule(training: FineTuning) -> Any:
    """The schedule that the recipe asks for, on a parameter of its own."""
    from transformers import get_scheduler

    recipe, num_steps = training.plan.recipe, training.num_steps
    return get_scheduler(
        recipe.schedule,
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=training.optimizer.defaults["lr"]),
        num_warmup_steps=warmup_steps(recipe, num_steps),
        num_training_steps=num_steps,
    ).lr_lambdas[0]


def _same_factor(training: FineTuning, wanted: Any, step: int) -> bool:
    found = training.scheduler.lr_lambdas[0](int(step))
    return math.isclose(found, wanted(int(step)), rel_tol=1e-9, abs_tol=1e-12)


def _hidden_dropout(training: FineTuning) -> Any:
    """Of the config, if a layer of the encoder has it."""
    encoder = training.model.encoder
    asked = getattr(encoder.config, hidden_dropout_name(encoder.config) or "", None)
    rates = {module.p for module in encoder.modules() if isinstance(module, nn.Dropout)}
    return asked if asked in rates or not rates else _one(rates)


def _freeze_embeddings(training: FineTuning) -> bool:
    trained = any(p.requires_grad for p in embedding_block(training.model.encoder).parameters())
    recipe = training.plan.recipe
    implied = recipe.freeze_layers > 0 or recipe.use_lora
    return recipe.freeze_embeddings if implied and not trained else not trained


def _freeze_layers(training: FineTuning) -> int:
    """How many layers from the first on have nothing that is trained."""
    layers = encoder_layers(training.model.encoder)
    if training.plan.recipe.use_lora:
        return training.plan.recipe.freeze_layers
    trained = [any(p.requires_grad for p in layer.parameters()) for layer in layers]
    return trained.index(True) if True in trained else len(layers)


def _of_adapters(name: str, read: Callable[[Any], Any]) -> Callable[[FineTuning], Any]:
    """Of peft's layers; as asked where there are none."""

    def found(training: FineTuning) -> Any:
        adapters = adapters_of(training.model)
        if not adapters:
            return getattr(training.plan.recipe, name)
        return _one({read(adapter) for adapter in adapters})

    return found


def _batch_size(training: FineTuning) -> int:
    """Of the largest batch, where the data fill one."""
    loader, asked = training.loader, training.plan.recipe.batch_size
    steps = loader.steps(np.random.default_rng(0))
    largest = max(len(index) for batches in steps for index in batches)
    return asked if largest == min(asked, len(loader.tokens)) else largest


def _accumulation(training: FineTuning) -> int:
    loader, asked = training.loader, training.plan.recipe.accumulation
    steps = loader.steps(np.random.default_rng(0))
    most, num_batches = max(map(len, steps)), sum(map(len, steps))
    return asked if most == min(asked, num_batches) else most


def _max_length(training: FineTuning) -> Any:
    longest, asked = int(training.loader.tokens.lengths.max()), training.plan.recipe.max_length
    return asked if longest <= asked else f"{longest} (the longest text's tokens)"


def _max_segments(training: FineTuning) -> Any:
    tokens, asked = training.loader.tokens, training.plan.recipe.max_segments
    if asked is None or tokens.shape != "segments":
        return asked
    most = int(np.diff(tokens.starts).max())
    return training.model.config.max_segments if most <= asked else most


def _class_weighting(training: FineTuning) -> str:
    weights = training.loss.weights
    if weights is None:
        return "none"
    wanted = balanced_weights(training.loader.tokens.labels, training.plan.num_labels)
    return "balanced" if np.allclose(weights.cpu().numpy(), wanted) else "of other weights"


def _encoding(training: FineTuning) -> Encoding:
    config = training.model.config
    if not config.shape.startswith("matched"):
        return "joint"
    return "late_interaction" if config.matching == "tokens" else "separate"


READ_BACK: dict[str, Callable[[FineTuning], Any]] = {
    "num_hidden_layers": _num_hidden_layers,
    "batch_size": _batch_size,
    "accumulation": _accumulation,
    "learning_rate": _learning_rate,
    "head_lr_multiplier": _head_lr_multiplier,
    "layer_lr_decay": _layer_lr_decay,
    "weight_decay": _weight_decay,
    "adam_beta1": _of_groups("betas", 0),
    "adam_beta2": _of_groups("betas", 1),
    "adam_epsilon": _of_groups("eps"),
    "warmup_steps": _warmup,
    "schedule": _schedule,
    "label_smoothing": lambda training: training.loss.smoothing,
    "class_weighting": _class_weighting,
    "max_grad_norm": lambda training: training.max_grad_norm,
    "threshold": lambda training: training.model.config.threshold,
    "encoding": _encoding,
    "pooling": lambda training: training.model.config.pooling,
    "classifier_dropout": lambda training: training.model.dropout.p,
    "hidden_dropout": _hidden_dropout,
    "freeze_embeddings": _freeze_embeddings,
    "freeze_layers": _freeze_layers,
    "use_lora": lambda training: bool(adapters_of(training.model)),
    "lora_rank": _of_adapters("lora_rank", lambda adapter: adapter.r["default"]),
    "lora_alpha": _of_adapters("lora_alpha", lambda adapter: adapter.lora_alpha["default"]),
    "lora_dropout": _of_adapters(
        "lora_dropout", lambda adapter: getattr(adapter.lora_dropout["default"], "p", 0.0)
    ),
    "max_length": _max_length,
    "max_segments": _max_segments,
}
"""How each field of the recipe is read back; first what rates and schedules go by."""
