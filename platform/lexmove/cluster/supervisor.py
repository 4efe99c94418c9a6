"""The supervisor: sees a study to its end, whatever becomes of the process that drives it.

Ray runs a job once. So the job is this loop, which starts a driver and, where that dies of what
need not happen again (a signal, a crash, a cluster that was out of reach), another one that goes
on. The store is the truth: nothing is handed over between the two.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

FINAL = (0, 2, 3, 130)
"""Exit statuses that a second try would only repeat: done, wrong request, no success, asked to."""

INTERRUPTED = 130
"""The exit status where this process was asked to leave."""

_POLL_S = 0.2

_PR_SET_PDEATHSIG = 1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long it goes on trying.

    After `retries` deaths in a row without progress it gives up. It waits `delay_s` before the
    first retry and twice as long before each further one, `longest_s` at most.
    """

    retries: int = 5
    delay_s: float = 2.0
    longest_s: float = 300.0

    def before(self, retry: int) -> float:
        """Seconds to wait before that retry, counted from 1."""
        return min(self.longest_s, self.delay_s * 2.0 ** (retry - 1))


def supervise(
    command: Callable[[], Sequence[str]],
    progress: Callable[[], int],
    *,
    say: Callable[[str], None],
    patience: Patience = Patience(),
) -> int:
    """Runs drivers until the study's outcome is final; returns its exit status.

    SIGTERM and SIGINT are passed on to the driver as one SIGINT, and its end is waited for.

    Args:
        command: the next driver's words, asked for before each.
        progress: a number that grows with the study.
        say: told of each death.
        patience: how long to go on.
    """
    with _Leaving() as leaving:
        retry, reached = 0, progress()
        while True:
            status = leaving.run(command())
            if leaving.is_asked:
                return INTERRUPTED if status != 0 else 0
            if status in FINAL:
                return status
            now = progress()
            retry, reached = (1, now) if now > reached else (retry + 1, reached)
            if retry > patience.retries:
                say(f"{_death(status)}; {patience.retries} retries brought no progress: giving up")
                return status if 0 < status < signal.NSIG else 1
            delay_s = patience.before(retry)
            say(
                f"{_death(status)}; going on in {delay_s:g} s "
                f"(retry {retry} of {patience.retries} without progress)"
            )
            if leaving.wait(delay_s):
                return INTERRUPTED


def _death(status: int) -> str:
    if status >= 0:
        return f"the driver ended with exit status {status}"
    try:
        return f"the driver was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"the driver was ended by signal {-status}"


class _Leaving:
    """Whether this process was asked to leave, and the driver that hears of it."""

    def __init__(self) -> None:
        # No threading.Event: a handler that sets one while its own thread begins to wait for it
        # would wait for a lock that it holds itself.
        self._is_asked = False
        self._driver: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_Leaving":
        self._before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
        for number in _STOP_SIGNALS:
            signal.signal(number, self._ask)
        # Ray starts a job's processes with SIGINT blocked.
        self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def is_asked(self) -> bool:
        return self._is_asked

    def wait(self, seconds: float) -> bool:
        """Waits, shorter if it is asked to leave; whether it was."""
        until_s = time.monotonic() + seconds
        while not self._is_asked and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(_POLL_S, left_s))
        return self._is_asked

    def run(self, words: Sequence[str]) -> int:
        """The exit status of a driver; negative where a signal ended it."""
        with _term_blocked():
            # It inherits the mask: when a job is stopped Ray tells each of its processes, and a
            # driver that was told twice would drop what it is doing.
            self._driver = subprocess.Popen(  # noqa: S603 - our own words
                words,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - this process has one thread
            )
        if self._is_asked:
            self._pass_on()
        try:
            return self._driver.wait()
        finally:
            self._driver = None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        is_first = not self._is_asked
        self._is_asked = True
        if is_first:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._driver is not None and self._driver.poll() is None:
            self._driver.send_signal(signal.SIGINT)


@contextmanager
def _term_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent() -> Callable[[], None] | None:
    """What a child runs first so that it does not outlive this process; Linux has it alone."""
    if not sys.platform.startswith("linux"):
        return None
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            os._exit(1)

    return bind
