"""Near-duplicates never stand on both sides of a split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexmove.trials.tasks.near_duplicates import (
    DUPLICATE,
    RELATED,
    clusters,
    distinct,
    shingle,
    split_clusters,
)

SETTINGS = settings(max_examples=15, deadline=None)


def corpus(seed: int, num_bases: int = 8, copies: int = 4, num_words: int = 60) -> list[str]:
    """Copies of some random texts, each with a share of its words replaced."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(num_bases):
        base = rng.integers(0, 400, num_words)
        for _ in range(copies):
            words = base.copy()
            changed = rng.random(num_words) < rng.choice([0.0, 0.02, 0.06, 0.15, 0.5])
            words[changed] = rng.integers(0, 400, changed.sum())
            texts.append(" ".join(f"w{word}" for word in words))
    return texts


def jaccard(one: str, other: str) -> float:
    """From the definition, by sets of word triples."""
    first, second = (
        {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}
        for words in (one.split(), other.split())
    )
    return len(first & second) / len(first | second)


@SETTINGS
@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([DUPLICATE, RELATED]))
def test_clusters_are_the_components_of_the_similar_pairs(seed, threshold):
    texts = corpus(seed)
    found = clusters(shingle(texts), threshold)
    wanted = list(range(len(texts)))
    for i in range(len(texts)):
        for j in range(i):
            if jaccard(texts[i], texts[j]) >= threshold:
                wanted = [wanted[j] if k == wanted[i] else k for k in wanted]
    same_found = found[:, None] == found[None, :]
    same_wanted = np.array(wanted)[:, None] == np.array(wanted)[None, :]
    # No pair is joined without reason; a pair right at the threshold may be missed (p < .002).
    assert not (same_found & ~same_wanted).any()
    assert (same_wanted & ~same_found).sum() <= 2


@SETTINGS
@given(seed=st.integers(0, 10**6))
def test_no_related_pair_straddles_the_split(seed):
    texts = corpus(seed, num_bases=20)
    labels = np.random.default_rng(seed).integers(0, 3, len(texts))
    cluster = clusters(shingle(texts), RELATED)
    side = split_clusters(cluster, labels, max_cluster_ratio=0.2)
    for name in np.unique(cluster):
        assert len(set(side[cluster == name])) == 1
    straddling = [
        (i, j)
        for i in range(len(texts))
        for j in range(i)
        if side[i] != side[j] and jaccard(texts[i], texts[j]) >= RELATED
    ]
    assert not straddling
    assert (side == split_clusters(cluster, labels, max_cluster_ratio=0.2)).all()


def test_one_text_of_every_cluster_is_kept():
    texts = ["one two three four five six", "seven eight nine ten", "ONE two, three four five six!"]
    cluster = clusters(shingle(texts), DUPLICATE)
    assert distinct(cluster).tolist() == [0, 1]


def test_only_the_first_200_words_count():
    head = " ".join(f"word{i}" for i in range(200))
    cluster = clusters(shingle([head + " and then this", head + " but not that"]), DUPLICATE)
    assert cluster.tolist() == [0, 0]


def test_texts_without_words_are_duplicates_of_one_another():
    assert clusters(shingle(["…", "!!", "a b c d"]), DUPLICATE).tolist() == [0, 0, 2]


def test_large_clusters_go_to_train_and_the_rest_keeps_the_proportions():
    cluster = np.concatenate([np.zeros(50, dtype=np.int64), np.arange(1, 951)])
    labels = np.random.default_rng(0).choice(3, 1000, p=[0.7, 0.2, 0.1])
    side = split_clusters(cluster, labels)
    assert set(side[:50]) == {0}
    assert np.bincount(side) == pytest.approx([600, 200, 200], abs=3)
    for label in range(3):
        shares = np.bincount(side[labels == label], minlength=3) / (labels == label).sum()
        assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
