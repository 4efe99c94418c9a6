"""Where the time of a segment goes, phase by phase."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Phase = Literal["import", "load", "tokenise", "train", "evaluate", "checkpoint"]
"""`load` is reading data and pretrained weights, and building and restoring a model."""


class Stopwatch:
    """Wall-clock seconds by phase; a phase inside another one stops the clock of that."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._running: list[Phase] = []
        self._since_s = 0.0

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Counts the body as one phase."""
        self._turn()
        self._running.append(name)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def take(self) -> dict[str, float]:
        """What was counted since it was last taken."""
        self._turn()
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken

    def _turn(self) -> None:
        """Books the time since the last turn to the innermost phase."""
        now_s = time.monotonic()
        if self._running:
            self._seconds[self._running[-1]] += now_s - self._since_s
        self._since_s = now_s
