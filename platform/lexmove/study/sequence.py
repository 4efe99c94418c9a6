"""A sequence that shares its parts with the one it grew from, so that no change copies it all."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TypeVar, overload

T = TypeVar("T")

_SIZE = 128
"""Items of one chunk: near the square root of the longest sequence that is expected."""


class Chunked(Sequence[T]):
    """Immutable. `appended` and `replaced` give another one in time that hardly grows."""

    __slots__ = ("_chunks", "_length")

    def __init__(self, items: Iterable[T] = ()) -> None:
        rest = iter(items)
        chunks = iter(lambda: tuple(islice(rest, _SIZE)), ())
        self._chunks: tuple[tuple[T, ...], ...] = tuple(chunks)
        self._length = sum(map(len, self._chunks))

    def appended(self, item: T) -> "Chunked[T]":
        """With one more item at the end."""
        if self._length % _SIZE == 0:
            return self._of((*self._chunks, (item,)), self._length + 1)
        return self._of((*self._chunks[:-1], (*self._chunks[-1], item)), self._length + 1)

    def replaced(self, index: int, item: T) -> "Chunked[T]":
        """With another item at `index`, which is not negative."""
        number, place = divmod(index, _SIZE)
        old = self._chunks[number]
        chunk = (*old[:place], item, *old[place + 1 :])
        return self._of((*self._chunks[:number], chunk, *self._chunks[number + 1 :]), self._length)

    @staticmethod
    def _of(chunks: tuple[tuple[T, ...], ...], length: int) -> "Chunked[T]":
        made: Chunked[T] = Chunked()
        made._chunks, made._length = chunks, length
        return made

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(self._length)))
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(index)
        number, place = divmod(index, _SIZE)
        return self._chunks[number][place]

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._chunks)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Chunked):
            return self._chunks == other._chunks
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._chunks)

    def __repr__(self) -> str:
        return repr(tuple(self))
