"""The exported training does what a trial does: the same tokens, parameters, rates and losses."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from lexmove.errors import ModelError
from lexmove.job.spec import JobSpec
from lexmove.trials import standalone_training, training_bundle
from lexmove.trials.fine_tuning import FineTuning, Plan
from lexmove.trials.loss import Loss
from lexmove.trials.metrics import METRICS
from lexmove.trials.model import load_pretrained, load_tokenizer
from lexmove.trials.prediction import DecisionRule
from lexmove.trials.recipe import Recipe
from lexmove.trials.scoring import scored
from lexmove.trials.standalone_training import Collator
from lexmove.trials.tasks.task import TaskData
from lexmove.trials.tokens import tokenized
from lexmove.trials.training_bundle import write_training
from trials.test_saved_model import KINDS, encoding_of, examples
from trials.tiny_models import folder_of

CONFIG = {
    "learning_rate": 1e-3,
    "per_device_train_batch_size": 4,
    "weight_decay": 0.1,
    "warmup_steps": 0.25,
    "label_smoothing_factor": 0.1,
    "model.layer_lr_decay": 0.5,
    "model.head_lr_multiplier": 3.0,
    "model.classifier_dropout": 0.2,
}
MORE = {
    "segments": {"model.max_segments": 3, "model.class_weighting": "balanced"},
    "lora": {"peft.use_lora": True, "peft.r": 2},
    "several": {"model.threshold": 0.3, "model.class_weighting": "balanced"},
    "flat": {"model.freeze_embeddings": True, "model.freeze_layers": 1, "model.pooling": "cls"},
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return folder_of("Bert", tmp_path_factory.mktemp("bundle") / "pretrained")


def task_of(kind):
    split = examples(kind)
    return TaskData(name="t", labels=("lease", "tax"), train=split, validation=split, test=split)


def job_of(pretrained, **changes):
    settings = {
        "name": "s",
        "task": {"name": "license_role"},
        "model": {"name": pretrained, "max_length": 16, "precision": "fp32"},
        "space": {"parameters": {}},
        "fidelity": {"max_epochs": 3},
    }
    return JobSpec.model_validate(settings | changes)


def config_of(kind):
    encoding = encoding_of(kind)
    more = {} if encoding == "joint" else {"model.encoding": encoding}
    return CONFIG | MORE.get(kind, {}) | more


def written(folder, kind, pretrained, *, with_data=True, task=None, more=(), **changes):
    write_training(
        folder,
        config_of(kind) | dict(more),
        job_of(pretrained, **changes),
        task or task_of(kind),
        epochs=2,
        seed=7,
        threshold=None,
        on_gpu=False,
        with_data=with_data,
    )
    importlib.invalidate_caches()
    return standalone_training.arguments(folder)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A folder whose modules are imported as `train.py` does."""
    folder = tmp_path / "bundle"
    folder.mkdir()  # Python remembers what it found there, also that there was no folder
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("classifier", "metrics"):
        sys.modules.pop(name, None)


def trial_of(kind, pretrained, *, more=()):
    """What a trial of lexmove is made of."""
    job = job_of(pretrained)
    recipe = Recipe.from_config(config_of(kind) | dict(more), job.model)
    tokens = tokenized(
        examples(kind),
        load_tokenizer(pretrained),
        max_length=16,
        max_segments=recipe.max_segments,
        encoding=recipe.encoding,
    )
    plan = Plan(recipe=recipe, num_labels=2, max_epochs=3, seed=7, precision="fp32")
    return FineTuning(load_pretrained(pretrained), tokens, plan), tokens, recipe


def described(groups, model):
    """Names, learning rate and weight decay of each group."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        (sorted(names[id(p)] for p in group["params"]), group["lr"], group["weight_decay"])
        for group in groups
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_it_reads_the_same_tokens(kind, bundle, pretrained):
    args, _ = written(bundle, kind, pretrained)
    _, tokens, _ = trial_of(kind, pretrained)
    split = standalone_training.load_split(
        bundle / "data" / "train.jsonl", args, load_tokenizer(pretrained)
    )
    batch = Collator(tokens.pad_id, args.shape == "flat")([split[i] for i in range(len(split))])
    wanted = tokens.batch(np.arange(len(tokens)))
    width = batch["input_ids"].shape[-1]  # a trial pads to a multiple of eight
    assert np.array_equal(batch["input_ids"].numpy(), wanted.ids[..., :width])
    assert np.array_equal(batch["attention_mask"].numpy(), wanted.mask[..., :width])
    assert not wanted.mask[..., width:].any()
    assert np.array_equal(batch["labels"].numpy(), wanted.labels)
    assert ("token_type_ids" in batch) == (wanted.types is not None)
    if wanted.types is not None:
        assert np.array_equal(batch["token_type_ids"].numpy(), wanted.types[..., :width])


@pytest.mark.parametrize("kind", ["segments", "separate_pairs", "flat"])
def test_what_it_leaves_classifies_as_it_was_scored(kind, bundle, pretrained, monkeypatch):
    written(bundle, kind, pretrained)
    (bundle / "best.json").write_text('{"repeated": null, "test": null}')
    monkeypatch.setattr(standalone_training, "FOLDER", bundle)
    monkeypatch.setattr(sys, "argv", ["train.py", "--out", str(bundle / "out")])
    standalone_training.main()
    classify = transformers.pipeline(
        "text-classification", str(bundle / "out/model"), trust_remote_code=True, truncation=True
    )
    split = examples(kind)
    texts = list(split.texts)
    if split.pairs:
        texts = [{"text": a, "text_pair": b} for a, b in zip(texts, split.pairs, strict=True)]
    said = np.array([text["label"] == "tax" for text in classify(texts, batch_size=5)])
    told = json.loads((bundle / "out" / "result.json").read_text())
    assert told["test"]["accuracy"] == np.mean(said == split.labels)
    tokenizer = json.loads((bundle / "out/model/tokenizer_config.json").read_text())
    assert tokenizer["model_max_length"] == 16


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_the_same_parameters_at_the_same_rates(kind, bundle, pretrained):
    args, training = written(bundle, kind, pretrained)
    trial, _, recipe = trial_of(kind, pretrained)
    torch.manual_seed(7)
    model = standalone_training.build_model(args)
    groups = standalone_training.parameter_groups(model, args, training)
    before = trial.optimizer.param_groups
    wanted = [{**group, "lr": group["initial_lr"]} for group in before]
    assert described(groups, model) == described(wanted, trial.model)
    weights = trial.model.state_dict()
    assert set(model.state_dict()) == set(weights)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert model.config.to_dict()["threshold"] == recipe.threshold


@pytest.mark.parametrize("lora", [{}, {"peft.use_lora": True, "peft.r": 2}])
@pytest.mark.parametrize("dropout", [{}, {"model.hidden_dropout": 0.3}])
@pytest.mark.parametrize("has_pooler", [True, False])
def test_the_same_weights_come_first_whatever_else_is_drawn(
    has_pooler, dropout, lora, bundle, tmp_path
):
    """A layer that is missing in the files is drawn anew at each loading, before the head."""
    folder = folder_of("Bert", tmp_path / "pretrained")
    if not has_pooler:
        encoder = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False)
        encoder.save_pretrained(folder)
    args, _ = written(bundle, "pairs", folder, more=dropout | lora)
    trial, _, _ = trial_of("pairs", folder, more=dropout | lora)
    torch.manual_seed(7)
    weights = standalone_training.build_model(args).state_dict()
    wanted = trial.model.state_dict()
    assert set(weights) == set(wanted)
    assert all(torch.equal(value, wanted[name]) for name, value in weights.items())


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_same_loss(kind, bundle, pretrained):
    args, training = written(bundle, kind, pretrained)
    _, tokens, recipe = trial_of(kind, pretrained)
    logits = torch.randn(len(tokens), 2, generator=torch.Generator().manual_seed(0))
    labels = torch.from_numpy(tokens.labels)
    wanted = Loss.of(recipe, tokens.labels, num_labels=2, device=torch.device("cpu"))
    found = standalone_training.loss_of(tokens.labels, args, training)
    assert found({"logits": logits}, labels) == pytest.approx(wanted(logits, labels))


def test_a_class_without_a_training_text_has_a_weight_all_the_same(bundle, pretrained):
    args, training = written(bundle, "flat", pretrained)
    args = replace(args, balanced_classes=True)
    labels = np.zeros(6, dtype=np.int64)
    recipe = Recipe(class_weighting="balanced", label_smoothing=training.label_smoothing_factor)
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    wanted = Loss.of(recipe, labels, num_labels=2, device=torch.device("cpu"))
    found = standalone_training.loss_of(labels, args, training)(
        {"logits": logits}, torch.zeros(6).long()
    )
    assert found == pytest.approx(wanted(logits, torch.from_numpy(labels)))


def test_a_precision_that_this_machine_lacks_is_left_for_one_that_has_it(bundle, pretrained):
    model = {"name": pretrained, "max_length": 16, "precision": "fp16"}
    _, training = written(bundle, "flat", pretrained, model=model)
    assert json.loads((bundle / "training_args.json").read_text())["fp16"]
    assert training.fp16 is torch.accelerator.is_available()


def test_without_data_there_is_none(bundle, pretrained):
    written(bundle, "flat", pretrained, with_data=False)
    assert not (bundle / "data").exists()


@pytest.mark.parametrize("no_label_column", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_it_measures_what_a_trial_measures(kind, no_label_column, bundle, pretrained):
    task = replace(task_of(kind), no_label_column=no_label_column)
    args, _ = written(bundle, kind, pretrained, task=task)
    labels = examples(kind).labels
    logits = np.random.default_rng(0).normal(size=(len(labels), 2)).astype(np.float32)
    rule = DecisionRule(is_multi_label=task.is_multi_label, threshold=args.threshold)
    wanted = scored(rule, logits, labels, metric="f1_macro", no_label_column=task.no_label_column)
    assert set(wanted) == set(METRICS)
    assert standalone_training.scores_of(logits, labels, args) == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["metrics.py", "train.py", "statistics.py", "costs.v2.py"])
def test_a_metric_whose_name_is_taken_or_no_modules_goes_along_under_another(
    name, bundle, pretrained, tmp_path
):
    (tmp_path / name).write_text("def cost(true, predicted, probabilities): return 0.25\n")
    args, _ = written(bundle, "flat", pretrained, metric={"name": f"{tmp_path}/{name}:cost"})
    assert args.metric == "own_metric.py:cost"
    scores = standalone_training.scores_of(np.eye(2, dtype=np.float32), np.array([0, 1]), args)
    assert scores["own_metric.py:cost"] == 0.25
    assert (bundle / "train.py").read_text() == Path(standalone_training.__file__).read_text()
    sys.modules.pop("own_metric")


def test_the_users_metric_goes_along(bundle, pretrained, tmp_path):
    (tmp_path / "costs.py").write_text("def cost(true, predicted, probabilities): return 0.25\n")
    metric = {"name": f"{tmp_path}/costs.py:cost"}
    args, _ = written(bundle, "flat", pretrained, metric=metric)
    labels = np.array([0, 1])
    scores = standalone_training.scores_of(np.eye(2, dtype=np.float32), labels, args)
    assert scores["costs.py:cost"] == 0.25
    assert scores["f1_macro"] == 1.0
    sys.modules.pop("costs")


def test_what_does_not_read_back_is_refused(bundle, pretrained, monkeypatch):
    right = training_bundle.training_arguments
    monkeypatch.setattr(
        training_bundle,
        "training_arguments",
        lambda *given, **named: right(*given, **named) | {"report_to": "none"},
    )
    with pytest.raises(ModelError, match="report_to reads otherwise"):
        written(bundle, "flat", pretrained)


def test_texts_with_line_separators_of_their_own_stay_whole(bundle, pretrained):
    """JSON leaves U+2028 and its like as they are, and `str.splitlines` would cut there."""
    split = examples("flat")
    odd = replace(split, texts=tuple(f"{text}\u2028a\x85b\x0bc\r\nd" for text in split.texts))
    task = replace(task_of("flat"), train=odd, validation=odd, test=odd)
    args, _ = written(bundle, "flat", pretrained, task=task)
    read = standalone_training.load_split(
        bundle / "data" / "train.jsonl", args, load_tokenizer(pretrained)
    )
    assert len(read) == len(split.texts)
