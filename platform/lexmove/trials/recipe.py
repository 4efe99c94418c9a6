"""The recipe: every hyperparameter a trial understands, typed, with its default and its rule.

Names are `transformers.TrainingArguments` fields, or start with `model.` or `peft.`. Imports no
torch, so that names can be checked before anything heavy is loaded.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, Self

from lexmove.errors import InvalidConfigError, did_you_mean
from lexmove.job.spec import ModelSpec
from lexmove.space.domain import Value

Pooling = Literal["mean", "cls"]
ClassWeighting = Literal["none", "balanced"]
Encoding = Literal["joint", "separate", "late_interaction"]

SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
"""Values of `lr_scheduler_type` that need no further arguments."""

_THRESHOLD, _WEIGHTING = "model.threshold", "model.class_weighting"
_SEGMENTS, _ENCODING = "model.max_segments", "model.encoding"

_INSTEAD = {
    "num_train_epochs": "the job's fidelity.max_epochs says how long a trial trains",
    "epochs": "the job's fidelity.max_epochs says how long a trial trains",
    "max_steps": "the job's fidelity.max_epochs says how long a trial trains",
    "warmup_ratio": "transformers 5 calls it warmup_steps (below 1 it is a ratio)",
    "group_by_length": "batches are always bucketed by length",
    "evaluation_strategy": "`fidelity.evaluate` says when trials are evaluated",
    "eval_strategy": "`fidelity.evaluate` says when trials are evaluated",
    "save_strategy": "after every epoch there is a checkpoint to go on from",
    "logging_dir": "it is no hyperparameter, and transformers 5 has none",
    "fp16": "the job's model.precision sets it, one for the whole study",
    "bf16": "the job's model.precision sets it, one for the whole study",
    "seed": "every trial gets a seed of its own, and finalists get fresh ones",
    "batch_size": "it is called per_device_train_batch_size",
    "lr": "it is called learning_rate",
    "label_smoothing": "it is called label_smoothing_factor",
    "threshold": "it is called model.threshold",
    "dropout": "it is called model.hidden_dropout (layers) or model.classifier_dropout (head)",
}
"""Names that people try, and what to do instead."""


def _rule(
    name: str, holds: Callable[[Any], bool], says: str, *, whole: bool = False
) -> dict[str, Any]:
    """What a config calls a field, which values it takes, and how to say that."""
    return {"name": name, "holds": holds, "says": says, "whole": whole}


def _ratio(value: float) -> bool:
    return 0.0 <= value < 1.0


def _share(value: float) -> bool:
    return 0.0 < value < 1.0


def _positive(value: float) -> bool:
    return value > 0


def _not_negative(value: float) -> bool:
    return value >= 0


def _anything(_: object) -> bool:
    return True


def _one_of(*values: str) -> tuple[Callable[[str], bool], str]:
    return values.__contains__, f"one of {', '.join(values)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one trial is trained; a config with all defaults filled in.

    `warmup_steps` below 1 is a ratio of all optimizer steps. `head_lr_multiplier` times
    `learning_rate` is the head's rate; `layer_lr_decay` multiplies it once per layer downwards.
    `threshold` is the probability from which a multi-label text gets a label. `max_segments` reads
    a text in up to that many sequences of `max_length` tokens. `encoding` of pairs and endings is
    `joint`, both texts in one sequence; `separate`, each alone and matched by their vectors; or
    `late_interaction`, each alone and matched by their tokens too.
    `freeze_layers` k > 0 freezes the embeddings and the first k layers. `use_lora` freezes the
    whole encoder and trains low-rank adapters beside it. None stands for what the pretrained
    model's own config says.
    """

    learning_rate: float = field(
        default=5e-5, metadata=_rule("learning_rate", _positive, "above 0")
    )
    batch_size: int = field(
        default=16,
        metadata=_rule("per_device_train_batch_size", _positive, "at least 1", whole=True),
    )
    accumulation: int = field(
        default=1,
        metadata=_rule("gradient_accumulation_steps", _positive, "at least 1", whole=True),
    )
    weight_decay: float = field(
        default=0.0, metadata=_rule("weight_decay", _not_negative, "0 or more")
    )
    adam_beta1: float = field(default=0.9, metadata=_rule("adam_beta1", _ratio, "in [0, 1)"))
    adam_beta2: float = field(default=0.999, metadata=_rule("adam_beta2", _ratio, "in [0, 1)"))
    adam_epsilon: float = field(default=1e-8, metadata=_rule("adam_epsilon", _positive, "above 0"))
    warmup_steps: float = field(
        default=0.0, metadata=_rule("warmup_steps", _not_negative, "0 or more")
    )
    schedule: str = field(
        default="linear", metadata=_rule("lr_scheduler_type", *_one_of(*SCHEDULES))
    )
    label_smoothing: float = field(
        default=0.0, metadata=_rule("label_smoothing_factor", _ratio, "in [0, 1)")
    )
    max_grad_norm: float = field(default=1.0, metadata=_rule("max_grad_norm", _positive, "above 0"))
    pooling: Pooling = field(
        default="mean", metadata=_rule("model.pooling", *_one_of("mean", "cls"))
    )
    classifier_dropout: float = field(
        default=0.1, metadata=_rule("model.classifier_dropout", _ratio, "in [0, 1)")
    )
    hidden_dropout: float | None = field(
        default=None, metadata=_rule("model.hidden_dropout", _ratio, "in [0, 1)")
    )
    num_hidden_layers: int | None = field(
        default=None, metadata=_rule("model.num_hidden_layers", _positive, "at least 1", whole=True)
    )
    freeze_embeddings: bool = field(
        default=False, metadata=_rule("model.freeze_embeddings", _anything, "true or false")
    )
    freeze_layers: int = field(
        default=0, metadata=_rule("model.freeze_layers", _not_negative, "0 or more", whole=True)
    )
    head_lr_multiplier: float = field(
        default=10.0, metadata=_rule("model.head_lr_multiplier", _positive, "above 0")
    )
    layer_lr_decay: float = field(
        default=1.0, metadata=_rule("model.layer_lr_decay", lambda v: 0 < v <= 1, "in (0, 1]")
    )
    max_length: int = field(
        default=128, metadata=_rule("model.max_length", lambda v: v > 2, "at least 3", whole=True)
    )
    max_segments: int | None = field(
        default=None, metadata=_rule("model.max_segments", _positive, "at least 1", whole=True)
    )
    encoding: Encoding = field(
        default="joint",
        metadata=_rule(_ENCODING, *_one_of("joint", "separate", "late_interaction")),
    )
    class_weighting: ClassWeighting = field(
        default="none", metadata=_rule(_WEIGHTING, *_one_of("none", "balanced"))
    )
    threshold: float = field(default=0.5, metadata=_rule(_THRESHOLD, _share, "between 0 and 1"))
    use_lora: bool = field(
        default=False, metadata=_rule("peft.use_lora", _anything, "true or false")
    )
    lora_rank: int = field(default=8, metadata=_rule("peft.r", _positive, "at least 1", whole=True))
    lora_alpha: float = field(default=16.0, metadata=_rule("peft.alpha", _positive, "above 0"))
    lora_dropout: float = field(default=0.0, metadata=_rule("peft.dropout", _ratio, "in [0, 1)"))

    @classmethod
    def from_config(cls, config: Mapping[str, Value], model: ModelSpec) -> Self:
        """The recipe that a config means; the model spec says what the config leaves open.

        Raises:
            InvalidConfigError: an unknown name, or a value of the wrong type or range.
        """
        check_hyperparameters(config)
        known = {item.metadata["name"]: item for item in fields(cls)}
        chosen: dict[str, Any] = {
            "max_length": model.max_length,
            "max_segments": model.max_segments,
            "num_hidden_layers": model.num_hidden_layers,
        }
        for name, value in config.items():
            _check_value(value, known[name])
            chosen[known[name].name] = value
        return cls(**chosen)


def check_hyperparameters(names: Iterable[str]) -> None:
    """Refuses names that no trial understands; called before a study starts.

    Raises:
        InvalidConfigError: an unknown name, with the nearest known one or what to use instead.
    """
    known = tuple(item.metadata["name"] for item in fields(Recipe))
    for name in names:
        if name in _INSTEAD:
            raise InvalidConfigError(f"{name!r} cannot be searched: {_INSTEAD[name]}")
        if name not in known:
            raise InvalidConfigError(f"unknown hyperparameter {name!r}{did_you_mean(name, known)}")


def check_labelling(
    names: Iterable[str],
    *,
    is_multi_label: bool,
    is_multiple_choice: bool = False,
    has_pairs: bool = False,
) -> None:
    """Refuses names that mean nothing on a task's kind of labels; called before a study starts.

    Raises:
        InvalidConfigError: one that is for another kind.
    """
    refused = {}
    if not is_multi_label:
        refused[_THRESHOLD] = "every text has one class"
    if is_multiple_choice:
        refused[_WEIGHTING] = "the classes are positions of endings"
        refused[_SEGMENTS] = "an ending is to be chosen"
    if has_pairs:
        refused[_SEGMENTS] = "two texts are read together"
    if not (has_pairs or is_multiple_choice):
        refused[_ENCODING] = "every example is a single text"
    for name, why in refused.items():
        if name in names:
            raise InvalidConfigError(
                f"{name!r} has no effect where {why}: take it out of the space"
            )


def _check_value(value: Value, known: "Field[Any]") -> None:
    """Refuses a value of another type than the default's, or one that breaks the rule."""
    rule = known.metadata
    wants_number = not isinstance(known.default, bool | str)
    if wants_number:
        numbers = int if rule["whole"] else int | float
        fits = isinstance(value, numbers) and not isinstance(value, bool)
    else:
        fits = isinstance(value, type(known.default))
    if not fits or not rule["holds"](value):
        kind = "a whole number, " if rule["whole"] else "a number " if wants_number else ""
        raise InvalidConfigError(f"{rule['name']} = {value!r} must be {kind}{rule['says']}")
