"""Tokens: a split as flat ids, and batches of examples of similar length."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lexmove.trials.recipe import Encoding
from lexmove.trials.tasks.examples import Examples

Shape = Literal["flat", "choices", "segments", "matched_pairs", "matched_choices"]
"""What an example is: one sequence, several of which one is right, a document's parts; or a text
and then the second one, or its endings, each a sequence of its own, to be matched.
"""

_WINDOW_BATCHES = 50
"""Batches per window: texts are sorted by length within a shuffled window, never over all data."""

_PAD_MULTIPLE = 8
"""Padded lengths are multiples of this: matrix kernels like it."""

_CHUNK = 1_000
"""Texts tokenised in one go: lists of Python ints take ten times the memory of arrays."""

_BLANK_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """B examples, padded: `ids` and `mask` (B, L), or (B, K, L) with K choices or segments.

    `types` tells second texts (1) from first ones (0), as `ids`; None where the model knows no such
    thing. `labels` are (B,) or (B, C).
    """

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    types: NDArray[np.int64] | None
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """N tokenised examples, as S ≥ N sequences with their special tokens.

    Sequence s is `ids[offsets[s]:offsets[s + 1]]`, int32; example i is the sequences from
    `starts[i]` to `starts[i + 1]`. `seconds[s]` is how many tokens come before the second text of
    s, where a model is told. `labels` are (N,), or (N, C) where a text has several.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    pad_id: int
    shape: Shape = "flat"
    seconds: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_multi_label(self) -> bool:
        """Whether a text has any number of labels."""
        return self.labels.ndim == 2

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of the longest sequence of every example, (N,)."""
        longest: NDArray[np.int64] = np.maximum.reduceat(np.diff(self.offsets), self.starts[:-1])
        return longest

    @property
    def areas(self) -> NDArray[np.int64]:
        """Tokens of every example when its sequences are padded to the longest, (N,)."""
        return self.lengths * np.diff(self.starts)

    def batch(self, index: NDArray[np.int64]) -> Batch:
        """Some examples, padded to the longest sequence and the most sequences among them."""
        rows, sequences = _ranges(self.starts[index], self.starts[index + 1])
        at_sequence, tokens = _ranges(self.offsets[sequences], self.offsets[sequences + 1])
        places = sequences - self.starts[index][rows]
        columns = tokens - self.offsets[sequences][at_sequence]
        width = -(-(int(columns.max()) + 1) // _PAD_MULTIPLE) * _PAD_MULTIPLE
        shape = (len(index), int(places.max()) + 1, width)
        ids = np.full(shape, self.pad_id, dtype=np.int64)
        mask, types = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        filled = (rows[at_sequence], places[at_sequence], columns)
        ids[filled], mask[filled] = self.ids[tokens], 1
        if self.seconds is not None:
            types[filled] = columns >= self.seconds[sequences][at_sequence]
        at = (slice(None), 0) if self.shape == "flat" else (slice(None),)
        return Batch(
            ids=ids[at],
            mask=mask[at],
            types=None if self.seconds is None else types[at],
            labels=self.labels[index],
        )


def _ranges(
    starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All numbers from each start up to its end, and the position of the range each is from."""
    lengths = ends - starts
    owners = np.repeat(np.arange(len(starts)), lengths)
    before = np.cumsum(lengths) - lengths
    return owners, np.arange(lengths.sum()) + (starts - before)[owners]


def tokenized(
    examples: Examples,
    tokenizer: Any,
    *,
    max_length: int,
    max_segments: int | None = None,
    encoding: Encoding = "joint",
) -> Tokens:
    """The tokens of a split; every sequence is cut at `max_length` tokens.

    With `max_segments`, a text becomes up to that many sequences: as many paragraphs as fit in
    each, and more than one of a paragraph that is longer than a sequence. Unless the encoding is
    `joint`, a pair becomes two, and a question with C endings C + 1.
    """
    shape = shape_of(examples, max_segments=max_segments, encoding=encoding)
    rows: list[NDArray[np.int32]] = []
    seconds: list[int] = []
    num_of: list[int] = []
    for start in range(0, len(examples), _CHUNK):
        part = examples.take(np.arange(start, min(start + _CHUNK, len(examples))))
        encoded, nums = _encoded(part, tokenizer, shape, max_length, max_segments)
        rows += [np.array(row, dtype=np.int32) for row in encoded["input_ids"]]
        num_of += nums
        if "token_type_ids" in encoded:
            seconds += [len(row) - sum(row) for row in encoded["token_type_ids"]]
    is_joint = shape == "choices" or (shape == "flat" and examples.pairs is not None)
    return Tokens(
        ids=np.concatenate(rows),
        offsets=_ends([len(row) for row in rows]),
        starts=_ends(num_of),
        labels=examples.labels,
        pad_id=tokenizer.pad_token_id,
        shape=shape,
        seconds=np.array(seconds, dtype=np.int32) if is_joint and seconds else None,
    )


def shape_of(examples: Examples, *, max_segments: int | None, encoding: Encoding) -> Shape:
    """What examples of this kind become."""
    is_matched = encoding != "joint"
    if examples.is_multiple_choice:
        return "matched_choices" if is_matched else "choices"
    if examples.pairs is not None:
        return "matched_pairs" if is_matched else "flat"
    return "flat" if max_segments is None else "segments"


def _encoded(
    part: Examples, tokenizer: Any, shape: Shape, max_length: int, max_segments: int | None
) -> tuple[Any, list[int]]:
    """What the tokenizer says of some examples, and how many sequences each became."""
    cut = {"truncation": True, "max_length": max_length}
    match shape:
        case "choices":
            assert part.endings is not None
            pairs = [
                (text, end)
                for text, ends in zip(part.texts, part.endings, strict=True)
                for end in ends
            ]
            firsts, seconds = map(list, zip(*pairs, strict=True))
            return tokenizer(firsts, seconds, **cut), [len(ends) for ends in part.endings]
        case "segments":
            assert max_segments is not None
            return _encoded_segments(part, tokenizer, max_segments, cut)
        case "flat":
            more = () if part.pairs is None else (list(part.pairs),)
            return tokenizer(list(part.texts), *more, **cut), [1] * len(part)
    others = part.endings or [(pair,) for pair in part.pairs or ()]
    flat = [each for text, ends in zip(part.texts, others, strict=True) for each in (text, *ends)]
    return tokenizer(flat, **cut), [1 + len(ends) for ends in others]


def _encoded_segments(
    part: Examples, tokenizer: Any, max_segments: int, cut: Mapping[str, Any]
) -> tuple[Any, list[int]]:
    paragraphs = [paragraphs_of(text) for text in part.texts]
    whole = tokenizer([each for text in paragraphs for each in text], add_special_tokens=False)
    lengths = iter([len(row) for row in whole["input_ids"]])
    room = cut["max_length"] - tokenizer.num_special_tokens_to_add()
    packed = [_packed(text, [next(lengths) for _ in text], room) for text in paragraphs]
    packed = [segments[:max_segments] for segments in packed]
    flat = [segment for segments in packed for segment in segments]
    encoded = tokenizer(flat, return_overflowing_tokens=True, **cut)
    owners = np.repeat(np.arange(len(part)), [len(segments) for segments in packed])
    owner = owners[np.array(encoded["overflow_to_sample_mapping"])]
    # The first `max_segments` of every text: places within it count from 0.
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = np.flatnonzero(place < max_segments)
    rows = [encoded["input_ids"][i] for i in kept]
    return {"input_ids": rows}, np.bincount(owner[kept], minlength=len(part)).tolist()


def _packed(paragraphs: Sequence[str], lengths: Sequence[int], room: int) -> list[str]:
    """Consecutive paragraphs joined while they have room in one segment."""
    segments: list[str] = []
    left = 0
    for paragraph, length in zip(paragraphs, lengths, strict=True):
        if segments and length <= left:
            segments[-1] += f"\n\n{paragraph}"
            left -= length
        else:
            segments.append(paragraph)
            left = room - length
    return segments


def paragraphs_of(text: str) -> list[str]:
    """The parts of a text between blank lines; the whole of one that has none."""
    return [part for part in _BLANK_LINES.split(text) if part.strip()] or [text]


def token_counts(examples: Examples, tokenizer: Any) -> NDArray[np.int64]:
    """Tokens of every example when nothing is cut off, (N,); the longest choice of several."""
    counts = []
    for start in range(0, len(examples), _CHUNK):
        part = examples.take(np.arange(start, min(start + _CHUNK, len(examples))))
        shape = shape_of(part, max_segments=None, encoding="joint")
        encoded, nums = _encoded(part, tokenizer, shape, 10**9, None)
        lengths = np.array([len(row) for row in encoded["input_ids"]], dtype=np.int64)
        counts.append(np.maximum.reduceat(lengths, _ends(nums)[:-1]))
    return np.concatenate(counts)


def _ends(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Running sums from 0."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def training_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Positions of the examples of every batch of one epoch, in a random order; the last is short.

    Each example once. Sorting within shuffled windows saves the padding at little cost in
    randomness (the trick of `group_by_length`, gone from transformers 5).
    """
    order = rng.permutation(len(lengths))
    window = batch_size * _WINDOW_BATCHES
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def evaluation_batches(tokens: Tokens, max_area: int) -> Iterator[NDArray[np.int64]]:
    """Positions of the examples of every batch, largest first: memory fails early.

    A padded batch has at most `max_area` tokens, or one example.
    """
    order = np.argsort(-tokens.areas, kind="stable")
    depths, widths = np.diff(tokens.starts)[order], tokens.lengths[order]
    start = 0
    while start < len(order):
        size, depth, width = 0, 0, 0
        for depth_of, width_of in zip(depths[start:], widths[start:], strict=True):
            depth, width = max(depth, int(depth_of)), max(width, int(width_of))
            if size and (size + 1) * depth * width > max_area:
                break
            size += 1
        yield order[start : start + size]
        start += size
