"""What both arms may try: of the shipped small space what `TrainingArguments` knows.

All else is fixed, the head too. The `stock` one comes nearest to what plain transformers puts on an
encoder: it reads the [CLS] token and learns at the encoder's rate, but lacks the pretrained layer
that theirs has. The `own` one is lexmove's default, for which plain transformers has no setting.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ray import tune

from lexmove.space.domain import Categorical, Constant, Float, Ordinal, Value
from lexmove.space.loading import load_space
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace

SHIPPED = Path(__file__).parents[3] / "search_spaces" / "encoder_small.yaml"

COMMON = (
    "learning_rate",
    "per_device_train_batch_size",
    "warmup_steps",
    "lr_scheduler_type",
    "weight_decay",
    "max_grad_norm",
)
"""Hyperparameters that both arms know by the same name."""

FREEZE = "model.freeze_embeddings"
"""Shipped frozen, and so in both arms: half of the model's weights need no gradient then."""

Head = Literal["stock", "own"]

_HEADS: Mapping[Head, Mapping[str, Value]] = {
    "stock": {"model.pooling": "cls", "model.head_lr_multiplier": 1.0},
    "own": {"model.pooling": "mean", "model.head_lr_multiplier": 10.0},
}

_SEED_RANGE = 2**31


def space_with(head: Head) -> SearchSpace:
    """lexmove's space: the common hyperparameters, under one head."""
    shipped = load_space(SHIPPED)
    kept = tuple(shipped[name] for name in (*COMMON, FREEZE))
    fixed = tuple(
        Hyperparameter(name=name, domain=Constant(value=value))
        for name, value in _HEADS[head].items()
    )
    return SearchSpace(hyperparameters=(*kept, *fixed))


def documented_space() -> dict[str, Any]:
    """The common hyperparameters as Tune's own random search draws them, and a seed."""
    space = load_space(SHIPPED)
    return {name: _distribution(space[name]) for name in COMMON} | {
        "seed": tune.randint(0, _SEED_RANGE)
    }


def _distribution(item: Hyperparameter) -> Any:
    match item.domain:
        case Float(low=low, high=high, log=log):
            return tune.loguniform(low, high) if log else tune.uniform(low, high)
        case Ordinal(values=values) | Categorical(values=values):
            return tune.choice(list(values))
        case Constant(value=value):
            return value
    raise AssertionError(item.domain)


def documented_config(config: Config, seed: int) -> dict[str, Value]:
    """What `TrainingArguments` takes for one of lexmove's configs."""
    return {name: config[name] for name in COMMON} | {"seed": seed}
