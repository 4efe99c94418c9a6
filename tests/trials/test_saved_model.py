"""Saved models: what was trained, loaded by plain transformers in a process without lexmove."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from lexmove.trials.fine_tuning import FineTuning, Plan
from lexmove.trials.model import load_pretrained, load_tokenizer
from lexmove.trials.prediction import DecisionRule
from lexmove.trials.recipe import Recipe
from lexmove.trials.saved_model import save_model
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData
from lexmove.trials.tokens import tokenized

TEXTS = ("The lease ends.", "Tax is due.\n\nA fee follows.", "No warranty.", "Pay the fee.") * 3
KINDS = (
    "flat",
    "several",
    "pairs",
    "separate_pairs",
    "choices",
    "separate_choices",
    "segments",
    "lora",
)
READER = """
import json, sys
import torch
from transformers import AutoModelForMultipleChoice, AutoModelForSequenceClassification
assert "lexmove" not in sys.modules
folder, kind = sys.argv[1:3]
auto = AutoModelForMultipleChoice if "choices" in kind else AutoModelForSequenceClassification
model = auto.from_pretrained(folder, trust_remote_code=True).eval()
batch = {name: torch.tensor(rows) for name, rows in json.load(sys.stdin).items()}
with torch.inference_mode():
    logits = model(**batch).logits
assert "lexmove" not in sys.modules
print(json.dumps({"logits": logits.tolist(), "labels": model.config.id2label,
                  "threshold": model.config.threshold, "kind": model.config.problem_type}))
"""


def examples(kind):
    labels = np.arange(len(TEXTS)) % 2
    match kind:
        case "several":
            return Examples(texts=TEXTS, labels=np.stack([labels, 1 - labels], axis=1))
        case "pairs" | "separate_pairs":
            return Examples(texts=TEXTS, labels=labels, pairs=TEXTS[::-1])
        case "choices" | "separate_choices":
            endings = tuple((text, f"Not: {text}") for text in TEXTS)
            return Examples(texts=TEXTS, labels=labels, endings=endings)
        case _:
            return Examples(texts=TEXTS, labels=labels)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_says_what_the_trained_model_said(tmp_path, kind):
    split = examples(kind)
    task = TaskData(name="t", labels=("lease", "tax"), train=split, validation=split, test=split)
    recipe = Recipe(
        max_length=16,
        learning_rate=1e-3,
        batch_size=4,
        max_segments=3 if kind == "segments" else None,
        use_lora=kind == "lora",
        pooling="cls" if kind == "pairs" else "mean",
        encoding="separate" if kind.startswith("separate") else "joint",
    )
    tokens = tokenized(
        split,
        load_tokenizer("minilm"),
        max_length=16,
        max_segments=recipe.max_segments,
        encoding=recipe.encoding,
    )
    plan = Plan(recipe=recipe, num_labels=2, max_epochs=1, seed=0, precision="fp32")
    training = FineTuning(load_pretrained("minilm", 1), tokens, plan)
    before = training.logits(tokens)
    training.train_epoch(1)
    said = training.logits(tokens)
    assert np.abs(said - before).max() > 1e-3, "it has learned something"
    rule = DecisionRule(is_multi_label=task.is_multi_label, threshold=0.3, temperature=2.0)
    recipe_with_layers = Recipe(
        **{f: getattr(recipe, f) for f in recipe.__slots__} | {"num_hidden_layers": 1}
    )
    save_model(
        tmp_path / "model",
        training.weights(),
        model_name="minilm",
        recipe=recipe_with_layers,
        task=task,
        rule=rule,
    )
    training.close()
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "nothing is left beside it"
    read = _read(tmp_path / "model", kind, tokens.batch(np.arange(len(split))))
    assert np.array(read["logits"]) == pytest.approx(said / 2.0, abs=1e-4)
    assert read["labels"] == {"0": "lease", "1": "tax"}
    assert read["threshold"] == 0.3
    wanted = {"several": "multi_label_classification", "choices": None, "separate_choices": None}
    assert read["kind"] == wanted.get(kind, "single_label_classification")


def _read(folder, kind, batch):
    inputs = {"input_ids": batch.ids.tolist(), "attention_mask": batch.mask.tolist()}
    if batch.types is not None:
        inputs["token_type_ids"] = batch.types.tolist()
    done = subprocess.run(
        [sys.executable, "-c", READER, str(folder), kind],
        input=json.dumps(inputs),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder.parent,
        env=os.environ
        | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder.parent / "hf"), "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_padding_changes_nothing_in_any_shape():
    for kind in ("flat", "choices", "segments", "separate_choices", "separate_pairs"):
        split, segments = examples(kind), 3 if kind == "segments" else None
        encoding = "separate" if kind.startswith("separate") else "joint"
        recipe = Recipe(max_length=16, max_segments=segments, encoding=encoding)
        tokens = tokenized(
            split,
            load_tokenizer("minilm"),
            max_length=16,
            max_segments=segments,
            encoding=encoding,
        )
        plan = Plan(recipe=recipe, num_labels=2, max_epochs=1, seed=0, precision="fp32")
        training = FineTuning(load_pretrained("minilm", 1), tokens, plan)
        together = training.logits(tokens)
        with torch.inference_mode():
            alone = [
                training._forward(tokens.batch(np.array([i])))[0].numpy() for i in range(len(split))
            ]
        assert np.array(alone) == pytest.approx(together, abs=1e-5)
        training.close()
