"""Saved models: a trained classifier as a folder that plain transformers loads."""

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from torch import Tensor

from lexmove.errors import TrialFailedError
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

    Raises:
        TrialFailedError: the weights are those of another model.
    """
    model = build_classifier(
        load_pretrained(model_name, recipe.num_hidden_layers),
        recipe,
        num_labels=len(task.labels),
        shape=shape_of(task.train, max_segments=recipe.max_segments, encoding=recipe.encoding),
    )
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if trained != set(weights):
        raise TrialFailedError("the checkpoint holds the weights of another model")
    model.load_state_dict(dict(weights), strict=False)
    merge_adapters(model)
    _name_classes(model, task)
    model.config.calibration = rule.temperature
    model.config.threshold = rule.threshold
    tokenizer = copy.deepcopy(load_tokenizer(model_name))
    tokenizer.model_max_length = recipe.max_length
    aside = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        kind = "MultipleChoice" if task.is_multiple_choice else "SequenceClassification"
        register: Any = model.register_for_auto_class
        register(f"AutoModelFor{kind}")
        model.save_pretrained(aside)
        for written in aside.glob("*.safetensors"):
            written.chmod(0o644)  # safetensors leaves them to their owner alone
        tokenizer.save_pretrained(aside)
        (aside / "README.md").write_text(_readme(model, recipe), encoding="utf-8")
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


_QUESTION = """\
text, endings = "Who pays the rent?", ["The tenant.", "The landlord."]
inputs = tokenizer(TEXTS, truncation=True, padding=True, return_tensors="pt")
inputs = {name: rows[None] for name, rows in inputs.items()}  # a batch of one question
logits = model(**inputs).logits
"""

_EXAMPLES = {
    "flat": """\
text = "The tenant pays the rent."
inputs = tokenizer(text, truncation=True, return_tensors="pt")  # pairs: (text, pair, …)
logits = model(**inputs).logits
""",
    "choices": _QUESTION.replace("TEXTS", "[text] * len(endings), endings"),
    "segments": """\
document = "The tenant paid no rent.\\n\\nThe landlord sued."  # paragraphs, blank lines between
said = classify([document, "The appeal is dismissed."], batch_size=2)
""",
    "matched_pairs": """\
pair = {"text": "The tenant pays the rent.", "text_pair": "Rent is due."}
said = classify([pair, {"text": "Tax is due.", "text_pair": "A fee is due."}], batch_size=2)
""",
    "matched_choices": _QUESTION.replace("TEXTS", "[text, *endings]"),
}
"""How an example of each shape is handed over."""


def _code(shape: str) -> str:
    """From the folder to what its classifier says, to copy."""
    if shape in ("segments", "matched_pairs"):
        return f"""\
from transformers import pipeline

classify = pipeline("text-classification", model=".", trust_remote_code=True, truncation=True)
{_EXAMPLES[shape]}"""
    kind = "MultipleChoice" if "choices" in shape else "SequenceClassification"
    return f"""\
from transformers import AutoModelFor{kind}, AutoTokenizer

folder = "."
model = AutoModelFor{kind}.from_pretrained(folder, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
{_EXAMPLES[shape]}"""


def _readme(model: TextClassifier, recipe: Recipe) -> str:
    """How to load the folder, for whoever finds it."""
    config = model.config
    rule = f"labels above the probability {config.threshold:.4g}"
    decided = rule if config.problem_type == "multi_label_classification" else "the largest logit"
    lengths = f"Sequences of at most {recipe.max_length} tokens"
    if config.shape == "segments":
        lengths = (
            f"A document is read in up to {config.max_segments} segments of {recipe.max_length}"
            " tokens:\nparagraphs in a row, as many as fit; longer ones go on in the next."
            " `top_k=None` says all classes'\nprobabilities"
        )
    return f"""# A classifier fine-tuned by lexmove

```python
{_code(config.shape)}```

{lengths}. Logits are calibrated (temperature
{config.calibration:.4g}); what counts is {decided}. The code is `classifier.py` in this folder.
"""
