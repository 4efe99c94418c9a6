"""Hyperparameter names and values: known, unknown, renamed, out of range."""

import subprocess
import sys

import pytest

from lexmove.errors import InvalidConfigError, UsageError
from lexmove.job.spec import ModelSpec
from lexmove.trials.measuring import check_metric
from lexmove.trials.recipe import Recipe, check_hyperparameters


def test_the_job_fills_what_the_config_leaves_open():
    model = ModelSpec(max_length=64, num_hidden_layers=2)
    assert Recipe.from_config({}, model) == Recipe(max_length=64, num_hidden_layers=2)
    config = {"learning_rate": 1e-3, "model.max_length": 32, "per_device_train_batch_size": 8}
    recipe = Recipe.from_config(config, model)
    assert (recipe.learning_rate, recipe.max_length, recipe.batch_size) == (1e-3, 32, 8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("learning_rat", "did you mean 'learning_rate'"),
        ("model.poling", "did you mean 'model.pooling'"),
        ("warmup_ratio", "transformers 5 calls it warmup_steps"),
        ("num_train_epochs", r"fidelity\.max_epochs says how long"),
        ("group_by_length", "always bucketed"),
        ("evaluation_strategy", "says when trials are evaluated"),
        ("bf16", r"model\.precision"),
        ("zzz", "known: learning_rate, "),
    ],
)
def test_names_that_no_trial_understands_are_refused(name, message):
    with pytest.raises(InvalidConfigError, match=message):
        check_hyperparameters(["learning_rate", name])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("learning_rate", 0.0, "must be a number above 0"),
        ("learning_rate", "1e-3", "must be a number above 0"),
        ("learning_rate", True, "must be a number above 0"),
        ("per_device_train_batch_size", 8.5, "must be a whole number, at least 1"),
        ("warmup_steps", -1, "0 or more"),
        ("adam_beta2", 1.0, r"in \[0, 1\)"),
        ("lr_scheduler_type", "linaer", "one of linear, cosine"),
        ("model.pooling", "max", "one of mean, cls"),
        ("model.class_weighting", True, "one of none, balanced"),
        ("model.freeze_embeddings", 1, "true or false"),
        ("model.layer_lr_decay", 0, r"in \(0, 1\]"),
        ("model.num_hidden_layers", 0, "at least 1"),
    ],
)
def test_values_of_the_wrong_type_or_range_are_refused(name, value, message):
    with pytest.raises(InvalidConfigError, match=message) as caught:
        Recipe.from_config({name: value}, ModelSpec())
    assert str(caught.value).startswith(f"{name} = {value!r}")


def test_names_can_be_checked_without_torch():
    code = (
        "import sys, lexmove.trials.recipe, lexmove.trials.simulated, lexmove.trials.objective;"
        "assert not {'torch', 'transformers', 'sklearn', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_metric_gets_the_nearest_name():
    check_metric("accuracy")
    with pytest.raises(UsageError, match="did you mean 'f1_macro'"):
        check_metric("macro_f1")
