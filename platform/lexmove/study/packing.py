"""Packing: the events of a trial as a few hundred bytes, for the many trials nobody looks at."""

import pickle
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, overload

_NUM_REMEMBERED = 256
"""Trials whose events are kept as they are after a look at them."""


class Packed(Sequence[Any]):
    """Events, packed: read one by one like a tuple of them, to which it is equal.

    Two to four kilobytes of Python objects become some hundred bytes; looking at them takes some
    twenty microseconds. `facts` stays at hand. `dictionary` is what zlib expects to find in them:
    the like of them, written with `pickle`; it is shared.
    """

    __slots__ = ("_bytes", "dictionary", "facts")

    def __init__(self, items: tuple[Any, ...], *, dictionary: bytes, facts: Any) -> None:
        compressor = zlib.compressobj(zdict=dictionary)
        data = pickle.dumps(items, pickle.HIGHEST_PROTOCOL)
        self._bytes = compressor.compress(data) + compressor.flush()
        self.dictionary = dictionary
        self.facts = facts

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.unpacked[index]

    def __len__(self) -> int:
        return len(self.unpacked)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.unpacked)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Packed):
            if (self._bytes, self.dictionary) == (other._bytes, other.dictionary):
                return True
            other = other.unpacked
        return self.unpacked == other

    def __hash__(self) -> int:
        return hash(self.unpacked)

    @property
    def unpacked(self) -> tuple[Any, ...]:
        """The items as they were."""
        return _unpacked(self._bytes, self.dictionary)


@lru_cache(maxsize=_NUM_REMEMBERED)
def _unpacked(data: bytes, dictionary: bytes) -> tuple[Any, ...]:
    decompressor = zlib.decompressobj(zdict=dictionary)
    found: tuple[Any, ...] = pickle.loads(decompressor.decompress(data))  # noqa: S301 - made by `Packed`, never read from a file
    return found


def dictionary_of(items: tuple[Any, ...]) -> bytes:
    """A dictionary for whatever is like these items."""
    return pickle.dumps(items, pickle.HIGHEST_PROTOCOL)
