"""Effects: a hyperparameter that is not in effect fails its trial, by its name; all are read."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn

from lexmove.errors import TrialFailedError
from lexmove.trials import effects
from lexmove.trials.adapters import adapters_of
from lexmove.trials.fine_tuning import FineTuning, Loader, Plan
from lexmove.trials.model import embedding_block, encoder_layers, load_pretrained
from lexmove.trials.prepared import Preparation, prepare
from lexmove.trials.recipe import Recipe

RECIPE = {
    "max_length": 24,
    "max_segments": 3,
    "learning_rate": 1e-3,
    "batch_size": 8,
    "accumulation": 2,
    "weight_decay": 0.1,
    "adam_beta1": 0.85,
    "adam_beta2": 0.95,
    "adam_epsilon": 1e-7,
    "warmup_steps": 0.2,
    "schedule": "cosine",
    "label_smoothing": 0.1,
    "max_grad_norm": 2.0,
    "pooling": "cls",
    "classifier_dropout": 0.3,
    "hidden_dropout": 0.2,
    "num_hidden_layers": 2,
    "head_lr_multiplier": 4.0,
    "layer_lr_decay": 0.5,
    "class_weighting": "balanced",
    "threshold": 0.4,
    "freeze_embeddings": True,  # three in four of the parameters
}
LORA = {"use_lora": True, "lora_rank": 4, "lora_alpha": 8.0, "lora_dropout": 0.2}


@pytest.fixture(scope="module")
def tokens(small_task):
    return tokens_of_length(small_task, 24)


def tokens_of_length(task, max_length):
    wanted = Preparation(task=task, model_name="minilm", max_length=max_length, max_segments=3)
    return prepare(wanted).splits["train"]


@pytest.fixture
def start(tokens):
    started = []

    def begin(**recipe):
        plan = Plan(
            recipe=Recipe(**(RECIPE | recipe)),
            num_labels=3,
            max_epochs=3,
            seed=0,
            precision="fp32",
        )
        started.append(FineTuning(load_pretrained("minilm", 2), tokens, plan))
        return started[-1]

    yield begin
    for training in started:
        training.close()


def test_every_hyperparameter_is_read_back():
    assert list(effects.READ_BACK) != []
    assert set(effects.READ_BACK) == {item.name for item in fields(Recipe)}


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        LORA,
        {"freeze_embeddings": False},
        {"freeze_layers": 1},
        {"freeze_layers": 2},
        {"schedule": "constant", "warmup_steps": 0.0},
        {"schedule": "inverse_sqrt", "warmup_steps": 5},
        {"batch_size": 500, "accumulation": 7},
        {"warmup_steps": 0.99},
    ],
)
def test_what_was_asked_for_is_in_effect_from_start_to_end(start, recipe):
    training = start(**recipe)
    training.train_epoch(1)
    effects.verify(training)
    again = start(**recipe)
    again.restore(training.weights(), training.training_state())
    again.train_epoch(2)
    effects.verify(again)


def groups(change):
    def fault(training):
        for group in training.optimizer.param_groups:
            change(group)

    return fault


def rates(factor, block):
    """Multiplies the rates of one block of the model."""

    def fault(training):
        own = {id(p) for p in block(training.model).parameters()}
        for group in training.optimizer.param_groups:
            if any(id(p) in own for p in group["params"]):
                group["initial_lr"] *= factor
                group["lr"] *= factor

    return fault


def all_rates(training):
    for group in training.optimizer.param_groups:
        group["initial_lr"] *= 2
        group["lr"] *= 2


def schedule(name, warmup):
    def fault(training):
        from transformers import get_scheduler

        other = get_scheduler(
            name,
            torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0),
            num_warmup_steps=warmup(training.num_steps),
            num_training_steps=training.num_steps,
        )
        training.scheduler.lr_lambdas = other.lr_lambdas * len(training.scheduler.lr_lambdas)

    return fault


def loader(**changes):
    def fault(training):
        now = training.loader
        kept = {
            "tokens": now.tokens,
            "batch_size": now.batch_size,
            "accumulation": now.accumulation,
        }
        training.loader = Loader(**(kept | changes))

    return fault


def loss(**changes):
    def fault(training):
        kept = {"smoothing": training.loss.smoothing, "weights": training.loss.weights}
        training.loss = type(training.loss)(**(kept | changes))

    return fault


def on(path, value):
    """Sets an attribute below the training."""

    def fault(training):
        *parents, last = path.split(".")
        owner = training
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, last, value)

    return fault


def every(kind, attribute, value):
    def fault(training):
        for module in training.model.encoder.modules():
            if isinstance(module, kind):
                setattr(module, attribute, value)

    return fault


def adapters(change):
    def fault(training):
        for adapter in adapters_of(training.model):
            change(adapter)

    return fault


def trains(block, *, is_trained):
    def fault(training):
        block(training.model.encoder).requires_grad_(is_trained)

    return fault


def no_adapters(training):
    from lexmove.trials.adapters import merge_adapters

    merge_adapters(training.model)


def one_layer(training):
    training.model.encoder.config.num_hidden_layers = 1
    training.model.encoder.encoder.layer = training.model.encoder.encoder.layer[:1]


FAULTS = {
    "learning_rate": ({}, all_rates),
    "per_device_train_batch_size": ({}, loader(batch_size=16)),
    "gradient_accumulation_steps": ({}, loader(accumulation=1)),
    "weight_decay": ({}, groups(lambda group: group.update(weight_decay=0.0))),
    "adam_beta1": ({}, groups(lambda group: group.update(betas=(0.9, group["betas"][1])))),
    "adam_beta2": ({}, groups(lambda group: group.update(betas=(group["betas"][0], 0.999)))),
    "adam_epsilon": ({}, groups(lambda group: group.update(eps=1e-8))),
    "warmup_steps": ({}, schedule("cosine", lambda steps: steps // 2)),
    "lr_scheduler_type": ({"warmup_steps": 0.0}, schedule("polynomial", lambda steps: 0)),
    "label_smoothing_factor": ({}, loss(smoothing=0.0)),
    "model.class_weighting": ({}, loss(weights=None)),
    "max_grad_norm": ({}, on("max_grad_norm", 1.0)),
    "model.pooling": ({}, on("model.config.pooling", "mean")),
    "model.encoding": ({}, on("model.config.shape", "matched_pairs")),
    "model.classifier_dropout": ({}, on("model.dropout.p", 0.1)),
    "model.hidden_dropout": ({}, every(nn.Dropout, "p", 0.1)),
    "model.num_hidden_layers": ({}, one_layer),
    "model.freeze_embeddings": (
        {},
        trains(embedding_block, is_trained=True),
    ),
    "model.freeze_layers": (
        {"freeze_layers": 1},
        trains(lambda encoder: encoder_layers(encoder)[0], is_trained=True),
    ),
    "model.head_lr_multiplier": ({}, rates(2.0, lambda model: model.head)),
    "model.layer_lr_decay": ({}, rates(2.0, lambda model: encoder_layers(model.encoder)[0])),
    "model.threshold": ({}, on("model.config.threshold", 0.5)),
    "model.max_segments": ({}, on("model.config.max_segments", 64)),
    "peft.use_lora": (LORA, no_adapters),
    "peft.r": (LORA, adapters(lambda adapter: adapter.r.update(default=8))),
    "peft.alpha": (LORA, adapters(lambda adapter: adapter.lora_alpha.update(default=16))),
    "peft.dropout": (
        LORA,
        adapters(lambda adapter: setattr(adapter.lora_dropout["default"], "p", 0.0)),
    ),
}


def test_there_is_a_fault_for_every_hyperparameter():
    named = {item.metadata["name"] for item in fields(Recipe)}
    assert set(FAULTS) == named - {"model.max_length"}, "max_length has a test of its own"


@pytest.mark.parametrize("name", FAULTS)
def test_a_hyperparameter_without_effect_fails_its_trial_by_name(start, name):
    recipe, fault = FAULTS[name]
    training = start(**recipe)
    effects.verify(training)
    fault(training)
    with pytest.raises(TrialFailedError, match=rf"^{name} is .* in effect, not .* as asked$"):
        effects.verify(training)


def test_texts_longer_than_asked_are_noticed(start, small_task):
    training = start()
    longer = tokens_of_length(small_task, 32)
    training.loader = Loader(tokens=longer, batch_size=8, accumulation=2)
    with pytest.raises(TrialFailedError, match=r"^model\.max_length is 32 .* not 24 as asked$"):
        effects.verify(training)


def test_a_restored_optimizer_that_brings_another_rate_fails_the_trial(start):
    """The classic: `load_state_dict` also replaces the groups' hyperparameters."""
    training = start()
    training.train_epoch(1)
    state = training.training_state()
    state["optimizer"]["param_groups"][2]["betas"] = (0.9, 0.999)
    again = start()
    again.restore(training.weights(), state)
    with pytest.raises(TrialFailedError, match=r"^adam_beta1 is \[0\.85, 0\.9\] in effect"):
        effects.verify(again)


def test_a_schedule_at_another_place_fails_the_trial(start):
    training = start()
    training.train_epoch(1)
    state = training.training_state() | {"num_steps_done": 1}
    again = start()
    again.restore(training.weights(), state)
    with pytest.raises(TrialFailedError, match=r"^learning_rate is .* at step 1 in effect"):
        effects.verify(again)


def test_weights_of_classes_balance_single_and_several_labels():
    from sklearn.utils.class_weight import compute_class_weight

    from lexmove.trials.loss import balanced_weights

    labels = np.array([0, 0, 0, 1, 2, 2])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights(labels, 3) == pytest.approx(wanted)
    several = np.array([[1, 0], [1, 0], [1, 1], [0, 0]])
    by_label = [
        compute_class_weight("balanced", classes=np.arange(2), y=column) for column in several.T
    ]
    assert pytest.approx(np.array(by_label)) == balanced_weights(several, 2).T
