"""Near-duplicates: MinHash clusters, one item of each, and a split that no cluster straddles.

Legal text repeats itself: a random split of it puts copies of the training texts into the test
set. Shingles are triples of lower-cased words of the first 200 words. Candidate pairs come from
banded MinHash (Broder 1997; Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, §3.4) and
are then checked by their exact Jaccard similarity, so that a cluster holds no false pair; a pair
right at the threshold is missed with a probability below 0.002, a closer one far more rarely.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from lexmove.trials.tasks.examples import with_none

DUPLICATE = 0.8
"""Jaccard similarity from which two texts count as one: one of them is kept."""

RELATED = 0.5
"""Jaccard similarity from which two texts must fall on the same side of a split."""

_MAX_WORDS = 200
_SHINGLE = 3
_NUM_HASHES = 144
_BAND_ROWS = {DUPLICATE: 6, RELATED: 3}
"""Rows per band: 24 bands of 6 find a pair at .8, 48 bands of 3 a pair at .5, all but surely."""

_PRESCREEN_SLACK = 0.15
"""Pairs whose MinHash estimate (sd .04) is this far below the threshold are not checked exactly."""

_MAX_PAIRS = 200_000
"""Candidate pairs compared in one go: bounds the memory (about 300 MB)."""

_MAX_CLUSTER_RATIO = 0.02
"""Clusters over this share of the data go to train: they would be most of a small split."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True, eq=False)
class Shingles:
    """The distinct shingles of N texts: `ids[offsets[i]:offsets[i + 1]]`, ascending, text i's."""

    ids: NDArray[np.uint64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, index: NDArray[np.int64]) -> "Shingles":
        """The shingles of some of the texts, in the order of `index`."""
        rows = [self.ids[self.offsets[i] : self.offsets[i + 1]] for i in index]
        return _from_rows(rows)


def shingle(texts: Sequence[str]) -> Shingles:
    """Word 3-shingles of every text; a text of fewer words is one shingle."""
    hashes: dict[str, int] = {}
    rows = []
    for text in texts:
        words = _WORD.findall(text.lower(), 0, 40 * _MAX_WORDS)[:_MAX_WORDS]
        for word in words:
            if word not in hashes:
                hashes[word] = zlib.crc32(word.encode())
        rows.append(_row(np.array([hashes[word] for word in words], dtype=np.uint64)))
    return _from_rows(rows)


def clusters(shingles: Shingles, threshold: float) -> NDArray[np.int64]:
    """Cluster number of every text, (N,): connected by pairs at or above the Jaccard threshold.

    `threshold` is `DUPLICATE` or `RELATED`.
    """
    num_texts, rows = len(shingles), _BAND_ROWS[threshold]
    signatures = _signatures(shingles)
    incidence = _incidence(shingles)
    component = np.arange(num_texts)
    for start in range(0, _NUM_HASHES, rows):
        for left, right in _pairs(_buckets(signatures[:, start : start + rows]), component):
            similar = _similar(signatures, incidence, left, right, threshold)
            component = _joined(component, left[similar], right[similar])
    return component


def distinct(cluster: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the first text of every cluster, ascending."""
    return np.sort(np.unique(cluster, return_index=True)[1])


def split_clusters(
    cluster: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    ratios: tuple[float, ...] = (0.6, 0.2, 0.2),
    seed: int = 0,
    max_cluster_ratio: float = _MAX_CLUSTER_RATIO,
) -> NDArray[np.int64]:
    """Side of every text, (N,): 0 for the first ratio and so on; whole clusters on one side.

    `labels` are those of `Examples`: classes (N,), or indicators (N, C) of several.
    Largest clusters first, each to the side that lacks most of its labels in proportion; those
    over `max_cluster_ratio` of the data to side 0. The same input gives the same split.
    """
    counts = _label_counts(cluster, labels)
    wanted = np.outer(ratios, counts.sum(axis=0))
    sizes = np.unique(cluster, return_counts=True)[1]
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    side = np.zeros(len(sizes), dtype=np.int64)
    given = np.zeros_like(wanted)
    for index in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        if sizes[index] <= max_cluster_ratio * len(labels):
            lacking = (wanted - given) / np.maximum(wanted, 1e-9)
            side[index] = np.argmax(lacking @ counts[index])
        given[side[index]] += counts[index]
    return side[np.unique(cluster, return_inverse=True)[1].reshape(-1)]


def _row(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    size = min(_SHINGLE, max(1, len(words)))
    if len(words) == 0:
        return np.zeros(1, dtype=np.uint64)
    mixed = np.zeros(len(words) - size + 1, dtype=np.uint64)
    for place in range(size):
        mixed = _mix(mixed + words[place : place + len(mixed)])
    return np.unique(mixed)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection that looks random."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _from_rows(rows: list[NDArray[np.uint64]]) -> Shingles:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.concatenate(rows) if rows else np.zeros(0, dtype=np.uint64)
    return Shingles(ids=ids, offsets=np.concatenate([[0], np.cumsum(lengths)]))


def _signatures(shingles: Shingles) -> NDArray[np.uint32]:
    """MinHash signatures, (N, 144)."""
    keys = np.random.default_rng(0).integers(0, 2**63, _NUM_HASHES, dtype=np.uint64)
    signatures = np.empty((len(shingles), _NUM_HASHES), dtype=np.uint32)
    for column, key in enumerate(keys):
        # Multiply and shift (Dietzfelbinger et al. 1997) over ids that are already well mixed.
        hashed = ((shingles.ids ^ key) * (key | np.uint64(1))) >> np.uint64(32)
        signatures[:, column] = np.minimum.reduceat(hashed.astype(np.uint32), shingles.offsets[:-1])
    return signatures


def _incidence(shingles: Shingles) -> csr_array:
    columns = np.unique(shingles.ids, return_inverse=True)[1].reshape(-1)
    ones = np.ones(len(columns), dtype=np.int32)
    return csr_array((ones, columns, shingles.offsets))


def _buckets(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """A key per text, (N,), equal where a band's rows are; pairs are checked later anyway."""
    key = np.zeros(len(band), dtype=np.uint64)
    for column in band.T:
        key = _mix(key + column)
    return key


def _pairs(
    bucket: NDArray[np.uint64], component: NDArray[np.int64]
) -> "list[tuple[NDArray[np.int64], NDArray[np.int64]]]":
    """Pairs of texts in one bucket that are not joined yet, in blocks of at most `_MAX_PAIRS`."""
    order = np.argsort(bucket, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(bucket[order][1:] != bucket[order][:-1]) + 1])
    names = component[order]
    is_open = np.minimum.reduceat(names, starts) != np.maximum.reduceat(names, starts)
    lefts, rights = [], []
    ends = np.append(starts[1:], len(order))
    for first, last in zip(starts[is_open], ends[is_open], strict=True):
        members = order[first:last]
        left, right = np.triu_indices(len(members), k=1)
        apart = component[members[left]] != component[members[right]]
        lefts.append(members[left[apart]])
        rights.append(members[right[apart]])
    if not lefts:
        return []
    left, right = np.concatenate(lefts), np.concatenate(rights)
    blocks = range(0, len(left), _MAX_PAIRS)
    return [(left[at : at + _MAX_PAIRS], right[at : at + _MAX_PAIRS]) for at in blocks]


def _similar(
    signatures: NDArray[np.uint32],
    incidence: csr_array,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    threshold: float,
) -> NDArray[np.int64]:
    """Which pairs are at or above the threshold: their positions."""
    estimate = (signatures[left] == signatures[right]).mean(axis=1)
    likely = np.flatnonzero(estimate >= threshold - _PRESCREEN_SLACK)
    one, other = incidence[left[likely]], incidence[right[likely]]
    shared = one.multiply(other).sum(axis=1)
    union = one.sum(axis=1) + other.sum(axis=1) - shared
    found: NDArray[np.int64] = likely[shared >= threshold * union]
    return found


def _joined(
    component: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Components after the pairs were joined, each named by its first text."""
    if len(left) == 0:
        return component
    num_texts = len(component)
    edges = coo_array(
        (np.ones(len(left)), (component[left], component[right])), shape=(num_texts, num_texts)
    )
    merged = connected_components(edges, directed=False)[1][component]
    first = np.unique(merged, return_index=True)[1]
    return first[np.unique(merged, return_inverse=True)[1].reshape(-1)]


def _label_counts(cluster: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Examples of every class in every cluster; those without any label count as a class."""
    rows = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    if labels.ndim == 2:
        classes = with_none(labels)
    else:
        classes = np.eye(labels.max() + 1, dtype=np.int64)[labels]
    counts = np.zeros((rows.max() + 1, classes.shape[1]), dtype=np.int64)
    np.add.at(counts, rows, classes)
    return counts
