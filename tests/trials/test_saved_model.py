"""Saved models: what was trained, loaded by plain transformers in a process without lexmove."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from transformers import pipeline

from lexmove.errors import TrialFailedError
from lexmove.trials.fine_tuning import FineTuning, Plan
from lexmove.trials.model import load_pretrained, load_tokenizer
from lexmove.trials.prediction import DecisionRule
from lexmove.trials.recipe import Recipe
from lexmove.trials.saved_model import save_model
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData
from lexmove.trials.tokens import tokenized
from trials.tiny_models import folder_of

TEXTS = ("The lease ends.", "Tax is due.\n\nA fee follows.", "No warranty.", "Pay the fee.") * 3
KINDS = (
    "flat",
    "several",
    "pairs",
    "separate_pairs",
    "choices",
    "separate_choices",
    "late_pairs",
    "late_choices",
    "segments",
    "lora",
)
READER = """
import json, os, re, sys
import torch
from transformers import AutoModelForMultipleChoice, AutoModelForSequenceClassification, pipeline
said = []
for folder, kind, inputs, texts in json.load(sys.stdin):
    auto = AutoModelForMultipleChoice if "choices" in kind else AutoModelForSequenceClassification
    model = auto.from_pretrained(folder, trust_remote_code=True).eval()
    batch = {name: torch.tensor(rows) for name, rows in inputs.items()}
    with torch.inference_mode():
        logits = model(**batch).logits
    said.append({"logits": logits.tolist(), "labels": model.config.id2label,
                 "threshold": model.config.threshold, "kind": model.config.problem_type})
    if batch["input_ids"].ndim == 3:
        try:
            model(input_ids=batch["input_ids"][0])
        except ValueError as error:
            said[-1]["refused"] = str(error)
    os.chdir(folder)
    (code,) = re.findall("```python\\n(.*?)```", open("README.md").read(), re.S)
    exec(code, names := {})
    said[-1]["example"] = list(names["logits"].shape) if "logits" in names else names["said"]
    if texts:
        classify = pipeline("text-classification", model=folder, trust_remote_code=True,
                            truncation=True)
        said[-1]["alone"] = [classify(text, top_k=None) for text in texts]
        said[-1]["in a list"] = classify(texts, top_k=None)
        said[-1]["in batches"] = classify(texts, top_k=None, batch_size=5)
        said[-1]["likeliest"] = classify(texts, batch_size=5)
assert "lexmove" not in sys.modules
print(json.dumps(said))
"""


def examples(kind):
    labels = np.arange(len(TEXTS)) % 2
    match kind:
        case "several":
            return Examples(texts=TEXTS, labels=np.stack([labels, 1 - labels], axis=1))
        case "pairs" | "separate_pairs" | "late_pairs":
            return Examples(texts=TEXTS, labels=labels, pairs=TEXTS[::-1])
        case "choices" | "separate_choices" | "late_choices":
            endings = tuple((text, f"Not: {text}") for text in TEXTS)
            return Examples(texts=TEXTS, labels=labels, endings=endings)
        case "segments":  # of one segment up to more than three, which are all that is read
            texts = [f"{text}\n\n{(text + ' Tax is due.') * 5}\n \nA fee." for text in TEXTS[:9]]
            return Examples(texts=(*texts, *TEXTS[9:]), labels=labels)
        case _:
            return Examples(texts=TEXTS, labels=labels)


def encoding_of(kind):
    return {"separate": "separate", "late": "late_interaction"}.get(kind.split("_")[0], "joint")


def trained_and_saved(kind, folder, name):
    """What a trained model says of its examples, and they as inputs; the model is in `folder`."""
    split = examples(kind)
    task = TaskData(name="t", labels=("lease", "tax"), train=split, validation=split, test=split)
    recipe = Recipe(
        max_length=16,
        learning_rate=1e-2,
        batch_size=4,
        max_segments=3 if kind == "segments" else None,
        use_lora=kind == "lora",
        hidden_dropout=0.3 if kind == "lora" else None,
        pooling="cls" if kind == "pairs" else "mean",
        encoding=encoding_of(kind),
    )
    tokens = tokenized(
        split,
        load_tokenizer(name),
        max_length=16,
        max_segments=recipe.max_segments,
        encoding=recipe.encoding,
    )
    plan = Plan(recipe=recipe, num_labels=2, max_epochs=1, seed=0, precision="fp32")
    training = FineTuning(load_pretrained(name), tokens, plan)
    learned = [each for group in training.optimizer.param_groups for each in group["params"]]
    trainable = [each for each in training.model.parameters() if each.requires_grad]
    assert sorted(map(id, learned)) == sorted(map(id, trainable)), "each once, none left out"
    before = training.logits(tokens)
    training.train_epoch(1)
    said = training.logits(tokens)
    assert np.abs(said - before).max() > 1e-3, "it has learned something"
    rule = DecisionRule(is_multi_label=task.is_multi_label, threshold=0.3, temperature=2.0)
    weights = training.weights()
    save_model(folder / "model", weights, model_name=name, recipe=recipe, task=task, rule=rule)
    training.close()
    assert [path.name for path in folder.iterdir()] == ["model"], "nothing is left beside it"
    batch = tokens.batch(np.arange(len(split)))
    inputs = {"input_ids": batch.ids.tolist(), "attention_mask": batch.mask.tolist()}
    if batch.types is not None:
        inputs["token_type_ids"] = batch.types.tolist()
    return said, inputs


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """By kind: what was said here, and what plain transformers says in another process."""
    folder = tmp_path_factory.mktemp("saved")
    name = folder_of("Bert", folder / "pretrained")
    here, asked = {}, []
    for kind in KINDS:
        (folder / kind).mkdir()
        here[kind], inputs = trained_and_saved(kind, folder / kind, name)
        split = examples(kind)
        texts = [] if split.endings else list(split.texts)
        if split.pairs:
            texts = [{"text": a, "text_pair": b} for a, b in zip(texts, split.pairs, strict=True)]
        asked.append([str(folder / kind / "model"), kind, inputs, texts])
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(KINDS, zip(here.values(), json.loads(done.stdout), strict=True), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_says_what_the_trained_model_said(read, kind):
    said, there = read[kind]
    assert np.array(there["logits"]) == pytest.approx(said / 2.0, abs=1e-4)
    assert there["labels"] == {"0": "lease", "1": "tax"}
    assert there["threshold"] == 0.3
    if "choices" in kind:
        assert there["kind"] is None
    else:
        labels = "multi" if kind == "several" else "single"
        assert there["kind"] == f"{labels}_label_classification"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "choices" not in kind])
def test_the_pipeline_of_the_readme_says_what_the_trained_model_said(read, kind):
    """One text at a time, in a list and in batches, also of several sequences each."""
    said, there = read[kind]
    logits = said / 2.0
    chances = expit(logits) if kind == "several" else softmax(logits, axis=1)
    for way in ("alone", "in a list", "in batches"):
        assert len(there[way]) == len(TEXTS)
        found = [{each["label"]: each["score"] for each in text} for text in there[way]]
        by_label = [[text["lease"], text["tax"]] for text in found]
        assert np.array(by_label) == pytest.approx(chances, abs=1e-4), way
    likeliest = [("lease", "tax")[number] for number in chances.argmax(axis=1)]
    assert [text["label"] for text in there["likeliest"]] == likeliest


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_a_folders_readme_runs(read, kind):
    example = read[kind][1]["example"]
    if kind in ("segments", "separate_pairs", "late_pairs"):
        assert [text["label"] in ("lease", "tax") for text in example] == [True, True]
    else:
        assert example == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_may_be_of_one_text_or_of_several_are_refused(read, kind):
    refused = read[kind][1].get("refused")
    if kind in ("flat", "several", "pairs", "lora"):
        assert refused is None
    else:
        assert "input_ids need three dimensions: (examples, sequences, tokens)" in refused


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """The pipelines of a classifier of documents and of one of pairs."""
    folder = tmp_path_factory.mktemp("pipelines")
    name = folder_of("Bert", folder / "pretrained")
    for kind in ("segments", "separate_pairs"):
        (folder / kind).mkdir()
        trained_and_saved(kind, folder / kind, name)
    return {
        kind: pipeline("text-classification", str(folder / kind / "model"), trust_remote_code=True)
        for kind in ("segments", "separate_pairs")
    }


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("segments", [["One.", "Two."]], r"reads a text, or a list of such; got \['One"),
        ("segments", {"text": "A.", "text_pair": "B."}, "reads a text"),
        ("separate_pairs", "Tax is due.", r'reads a pair, \{"text": "…", "text_pair": "…"\}'),
        ("separate_pairs", [{"text": "A.", "text_pair": None}], "reads a pair"),
    ],
)
def test_what_is_no_text_or_no_pair_is_refused(classifiers, kind, given, message):
    with pytest.raises(ValueError, match=message):
        classifiers[kind](given)


def test_a_length_other_than_that_of_the_training_is_refused(classifiers):
    with pytest.raises(ValueError, match="leave out max_length: texts are read as in training"):
        classifiers["segments"]("Tax is due.", max_length=8)


def test_a_folder_says_how_it_is_loaded_and_how_long_its_inputs_are(tmp_path):
    name = folder_of("Bert", tmp_path / "pretrained")
    (tmp_path / "saved").mkdir()
    trained_and_saved("separate_choices", tmp_path / "saved", name)
    folder = tmp_path / "saved" / "model"
    text = (folder / "README.md").read_text()
    assert "AutoModelForMultipleChoice" in text
    assert "tokenizer([text, *endings]" in text
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == 16


def test_the_weights_of_another_model_are_refused(tmp_path):
    name = folder_of("Bert", tmp_path / "pretrained")
    split = examples("flat")
    task = TaskData(name="t", labels=("lease", "tax"), train=split, validation=split, test=split)
    with pytest.raises(TrialFailedError, match="weights of another model"):
        save_model(
            tmp_path / "model",
            {"head.weight": torch.zeros(2, 16)},
            model_name=name,
            recipe=Recipe(max_length=16),
            task=task,
            rule=DecisionRule(is_multi_label=False),
        )
    assert not (tmp_path / "model").exists()


def test_padding_changes_nothing_in_any_shape():
    for kind in KINDS:
        split, segments = examples(kind), 3 if kind == "segments" else None
        encoding = encoding_of(kind)
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
