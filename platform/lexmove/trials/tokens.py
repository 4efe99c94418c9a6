"""Tokens: a split as flat ids, and batches of texts of similar length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WINDOW_BATCHES = 50
"""Batches per window: texts are sorted by length within a shuffled window, never over all data."""

_PAD_MULTIPLE = 8
"""Padded lengths are multiples of this: matrix kernels like it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """N tokenised texts: text i is `ids[offsets[i]:offsets[i + 1]]`, int32, special tokens in.

    `labels` are classes (N,), or indicators (N, C) where a text has several.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    pad_id: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_multi_label(self) -> bool:
        """Whether a text has any number of labels."""
        return self.labels.ndim == 2

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of every text, (N,)."""
        return np.diff(self.offsets)

    def batch(
        self, index: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Ids and attention mask, (B, L), padded, and labels, (B,) or (B, C), of some texts."""
        longest = int(self.lengths[index].max())
        width = -(-longest // _PAD_MULTIPLE) * _PAD_MULTIPLE
        ids = np.full((len(index), width), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(index), width), dtype=np.int64)
        for row, i in enumerate(index):
            tokens = self.ids[self.offsets[i] : self.offsets[i + 1]]
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return ids, mask, self.labels[index]


def pack(rows: Sequence[Sequence[int]], labels: NDArray[np.int64], *, pad_id: int) -> Tokens:
    """Lists of token ids as one flat array."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    flat = [token for row in rows for token in row]
    return Tokens(ids=np.array(flat, dtype=np.int32), offsets=offsets, labels=labels, pad_id=pad_id)


def training_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Positions of the texts of every batch of one epoch, in a random order; the last is short.

    Each text once. Sorting within shuffled windows saves the padding at little cost in
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


def evaluation_batches(lengths: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Positions of the texts of every batch, by length, longest first: memory fails early."""
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
