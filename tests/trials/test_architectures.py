"""Architectures: tiny models of the kinds that users bring train, adapt, save and load alike."""

import copy

import numpy as np
import pytest
import torch
import transformers

from lexmove.errors import InfeasibleError, ModelError
from lexmove.job.spec import ModelSpec
from lexmove.trials.adapters import adapters_of
from lexmove.trials.effects import verify
from lexmove.trials.fine_tuning import FineTuning, Plan
from lexmove.trials.model import (
    build_classifier,
    check_model,
    encoder_layers,
    load_pretrained,
    load_tokenizer,
)
from lexmove.trials.prediction import DecisionRule
from lexmove.trials.recipe import Recipe
from lexmove.trials.saved_model import save_model
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData
from lexmove.trials.tokens import tokenized
from trials.tiny_models import KINDS, folder_of

TEXTS = ("the lease ends", "tax is due", "lease the lease ends", "the tax is due") * 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [False, True])
def test_it_trains_pauses_saves_and_loads(kind, lora, tmp_path):
    name = folder_of(kind, tmp_path / "model")
    check_model(ModelSpec(name=name, max_length=16))
    split = Examples(texts=TEXTS, labels=np.arange(len(TEXTS)) % 2)
    recipe = Recipe(
        max_length=16,
        learning_rate=3e-3,
        batch_size=8,
        layer_lr_decay=1.0 if kind == "Albert" else 0.9,
        weight_decay=0.01,
        use_lora=lora,
        freeze_layers=0 if lora or kind == "Albert" else 1,
        max_segments=2,
    )
    tokens = tokenized(split, load_tokenizer(name), max_length=16, max_segments=2)
    plan = Plan(recipe=recipe, num_labels=2, max_epochs=40, seed=0, precision="fp32")
    training = FineTuning(load_pretrained(name), tokens, plan)
    verify(training)
    assert bool(adapters_of(training.model)) == lora
    losses = [training.train_epoch(epoch) for epoch in range(1, 21)]
    assert min(losses) < 0.5 * losses[0], "four sentences are soon known by heart"
    again = FineTuning(load_pretrained(name), tokens, plan)
    again.restore(*copy.deepcopy((training.weights(), training.training_state())))
    verify(again)
    assert again.train_epoch(21) == pytest.approx(training.train_epoch(21), rel=1e-5)
    said = training.logits(tokens)
    assert logits_when_loaded(training, name, tmp_path) == pytest.approx(said, abs=1e-4)
    for each in (training, again):
        each.close()


def started(name, recipe, texts=TEXTS):
    """A trial of that recipe on some texts."""
    split = Examples(texts=texts, labels=np.arange(len(texts)) % 2)
    tokens = tokenized(split, load_tokenizer(name), max_length=recipe.max_length)
    plan = Plan(recipe=recipe, num_labels=2, max_epochs=1, seed=0, precision="fp32")
    return FineTuning(load_pretrained(name, recipe.num_hidden_layers), tokens, plan)


def logits_when_loaded(training, name, tmp_path):
    """What a trial's model says of its texts when it is saved and loaded by transformers."""
    split = Examples(texts=TEXTS, labels=np.arange(len(TEXTS)) % 2)
    save_model(
        tmp_path / "saved",
        training.weights(),
        model_name=name,
        recipe=training.plan.recipe,
        task=TaskData(name="t", labels=("a", "b"), train=split, validation=split, test=split),
        rule=DecisionRule(is_multi_label=False),
    )
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "saved", trust_remote_code=True
    ).eval()
    batch = training.loader.tokens.batch(np.arange(len(TEXTS)))
    with torch.inference_mode():
        logits = loaded(torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)).logits
    return logits.numpy()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("ModernBert", {"num_hidden_layers": 4}),
        ("Qwen3", {"num_key_value_heads": 2, "head_dim": 8}),
        ("Longformer", {}),
    ],
)
def test_a_model_cut_to_its_first_layer_is_saved_and_loads_again(kind, fields, tmp_path):
    """Its config has lists of a value per layer, which have to fit."""
    name = folder_of(kind, tmp_path / "model", **fields)
    training = started(name, Recipe(max_length=16, num_hidden_layers=1))
    assert len(encoder_layers(training.model.encoder)) == 1
    said = training.logits(training.loader.tokens)
    assert logits_when_loaded(training, name, tmp_path) == pytest.approx(said, abs=1e-4)
    training.close()


@pytest.mark.parametrize(("kind", "longest"), [("Roberta", 65), ("MPNet", 64), ("Bert", 64)])
def test_the_longest_texts_that_a_check_lets_pass_can_be_trained_on(kind, longest, tmp_path):
    """RoBERTa and its kin count positions from behind the padding token's."""
    name = folder_of(kind, tmp_path / "model")
    check_model(ModelSpec(name=name, max_length=longest))
    training = started(name, Recipe(max_length=longest), texts=("the lease ends " * 40,) * 4)
    assert training.loader.tokens.lengths.max() == longest
    training.train_epoch(1)
    training.close()
    with pytest.raises(ModelError, match=f"takes {longest} tokens at most"):
        check_model(ModelSpec(name=name, max_length=longest + 1))


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"layer_lr_decay": 0.5}, "model.layer_lr_decay has no effect here"),
        ({"freeze_layers": 1}, "model.freeze_layers has no effect here"),
    ],
)
def test_layers_that_share_their_weights_are_not_treated_apart(recipe, said, tmp_path):
    pretrained = load_pretrained(folder_of("Albert", tmp_path / "model"))
    with pytest.raises(InfeasibleError, match=f"{said}.*share their weights"):
        build_classifier(pretrained, Recipe(max_length=16, **recipe), num_labels=2)


def test_layers_that_share_their_weights_are_as_many_as_asked_for(tmp_path):
    name = folder_of("Albert", tmp_path / "model", num_hidden_layers=3)
    training = started(name, Recipe(max_length=16, num_hidden_layers=2))
    verify(training)
    training.close()


@pytest.mark.parametrize("recipe", [{"freeze_embeddings": True}, {"freeze_layers": 1}])
def test_frozen_embeddings_are_those_of_positions_too(recipe, tmp_path):
    pretrained = load_pretrained(folder_of("GPT2", tmp_path / "model"))
    encoder = build_classifier(pretrained, Recipe(max_length=16, **recipe), num_labels=2).encoder
    assert not encoder.wte.weight.requires_grad
    assert not encoder.wpe.weight.requires_grad
    assert encoder.ln_f.weight.requires_grad
