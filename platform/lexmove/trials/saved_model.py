"""Saved models: a trained classifier as a folder that plain transformers loads."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from torch import Tensor

from lexmove.trials.adapters import merge_adapters
from lexmove.trials.classifier import TextClassifier
from lexmove.trials.model import build_classifier, load_pretrained, load_tokenizer
from lexmove.trials.prediction import DecisionRule
from lexmove.trials.recipe import Recipe
from lexmove.trials.tasks.task import TaskData
from lexmove.trials.tokens import shape_of


def save_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    *,
    model_name: str,
    recipe: Recipe,
    task: TaskData,
    rule: DecisionRule,
) -> None:
    """Writes a classifier with these trained parameters, its tokenizer and its code.

    `AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)` loads it
    (`AutoModelForMultipleChoice` where endings are to be chosen); adapters are merged. Its config
    has the class names, the calibration and the threshold of `rule`. The folder appears complete or
    not at all, and replaces an older one.
    """
    model = build_classifier(
        load_pretrained(model_name, recipe.num_hidden_layers),
        recipe,
        num_labels=len(task.labels),
        shape=shape_of(task.train, recipe.max_segments),
    )
    model.load_state_dict(dict(weights), strict=False)
    merge_adapters(model)
    _name_classes(model, task)
    model.config.calibration = rule.temperature
    model.config.threshold = rule.threshold
    tokenizer = load_tokenizer(model_name)
    aside = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        kind = "MultipleChoice" if task.is_multiple_choice else "SequenceClassification"
        register: Any = model.register_for_auto_class
        register(f"AutoModelFor{kind}")
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        shutil.rmtree(folder, ignore_errors=True)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _name_classes(model: TextClassifier, task: TaskData) -> None:
    model.config.id2label = dict(enumerate(task.labels))
    model.config.label2id = {name: number for number, name in enumerate(task.labels)}
    if not task.is_multiple_choice:
        model.config.problem_type = (
            "multi_label_classification" if task.is_multi_label else "single_label_classification"
        )
