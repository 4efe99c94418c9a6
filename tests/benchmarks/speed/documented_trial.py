"""One trial as Ray's documentation shows it: HF's `Trainer` in a function that loads everything.

The workers import this module, and with it transformers, so that each fresh one pays for that as it
does where the imports stand in the function. Kinder to the trial than it need be: word embeddings
can be frozen, evaluation batches are large, and a checkpoint is not copied before it is reported.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_dataset
from ray import tune
from sklearn.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

METRIC, AT_S, EPOCH = "f1_macro", "at_s", "epoch"
"""What every report holds: the score, when it was there (Unix time), and after which epoch."""

_EVALUATION_BATCH = 64


def fine_tune(config: Mapping[str, Any], report: Callable[..., None] = tune.report) -> None:
    """Loads data, tokenizer and model, trains, and reports every epoch with its checkpoint.

    `config` holds `hyperparameters` by their names in `TrainingArguments`, and what is the same for
    all trials under the names that are used here.
    """
    tokenizer = AutoTokenizer.from_pretrained(config["model"])
    train, validation = (
        _tokenized(config["data"][split], tokenizer, config["max_length"])
        for split in ("train", "validation")
    )
    set_seed(config["hyperparameters"]["seed"])
    trainer = Trainer(
        model=_model(config),
        args=_arguments(config),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_scores,
        callbacks=[_Reporter(report)],
    )
    trainer.train()


def _tokenized(path: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    def tokenize(rows: dict[str, list[Any]]) -> Any:
        return tokenizer(rows["text"], truncation=True, max_length=max_length)

    rows = load_dataset("parquet", data_files=path, split="train")
    return rows.map(tokenize, batched=True)


def _model(config: Mapping[str, Any]) -> Any:
    model = AutoModelForSequenceClassification.from_pretrained(
        config["model"],
        num_hidden_layers=config["num_hidden_layers"],
        num_labels=config["num_labels"],
    )
    if config["freeze_embeddings"]:
        model.base_model.embeddings.requires_grad_(requires_grad=False)
    return model


def _arguments(config: Mapping[str, Any]) -> TrainingArguments:
    return TrainingArguments(
        output_dir="checkpoints",
        num_train_epochs=config["max_epochs"],
        bf16=config["bf16"],
        use_cpu=True,
        per_device_eval_batch_size=_EVALUATION_BATCH,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        logging_strategy="epoch",
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to="none",
        **config["hyperparameters"],
    )


def _scores(predicted: EvalPrediction) -> dict[str, float]:
    classes = np.argmax(predicted.predictions, axis=1)
    return {METRIC: float(f1_score(predicted.label_ids, classes, average="macro"))}


class _Reporter(TrainerCallback):
    """Tells Tune of every checkpoint, as Ray's `RayTrainReportCallback` tells Ray Train."""

    def __init__(self, report: Callable[..., None]) -> None:
        self._report = report

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        logged: dict[str, Any] = {}
        for entry in state.log_history:
            logged.update(entry)
        self._report(
            {METRIC: logged[f"eval_{METRIC}"], EPOCH: round(logged["epoch"]), AT_S: time.time()},
            checkpoint=tune.Checkpoint.from_directory(Path(get_last_checkpoint(args.output_dir))),
        )
