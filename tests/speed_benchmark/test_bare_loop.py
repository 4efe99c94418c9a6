"""The bare loop: the limit only counts if it trains exactly what lexmove trains."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.speed.comparison import ComparisonError
from benchmarks.speed.throughput import played
from lexmove.trials.fine_tuning import Plan
from lexmove.trials.model import load_pretrained
from lexmove.trials.recipe import Recipe
from lexmove.trials.tokens import Tokens
from trials.tiny_models import WORDS, folder_of

RECIPE = Recipe(
    learning_rate=1e-2,
    batch_size=4,
    weight_decay=0.1,
    warmup_steps=0.2,
    schedule="cosine",
    max_length=12,
)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return load_pretrained(folder_of("Bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def tokens():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 12, size=30)
    return Tokens(
        ids=rng.integers(5, len(WORDS), size=lengths.sum(), dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        starts=np.arange(31),
        labels=rng.integers(3, size=30),
        pad_id=0,
    )


def plan(recipe, precision="fp32"):
    return Plan(recipe=recipe, num_labels=3, max_epochs=3, seed=7, precision=precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("is_frozen", [True, False])
def test_both_train_the_same_to_the_last_bit(pretrained, tokens, precision, is_frozen):
    recipe = replace(RECIPE, freeze_embeddings=is_frozen)
    pairs = played(pretrained, tokens, plan(recipe, precision), num_epochs=3)
    assert [pair.loss_difference for pair in pairs] == [0.0, 0.0, 0.0]
    assert pairs[0].ours_loss != pairs[1].ours_loss, "something is learned"
    for pair in pairs:
        assert pair.num_samples == 30
        assert pair.ratio == pair.bare_s / pair.ours_s > 0


def test_another_training_is_an_error(pretrained, tokens):
    smoothed = replace(RECIPE, label_smoothing=0.2)  # which the bare loop leaves out
    with pytest.raises(ComparisonError, match="losses differ by"):
        played(pretrained, tokens, plan(smoothed), num_epochs=1)
