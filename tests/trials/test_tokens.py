"""Token batches: every example once per epoch, in the order of seed and epoch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lexmove.trials.tasks.examples import stratified_sample
from lexmove.trials.tokens import evaluation_batches, pack, training_batches


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=300).map(np.array),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_every_text_is_in_exactly_one_batch_in_an_order_of_the_seed(lengths, batch_size, seed):
    batches = training_batches(lengths, batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    again = training_batches(lengths, batch_size, np.random.default_rng(seed))
    assert all((one == other).all() for one, other in zip(batches, again, strict=True))
    evaluated = list(evaluation_batches(lengths, batch_size))
    assert sorted(np.concatenate(evaluated).tolist()) == list(range(len(lengths)))


def test_bucketing_saves_most_of_the_padding():
    lengths = np.random.default_rng(0).integers(5, 128, 1000)

    def padded(batches):
        return sum(len(batch) * lengths[batch].max() for batch in batches)

    bucketed = padded(training_batches(lengths, 16, np.random.default_rng(1)))
    plain = padded(np.split(np.random.default_rng(1).permutation(992), 62))
    assert bucketed < 1.1 * lengths.sum() < plain


def test_a_batch_is_padded_to_its_longest_text():
    tokens = pack([[1, 2, 3], [4], [5] * 9], np.array([0, 1, 2]), pad_id=7)
    ids, mask, labels = tokens.batch(np.array([1, 0]))
    assert ids.tolist() == [[4, 7, 7, 7, 7, 7, 7, 7], [1, 2, 3, 7, 7, 7, 7, 7]]
    assert mask.sum(axis=1).tolist() == [1, 3]
    assert labels.tolist() == [1, 0]
    assert tokens.batch(np.array([2]))[0].shape == (1, 16)
    assert tokens.ids.dtype == np.int32


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    share=st.floats(0.05, 1.0),
    seed=st.integers(0, 2**32),
)
def test_a_stratified_sample_keeps_the_proportions(counts, share, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    size = max(1, round(share * len(labels)))
    index = stratified_sample(labels, size, np.random.default_rng(seed))
    assert len(index) == size == len(set(index.tolist()))
    taken = np.bincount(labels[index], minlength=len(counts))
    if size >= len(counts):
        assert (taken >= 1).all()
    if (np.array(counts) * size / len(labels) >= 1).all():
        assert (np.abs(taken - np.array(counts) * size / len(labels)) < 1).all()
