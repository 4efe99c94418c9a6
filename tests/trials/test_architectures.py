"""Architectures: tiny models of the kinds that users bring train, adapt, save and load alike."""

import copy

import numpy as np
import pytest
import torch
import transformers

from lexmove.job.spec import ModelSpec
from lexmove.trials.adapters import adapters_of
from lexmove.trials.effects import verify
from lexmove.trials.fine_tuning import FineTuning, Plan
from lexmove.trials.model import check_model, load_pretrained, load_tokenizer
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
        layer_lr_decay=0.9,
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
    task = TaskData(name="t", labels=("a", "b"), train=split, validation=split, test=split)
    save_model(
        tmp_path / "saved",
        training.weights(),
        model_name=name,
        recipe=recipe,
        task=task,
        rule=DecisionRule(is_multi_label=False),
    )
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "saved", trust_remote_code=True
    ).eval()
    batch = tokens.batch(np.arange(len(split)))
    with torch.inference_mode():
        logits = loaded(torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)).logits
    assert logits.numpy() == pytest.approx(said, abs=1e-4)
    for each in (training, again):
        each.close()
