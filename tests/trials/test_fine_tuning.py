"""Fine-tuning: pausing changes nothing, settings take effect, divergence is told."""

import math

import numpy as np
import pytest
import torch

from lexmove.errors import TrialFailedError
from lexmove.trials import fine_tuning
from lexmove.trials.effects import verify
from lexmove.trials.fine_tuning import FineTuning, Plan, warmup_steps
from lexmove.trials.loss import Loss
from lexmove.trials.model import load_pretrained
from lexmove.trials.prepared import Preparation, prepare
from lexmove.trials.recipe import SCHEDULES, Recipe


@pytest.fixture(scope="module")
def splits(small_task):
    return prepare(Preparation(task=small_task, model_name="minilm", max_length=24)).splits


@pytest.fixture
def start(splits):
    """Starts trainings of one layer under frozen embeddings; closes them afterwards."""
    started = []

    def begin(*, max_epochs=3, seed=0, precision="fp32", **recipe):
        plan = Plan(
            recipe=Recipe(max_length=24, freeze_embeddings=True, **recipe),
            num_labels=3,
            max_epochs=max_epochs,
            seed=seed,
            precision=precision,
        )
        started.append(FineTuning(load_pretrained("minilm", 1), splits["train"], plan))
        return started[-1]

    yield begin
    for training in started:
        training.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_learns_its_training_data(start, splits, precision):
    training = start(learning_rate=2e-3, max_epochs=6, batch_size=8, precision=precision)
    losses = [training.train_epoch(epoch) for epoch in range(1, 7)]
    assert losses[0] > 0.7 * math.log(3)
    # Measured .003 (fp32, bf16) and .04 (fp16, whose first steps only find the scale).
    assert losses[-1] < 0.3
    predicted = training.logits(splits["train"]).argmax(axis=1)
    assert (predicted == splits["train"].labels).mean() > 0.9


def test_the_schedule_is_planned_for_the_full_length(start):
    training = start(learning_rate=1e-3, max_epochs=2, batch_size=8, warmup_steps=0.25)
    rates = []
    training.optimizer.register_step_pre_hook(
        lambda optimizer, args, kwargs: rates.append(optimizer.param_groups[0]["lr"])
    )
    for epoch in (1, 2):
        training.train_epoch(epoch)
    num = training.num_steps
    warm = math.ceil(0.25 * num)
    peak = 1e-3 * Recipe().head_lr_multiplier
    wanted = [
        peak * (step / warm if step < warm else (num - step) / (num - warm)) for step in range(num)
    ]
    assert rates == pytest.approx(wanted)


def test_paused_and_continued_equals_uninterrupted_exactly(start, splits):
    recipe = {"learning_rate": 1e-3, "batch_size": 8, "schedule": "cosine"}
    straight = start(**recipe)
    losses = [straight.train_epoch(epoch) for epoch in (1, 2, 3)]
    first = start(**recipe)
    assert first.train_epoch(1) == losses[0]
    torch.manual_seed(99)  # whatever happened in between
    second = start(**recipe)
    second.restore(first.weights(), first.training_state())
    assert [second.train_epoch(epoch) for epoch in (2, 3)] == losses[1:]
    for name, weight in straight.weights().items():
        assert torch.equal(weight, second.weights()[name]), name
    assert (straight.logits(splits["test"]) == second.logits(splits["test"])).all()


def test_a_seed_decides_head_dropout_and_order(start):
    one, same, other = (start(seed=seed).train_epoch(1) for seed in (0, 0, 1))
    assert one == same != other


def test_accumulated_batches_make_one_step(start):
    training = start(batch_size=8, accumulation=2)
    batches = math.ceil(len(training.loader.tokens) / 8)
    assert training.num_steps == 3 * math.ceil(batches / 2)
    training.train_epoch(1)
    assert training.training_state()["num_steps_done"] == math.ceil(batches / 2)


def test_every_parameter_is_in_one_group_with_its_own_rate(start):
    training = start(
        learning_rate=1e-3, weight_decay=0.1, head_lr_multiplier=4.0, layer_lr_decay=0.5
    )
    rates = {
        id(p): (group["initial_lr"], group["weight_decay"])
        for group in training.optimizer.param_groups
        for p in group["params"]
    }
    trained = {n: p for n, p in training.model.named_parameters() if p.requires_grad}
    assert len(rates) == sum(len(g["params"]) for g in training.optimizer.param_groups)
    assert set(rates) == {id(p) for p in trained.values()}
    for name, parameter in trained.items():
        rate, decay = rates[id(parameter)]
        assert rate == pytest.approx(4e-3 if name.startswith("head") else 1e-3)
        assert decay == (0.1 if parameter.ndim > 1 else 0.0)
    # Frozen embeddings are in no group, so the decay shows on the layers of a deeper model only.
    assert not any(name.startswith("encoder.embeddings") for name in trained)


def test_lower_layers_learn_slower(splits):
    plan = Plan(
        recipe=Recipe(max_length=24, learning_rate=1e-3, layer_lr_decay=0.5),
        num_labels=3,
        max_epochs=1,
        seed=0,
        precision="fp32",
    )
    training = FineTuning(load_pretrained("minilm", 2), splits["train"], plan)
    rate = {
        id(p): group["initial_lr"]
        for group in training.optimizer.param_groups
        for p in group["params"]
    }
    encoder = training.model.encoder
    for depth, block in enumerate([*reversed(encoder.encoder.layer), encoder.embeddings]):
        assert {rate[id(p)] for p in block.parameters()} == {1e-3 * 0.5**depth}
    training.close()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.2])
def test_a_rare_class_is_taught_by_its_own_texts_alone(smoothing):
    """However great its weight: 1 of 1,000 texts, in a model that tells all classes apart."""
    labels = np.repeat(np.arange(4), [600, 300, 99, 1])
    recipe = Recipe(class_weighting="balanced", label_smoothing=smoothing)
    loss = Loss.of(recipe, labels, num_labels=4, device=torch.device("cpu"))
    table = torch.zeros(4, 4, requires_grad=True)
    optimizer = torch.optim.Adam([table], lr=0.1)
    told = torch.from_numpy(labels)
    for _ in range(100):
        optimizer.zero_grad()
        loss(table[told], told).backward()
        optimizer.step()
    assert table.argmax(dim=1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_that_may_be_searched_trains(start, schedule):
    training = start(schedule=schedule)
    training.train_epoch(1)
    assert all(group["lr"] >= 0 for group in training.optimizer.param_groups)


def test_class_weights_are_those_of_scikit_learn(start, splits):
    from sklearn.utils.class_weight import compute_class_weight

    labels = splits["train"].labels
    training = start(class_weighting="balanced")
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert training.loss.weights.numpy() == pytest.approx(wanted)


def test_divergence_says_when_and_under_which_rate(start):
    training = start(learning_rate=1e30, batch_size=8)
    with pytest.raises(TrialFailedError) as caught:
        training.train_epoch(1)
    assert str(caught.value).startswith("diverged: training loss is nan at optimizer step ")
    assert str(caught.value).endswith("(learning_rate 1.0e+30)")


class Scarce:
    """A forward pass that has room for so many examples, and says so as torch does."""

    def __init__(self, model, room):
        self.model, self.room, self.forward = model, room, model.forward
        self.sizes, self.num_refused = [], 0

    def __call__(self, **inputs):
        size = len(inputs["input_ids"])
        if size > self.room:
            self.num_refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.sizes.append(size)
        return self.forward(**inputs)


@pytest.mark.parametrize("weighting", ["none", "balanced"])
def test_a_batch_without_room_is_trained_in_halves_with_the_same_result(
    start, splits, monkeypatch, weighting
):
    recipe = {
        "learning_rate": 1e-3,
        "batch_size": 16,
        "hidden_dropout": 0.0,
        "classifier_dropout": 0.0,
        "class_weighting": weighting,
    }
    whole, halved, paused = start(**recipe), start(**recipe), start(**recipe)
    scarce = Scarce(halved.model, room=5)
    monkeypatch.setattr(halved.model, "forward", scarce)
    losses = [whole.train_epoch(epoch) for epoch in (1, 2)]
    assert [halved.train_epoch(epoch) for epoch in (1, 2)] == pytest.approx(losses, rel=1e-4)
    assert max(scarce.sizes) == 4, "half of a half of 16"
    assert halved.logits(splits["validation"]) == pytest.approx(
        whole.logits(splits["validation"]), abs=2e-3
    )
    paused.restore(halved.weights(), halved.training_state())
    scarce = Scarce(paused.model, room=5)
    monkeypatch.setattr(paused.model, "forward", scarce)
    paused.train_epoch(3)
    assert scarce.num_refused == 0, "what goes on from its checkpoint knows"


def test_an_example_without_room_is_out_of_memory(start, splits, monkeypatch):
    training = start()
    monkeypatch.setattr(training.model, "forward", Scarce(training.model, room=0))
    with pytest.raises(torch.OutOfMemoryError):
        training.train_epoch(1)
    with pytest.raises(torch.OutOfMemoryError):
        training.logits(splits["validation"])


def test_logits_that_are_not_finite_are_a_divergence(start, splits):
    training = start()
    torch.nn.init.constant_(training.model.head.bias, math.inf)
    with pytest.raises(TrialFailedError, match="diverged: a logit is"):
        training.logits(splits["validation"])


def test_a_text_longer_than_the_recipe_says_is_noticed(splits):
    plan = Plan(recipe=Recipe(max_length=16), num_labels=3, max_epochs=1, seed=0, precision="fp32")
    training = FineTuning(load_pretrained("minilm", 1), splits["train"], plan)
    with pytest.raises(TrialFailedError, match=r"model\.max_length is 24 .* in effect, not 16"):
        verify(training)
    training.close()


@pytest.mark.parametrize(("value", "steps"), [(0.0, 0), (0.06, 7), (0.5, 50), (1, 1), (30, 30)])
def test_warmup_below_one_is_a_ratio(value, steps):
    assert warmup_steps(Recipe(warmup_steps=value), 100 if value != 0.06 else 101) == steps


def test_a_torch_built_for_gpus_trains_on_a_machine_without_one(start, monkeypatch):
    def built_for_cuda(check_available=False):
        return None if check_available else torch.device("cuda")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", built_for_cuda)
    training = start()
    assert training.device.type == "cpu"
    assert training.train_epoch(1) > 0


def test_memory_that_a_gpu_still_holds_after_a_trial_is_told(splits, monkeypatch, caplog):
    recipe = Recipe(max_length=24, freeze_embeddings=True)
    plan = Plan(recipe=recipe, num_labels=3, max_epochs=1, seed=0, precision="fp32")
    for held, told in ((2**20, ""), (3 * 2**30, "3072 MiB of GPU memory are still held")):
        monkeypatch.setattr(fine_tuning, "held_bytes", lambda held=held: held)
        FineTuning(load_pretrained("minilm", 1), splits["train"], plan).close()
        assert told in caplog.text
        assert bool(caplog.records) is bool(told)
