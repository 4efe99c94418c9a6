"""Token batches: every example once per epoch, in the order of seed and epoch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lexmove.trials.tasks.examples import Examples, stratified_sample
from lexmove.trials.tokens import (
    Tokens,
    evaluation_batches,
    token_counts,
    tokenized,
    training_batches,
)


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
    tokens = Tokens(
        ids=np.zeros(0, dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        starts=np.arange(len(lengths) + 1),
        labels=np.zeros(len(lengths), dtype=np.int64),
        pad_id=0,
    )
    evaluated = list(evaluation_batches(tokens, 60 * batch_size))
    assert sorted(np.concatenate(evaluated).tolist()) == list(range(len(lengths)))
    assert all(len(index) * lengths[index].max() <= 60 * batch_size for index in evaluated)


def test_bucketing_saves_most_of_the_padding():
    lengths = np.random.default_rng(0).integers(5, 128, 1000)

    def padded(batches):
        return sum(len(batch) * lengths[batch].max() for batch in batches)

    bucketed = padded(training_batches(lengths, 16, np.random.default_rng(1)))
    plain = padded(np.split(np.random.default_rng(1).permutation(992), 62))
    assert bucketed < 1.1 * lengths.sum() < plain


class Words:
    """A tokenizer of the kind that transformers has: one token per word, [1] and [2] around."""

    pad_token_id = 7

    def num_special_tokens_to_add(self):
        return 2

    def __call__(self, texts, pairs=None, *, return_overflowing_tokens=False, **cut):
        if not cut.get("add_special_tokens", True):
            return {"input_ids": [text.split() for text in texts]}
        room = cut["max_length"] - 2
        rows, owners = [], []
        for number, text in enumerate(texts):
            ids = [10 + len(word) for word in text.split()]
            if pairs is not None:
                second = [30 + len(word) for word in pairs[number].split()]
                rows.append([1, *ids, 2, *second, 2][: cut["max_length"]])
                continue
            parts = [ids[at : at + room] for at in range(0, max(1, len(ids)), room)]
            for part in parts if return_overflowing_tokens else parts[:1]:
                rows.append([1, *part, 2])
                owners.append(number)
        types = [[int(i > row.index(2)) for i in range(len(row))] for row in rows]
        found = {"input_ids": rows, "token_type_ids": types}
        return found | ({"overflow_to_sample_mapping": owners} if owners else {})


def examples(texts, **more):
    return Examples(texts=tuple(texts), labels=np.arange(len(texts)), **more)


def test_a_batch_is_padded_to_its_longest_text():
    tokens = tokenized(examples(["a bb ccc", "dddd", "e " * 9]), Words(), max_length=20)
    batch = tokens.batch(np.array([1, 0]))
    assert batch.ids.tolist() == [[1, 14, 2, 7, 7, 7, 7, 7], [1, 11, 12, 13, 2, 7, 7, 7]]
    assert batch.mask.sum(axis=1).tolist() == [3, 5]
    assert batch.labels.tolist() == [1, 0]
    assert batch.types is None, "a single text has no second one"
    assert tokens.batch(np.array([2])).ids.shape == (1, 16)
    assert tokens.ids.dtype == np.int32


def test_pairs_are_one_sequence_that_tells_its_halves():
    pairs = examples(["a b", "a"], pairs=("cc", "dd dd"))
    batch = tokenized(pairs, Words(), max_length=20).batch(np.arange(2))
    assert batch.ids[:, :6].tolist() == [[1, 11, 11, 2, 32, 2], [1, 11, 2, 32, 32, 2]]
    assert batch.types[:, :6].tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]]


def test_choices_are_a_sequence_for_each_ending():
    choices = examples(["a", "b b"], endings=(("c", "dd", "eee"), ("f", "g", "h h")))
    tokens = tokenized(choices, Words(), max_length=20)
    assert tokens.shape == "choices"
    batch = tokens.batch(np.array([1]))
    assert batch.ids.shape == (1, 3, 8)
    assert batch.ids[0, :, :7].tolist() == [
        [1, 11, 11, 2, 31, 2, 7],
        [1, 11, 11, 2, 31, 2, 7],
        [1, 11, 11, 2, 31, 31, 2],
    ]
    assert tokens.lengths.tolist() == [5, 7]
    assert tokens.areas.tolist() == [15, 21]


def test_texts_to_be_matched_are_sequences_of_their_own():
    pairs = examples(["a b", "a"], pairs=("cc", "dd dd"))
    tokens = tokenized(pairs, Words(), max_length=20, encoding="separate")
    assert tokens.shape == "matched_pairs"
    batch = tokens.batch(np.arange(2))
    assert batch.types is None
    assert batch.ids[:, :, :4].tolist() == [
        [[1, 11, 11, 2], [1, 12, 2, 7]],
        [[1, 11, 2, 7], [1, 12, 12, 2]],
    ]
    choices = examples(["a", "b"], endings=(("c", "dd"), ("f", "g h")))
    tokens = tokenized(choices, Words(), max_length=20, encoding="separate")
    assert tokens.shape == "matched_choices"
    assert np.diff(tokens.starts).tolist() == [3, 3]
    assert tokens.batch(np.array([1])).ids[0, 2, :4].tolist() == [1, 11, 11, 2]


def test_a_long_text_is_its_paragraphs_and_a_long_paragraph_goes_on():
    text = "a bb\n \nccc " + "d " * 4 + "\n\n\neeeeee"
    documents = examples([text, "f", "g\n\nh h h"])
    tokens = tokenized(documents, Words(), max_length=5, max_segments=4)
    assert tokens.shape == "segments"
    assert np.diff(tokens.starts).tolist() == [4, 1, 2]
    batch = tokens.batch(np.array([0, 1]))
    assert batch.ids[0, :, :5].tolist() == [
        [1, 11, 12, 2, 7],
        [1, 13, 11, 11, 2],
        [1, 11, 11, 2, 7],
        [1, 16, 2, 7, 7],
    ]
    assert batch.mask[1].sum(axis=-1).tolist() == [3, 0, 0, 0]
    fewer = tokenized(documents, Words(), max_length=5, max_segments=2)
    assert np.diff(fewer.starts).tolist() == [2, 1, 2]
    assert fewer.ids.tolist()[:9] == [1, 11, 12, 2, 1, 13, 11, 11, 2]


@given(
    paragraphs=st.lists(st.lists(st.integers(1, 12), max_size=6), min_size=1, max_size=12),
    max_segments=st.integers(1, 5),
)
def test_segments_keep_the_order_and_the_beginning_of_every_text(paragraphs, max_segments):
    sizes = [each or [1] for each in paragraphs]
    words = iter(range(1, 10_000))
    texts = [
        "\n\n".join(" ".join("w" * next(words) for _ in range(n)) for n in each) for each in sizes
    ]
    tokens = tokenized(examples(texts), Words(), max_length=6, max_segments=max_segments)
    assert len(tokens) == len(texts)
    assert (np.diff(tokens.starts) <= max_segments).all()
    for number, text in enumerate(texts):
        mine = range(tokens.starts[number], tokens.starts[number + 1])
        rows = [tokens.ids[tokens.offsets[s] : tokens.offsets[s + 1]].tolist() for s in mine]
        read = [token for row in rows for token in row[1:-1]]
        wanted = [10 + len(word) for word in text.split()]
        assert read == wanted[: len(read)]
        assert len(read) == len(wanted) or len(rows) == max_segments
        assert all(len(row) <= 6 for row in rows)


def test_short_paragraphs_share_a_segment_while_they_have_room():
    documents = examples(["a\n\nb b\n\nc\n\nd d d\n\ne"])
    tokens = tokenized(documents, Words(), max_length=6, max_segments=9)
    assert np.diff(tokens.offsets).tolist() == [4 + 2, 4 + 2]


def test_uncut_counts_say_how_long_texts_are():
    choices = examples(["a " * 30, "b"], endings=(("c", "d d"), ("e", "f " * 9)))
    assert token_counts(choices, Words()).tolist() == [30 + 2 + 3, 1 + 9 + 3]


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
