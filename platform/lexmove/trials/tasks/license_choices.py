"""The built-in choice `license_mc`: which of five paragraphs comes next in a licence text.

Legal question answering in the shape of CaseHOLD (Zheng et al., arXiv 2104.08671), offline. The
context is a paragraph of a licence and the right ending its next one. The wrong endings are those
that follow similar paragraphs in other licences. Every ending is right once and wrong four times,
so that an ending without its context says nothing. No paragraph of a split, right or wrong, has a
near-duplicate in a split before it.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexmove.trials.tasks.cache import cached_splits
from lexmove.trials.tasks.examples import Examples, Splits
from lexmove.trials.tasks.license import VERSION, is_usable, read_items
from lexmove.trials.tasks.near_duplicates import (
    DUPLICATE,
    RELATED,
    clusters,
    distinct,
    shingle,
    split_clusters,
)

_RECIPE = 1
"""Part of the cache's name: raise it whenever the same package would give other splits."""

_NUM_ENDINGS = 5

_SIZES = (3000, 800, 800)
"""Examples of train, validation and test."""

_MIN_WORDS, _MAX_WORDS = 12, 90
"""Of a paragraph: shorter ones are headings, longer ones do not fit a small encoder in pairs."""

_NEVER = 1e3
"""The cost of an ending that may not stand beside a context; any other costs 0 to -1."""

_BLANK_LINES = re.compile(r"\n[ \t]*\n")

_NUMBERING = re.compile(
    r"(?!\(c\)\s*(?:copyright|\d))"
    r"(?:[-*+•·]\s+|\d+(?:\.\d+)+\s+|[(\[]?(?:[\d.]+|[a-z]|[ivx]+)(?:[)\]]+\s*|\.\s+))+",
    re.IGNORECASE,
)
"""Leading "3." or "(b)", but no "(c) 1998": 4 after 3 would give the right ending away."""

_TAG = re.compile(r"<\s*/?\s*[a-z]+[^>]*>|\\[a-z]+\{", re.IGNORECASE)
"""Markup of HTML or TeX."""

_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Paragraphs:
    """N paragraphs of distinct licence texts, in their order.

    By paragraph, (N,): the number of its text, of the cluster of related texts, and of the clusters
    of near-duplicate and of related paragraphs; its side of the split. `pairs` (M, 2) are positions
    of a paragraph and of the one right after it.
    """

    texts: tuple[str, ...]
    licence: NDArray[np.int64]
    family: NDArray[np.int64]
    duplicate: NDArray[np.int64]
    related: NDArray[np.int64]
    side: NDArray[np.int64]
    pairs: NDArray[np.int64]


def load_license_mc(cache_dir: Path | None = None) -> Splits:
    """Paragraphs of licence texts with five endings each, of which one is the next paragraph.

    Raises:
        TaskError: the package is not installed, or in another version.
    """
    return cached_splits(f"license_mc-{VERSION}-r{_RECIPE}", cache_dir, _build)


def _build() -> Splits:
    paragraphs = _paragraphs()
    train, validation, test = (
        _examples(paragraphs, _questions(paragraphs, side, rng)[:size], rng)
        for side, size in enumerate(_SIZES)
        for rng in [np.random.default_rng(side)]
    )
    labels = tuple(str(place) for place in range(_NUM_ENDINGS))
    return Splits(labels=labels, train=train, validation=validation, test=test)


def _paragraphs() -> _Paragraphs:
    """Reads all texts, drops near-duplicate ones and puts related ones on one side."""
    items = (item for item in read_items(2 * _MIN_WORDS) if is_usable(item, 2 * _MIN_WORDS))
    read = [(item.text, _runs(item.text)) for item in items]
    texts, runs = zip(*((text, found) for text, found in read if found), strict=True)
    shingles = shingle(texts)
    kept = distinct(clusters(shingles, DUPLICATE))
    family = clusters(shingles.take(kept), RELATED)
    side = split_clusters(family, np.zeros(len(kept), dtype=np.int64))
    flat = [(text, place) for place, i in enumerate(kept) for run in runs[i] for text in run]
    lengths = np.array([len(run) for i in kept for run in runs[i]])
    ends = np.cumsum(lengths)
    before = np.setdiff1d(np.arange(ends[-1] - 1), ends - 1)
    licence = np.array([place for _, place in flat])
    shingles = shingle([text for text, _ in flat])
    return _Paragraphs(
        texts=tuple(text for text, _ in flat),
        licence=licence,
        family=family[licence],
        duplicate=clusters(shingles, DUPLICATE),
        related=clusters(shingles, RELATED),
        side=side[licence],
        pairs=np.column_stack([before, before + 1]),
    )


def _runs(text: str) -> list[list[str]]:
    """Paragraphs that follow each other directly, in runs of two or more."""
    runs: list[list[str]] = [[]]
    for part in _BLANK_LINES.split(text):
        paragraph = _unnumbered(" ".join(part.split()))
        if _is_prose(paragraph):
            runs[-1].append(paragraph)
        else:
            runs.append([])
    return [run for run in runs if len(run) > 1]


def _unnumbered(paragraph: str) -> str:
    found = _NUMBERING.match(paragraph)
    return paragraph[found.end() :] if found else paragraph


def _is_prose(paragraph: str) -> bool:
    return (
        len(paragraph.split()) <= _MAX_WORDS
        and len(_WORD.findall(paragraph)) >= _MIN_WORDS
        and _TAG.search(paragraph) is None
    )


def _questions(paragraphs: _Paragraphs, side: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pairs of one side that may be asked, (M, 2), those first that most texts have a share in."""
    mine = (paragraphs.side == side) & _unseen(paragraphs)
    pairs = rng.permutation(paragraphs.pairs[mine[paragraphs.pairs].all(axis=1)])
    related = paragraphs.related[pairs]
    pairs = pairs[related[:, 0] != related[:, 1]]
    for column in (0, 1):
        pairs = pairs[distinct(paragraphs.duplicate[pairs[:, column]])]
    seen: Counter[int] = Counter()
    rank = []
    for licence in paragraphs.licence[pairs[:, 0]].tolist():
        rank.append(seen[licence])
        seen[licence] += 1
    spread: NDArray[np.int64] = pairs[np.argsort(rank, kind="stable")]
    return spread


def _unseen(paragraphs: _Paragraphs) -> NDArray[np.bool_]:
    """Which paragraphs have no near-duplicate in a split before theirs, (N,)."""
    first = np.full(len(paragraphs.texts), len(_SIZES))
    np.minimum.at(first, paragraphs.duplicate, paragraphs.side)
    unseen: NDArray[np.bool_] = first[paragraphs.duplicate] == paragraphs.side
    return unseen


def _examples(
    paragraphs: _Paragraphs, questions: NDArray[np.int64], rng: np.random.Generator
) -> Examples:
    """The questions with their endings, the right one at a random place, all places alike often."""
    places = rng.permutation(np.arange(len(questions)) % _NUM_ENDINGS)
    endings = []
    for right, wrong, place in zip(
        questions[:, 1], _wrong_endings(paragraphs, questions), places, strict=True
    ):
        order = np.insert(questions[wrong, 1], place, right)
        endings.append(tuple(paragraphs.texts[i] for i in order))
    texts = tuple(paragraphs.texts[i] for i in questions[:, 0])
    return Examples(texts=texts, labels=places, endings=tuple(endings))


def _wrong_endings(paragraphs: _Paragraphs, questions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Four questions each whose endings are wrong here, (M, 4).

    Four times, the endings are dealt out anew so that each is used once and the contexts that share
    them are as similar as they can be, all in all (the linear assignment problem).
    """
    from scipy.optimize import linear_sum_assignment

    similar = _similarity([paragraphs.texts[i] for i in questions[:, 0]])
    banned = _banned(paragraphs, questions)
    related = paragraphs.related[questions[:, 1]]
    dealt = []
    for _ in range(_NUM_ENDINGS - 1):
        rows, taken = linear_sum_assignment(np.where(banned, _NEVER, -similar))
        assert not banned[rows, taken].any(), "too few questions to deal their endings out"
        banned |= related == related[taken][:, None]
        dealt.append(taken)
    return np.column_stack(dealt)


def _similarity(texts: list[str]) -> NDArray[np.float64]:
    """Cosine of their TF-IDF vectors, (M, M), rounded: the same on every machine."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(
        sublinear_tf=True, stop_words="english", token_pattern=_WORD.pattern
    ).fit_transform(texts)
    similar: NDArray[np.float64] = np.round((vectors @ vectors.T).toarray(), 6)
    return similar


def _banned(paragraphs: _Paragraphs, questions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether question j's ending must not stand beside context i, (M, M).

    It could be right, or be told apart without reading: it is from a related text, is related to
    the context or to the right ending, or follows such a context anywhere.
    """
    follows: defaultdict[int, set[int]] = defaultdict(set)
    for context, ending in paragraphs.related[paragraphs.pairs].tolist():
        follows[context].add(ending)
    related = paragraphs.related[questions]
    family = paragraphs.family[questions[:, 0]]
    banned: NDArray[np.bool_] = family == family[:, None]
    for row, (context, ending) in enumerate(related.tolist()):
        banned[row] |= np.isin(related[:, 1], [context, ending, *follows[context]])
    return banned
