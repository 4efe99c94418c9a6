"""Tells other machines of a team's store that a study is being run, and by whom.

The lock in a study's folder is this machine's. Where a store is a server or a journal file on a
shared file system, who runs a study says so in the store every quarter of a minute, and leaves when
somebody else says so. The clocks of the machines may differ by a minute.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lexmove.coordinator.driver_process import (
    being_run,
    exists_here,
    is_of_this_machine,
    shown,
    this_process,
)
from lexmove.coordinator.store import MEMORY_URL, open_store
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import LexmoveError, OvertakenStudyError, UsageError
from lexmove.study.heartbeat import Heartbeat
from lexmove.study.protocols import TrialReader

PERIOD_S = 15.0
"""From one sign of life to the next."""

SILENCE_S = 90.0
"""After so long without one a study counts as left."""

_POLL_S = 1.0

_LEAVE_S = 5.0
"""How long the end of a study waits for its last word, should the store not answer."""


def runner_of(store: TrialReader, name: str) -> str | None:
    """The process that runs a study, as far as the store knows; this one does not count.

    Raises:
        StoreError: the store cannot be read.
        StudyNotFoundError: no study of that name.
    """
    found = store.heartbeat(name)
    return found.runner if found is not None and _may_live(found) else None


class Heart:
    """Gives the signs of life of one run of a study, in a thread of its own.

    Without a `url` it gives none: of a store that is this machine's alone.
    """

    def __init__(self, url: str | None, name: str) -> None:
        self._url, self._name = url, name
        self._me = this_process()
        self._is_over = threading.Event()
        self._other: str | None = None
        self._thread = threading.Thread(target=self._beat_on, name="lexmove-heart", daemon=True)
        if url is not None:
            self._thread.start()

    def check(self) -> None:
        """Sees that the study is still this process's.

        Raises:
            OvertakenStudyError: another process has taken it up.
        """
        if self._other is not None:
            raise OvertakenStudyError(
                f"process {shown(self._other)} has taken up study {self._name!r}, as "
                "if nobody ran it any more; this one leaves it"
            )

    def stop(self) -> None:
        """Leaves the study: nobody has to wait for it."""
        self._is_over.set()
        if self._url is not None:
            self._thread.join(_LEAVE_S)

    def _beat_on(self) -> None:
        assert self._url is not None, "there is something to beat in"
        # Its own: it must not wait for what the study does, nor for a server that went away.
        store = open_store(self._url, patience_s=0.0)
        is_first, is_over = True, False
        while not is_over and self._other is None:
            is_over = not is_first and self._is_over.wait(PERIOD_S)
            now = None if is_over else Heartbeat(runner=self._me, at_s=time.time())
            with suppress(LexmoveError):  # who runs the study is told of it by its own store
                found = None if is_first else store.heartbeat(self._name)
                if found is not None and found.runner != self._me:
                    self._other = found.runner
                else:
                    # Who slept over this finds another's in its place, and looks again.
                    store.beat(self._name, now, instead_of=found)
            is_first = False


@contextmanager
def beating(store: TrialReader, url: str, name: str, say: Callable[[str], None]) -> Iterator[Heart]:
    """For the body: says in a store that this process runs a study, once no other one does.

    Args:
        store: the one of the `url`.
        url: of the store.
        name: the study's.
        say: told what is waited for.

    Raises:
        UsageError: another process runs it.
        StoreError: the store cannot be read.
    """
    _check_left(store, name, say)
    heart = Heart(url if _is_shared(url) else None, name)
    try:
        yield heart
    finally:
        heart.stop()


def _check_left(store: TrialReader, name: str, say: Callable[[str], None]) -> None:
    """Waits until it is sure that no other process runs a study.

    Who left it in good order is gone at once; who was killed on another machine is waited for.
    """
    found = store.heartbeat(name)
    if found is None or not _may_live(found):
        return
    ago_s = max(0.0, time.time() - found.at_s)
    say(f"process {shown(found.runner)} ran this study {ago_s:.0f} s ago; seeing whether it does")
    until_s = time.monotonic() + _left_s(found)
    while time.monotonic() < until_s and _may_live(found):
        time.sleep(_POLL_S)
        now = store.heartbeat(name)
        if now is None:
            return
        if now != found:
            raise UsageError(being_run(name, now.runner))


def _is_shared(url: str) -> bool:
    """Whether other machines may use a store: a SQLite file is for one."""
    if url == MEMORY_URL:
        return False
    location = locate_store(url)
    return location.path is None or location.is_journal


def _may_live(heartbeat: Heartbeat) -> bool:
    """Whether another process gave it that may still be there."""
    runner = heartbeat.runner
    is_here = is_of_this_machine(runner)
    is_there = (exists_here(runner) and runner != this_process()) if is_here else True
    return is_there and _left_s(heartbeat) > 0


def _left_s(heartbeat: Heartbeat) -> float:
    """How long it may still be before a living process gives the next sign; below 0 it is gone."""
    return SILENCE_S - abs(time.time() - heartbeat.at_s)
