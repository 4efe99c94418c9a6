"""The documented way: lexmove's hyperparameters, and a trial that reports every epoch."""

import inspect

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet
from ray.tune.search.variant_generator import generate_variants
from transformers import TrainingArguments

from benchmarks.speed.documented_trial import AT_S, EPOCH, METRIC, fine_tune
from benchmarks.speed.spaces import COMMON, documented_config, documented_space, space_with
from trials.tiny_models import folder_of


def test_both_arms_may_try_the_same():
    space = space_with("stock")
    assert set(documented_space()) - {"seed"} == set(COMMON) < set(space.names)
    for _ in range(20):
        _, drawn = next(generate_variants(documented_space()))
        for name in COMMON:
            assert space[name].domain.contains(drawn[name]), (name, drawn[name])


@pytest.mark.parametrize("head", ["stock", "own"])
def test_trainer_takes_what_a_trial_of_lexmove_tried(head):
    config = documented_config(space_with(head).default, seed=3)
    assert config["seed"] == 3
    assert set(config) <= set(inspect.signature(TrainingArguments).parameters)


def test_a_trial_reports_every_epoch_with_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    texts = ["the lease ends", "tax is due"] * 8
    parquet.write_table(pa.table({"text": texts, "label": [0, 1] * 8}), "rows.parquet")
    reported = []
    fine_tune(
        {
            "model": folder_of("Bert", tmp_path / "bert"),
            "num_hidden_layers": 1,
            "max_length": 16,
            "max_epochs": 2,
            "num_labels": 2,
            "freeze_embeddings": True,
            "bf16": False,
            "data": dict.fromkeys(("train", "validation"), str(tmp_path / "rows.parquet")),
            "hyperparameters": documented_config(space_with("stock").default, seed=0),
        },
        report=lambda metrics, checkpoint: reported.append((metrics, checkpoint.path)),
    )
    assert [metrics[EPOCH] for metrics, _ in reported] == [1, 2]
    assert all(0 <= metrics[METRIC] <= 1 for metrics, _ in reported)
    assert reported[0][0][AT_S] < reported[1][0][AT_S]
    assert [path.rpartition("-")[2] for _, path in reported] == ["1", "2"]
