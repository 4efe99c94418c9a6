"""Plays what is missing, one study after the other, and stops cleanly when told to."""

import math
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

import numpy as np

from benchmarks.search.arm import straight
from benchmarks.search.comparison import Comparison
from benchmarks.search.play import Trace, play
from benchmarks.search.results import Journal, Key, Record
from benchmarks.search.schedule import Clock, Planned
from lexmove.agent.ledger import WITHIN

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What was played, and what failed: an arm, a setting and a task in words, and the error."""

    keys: frozenset[Key]
    failed: Mapping[str, str]


class Stopped(BaseException):
    """A signal arrived. No `Exception`: an arm that catches all of those must not catch it."""


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Raises `Stopped` on SIGINT and SIGTERM; the former handlers come back afterwards."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def play_all(
    comparison: Comparison,
    studies: Sequence[Planned],
    journal: Journal,
    clock: Clock,
    *,
    limit_s: float = math.inf,
    say: Callable[[str], None],
) -> Played:
    """Plays studies until all are played or the time is up; one line for each.

    Where an arm fails on a task, its later seeds are left out.
    """
    failed: dict[str, str] = {}
    keys: set[Key] = set()
    since, spent_s = time.monotonic(), 0.0
    for index, planned in enumerate(studies):
        elapsed_s = time.monotonic() - since
        if elapsed_s > limit_s:
            say(f"time is up: {len(studies) - index} studies are still missing")
            break
        what = f"{planned.arm.name} · {planned.setting.name} · {planned.task}"
        if what in failed:
            continue
        try:
            record = play_one(comparison, planned)
        except Exception as error:  # noqa: BLE001 - a peer may raise anything; the others go on
            failed[what] = f"{type(error).__name__}: {error}".splitlines()[0]
            say(f"{what}: {failed[what]}")
            continue
        journal.append(record)
        keys.add(record.key)
        clock.add(record)
        spent_s += record.cpu_s
        # The machine may be shared: so much longer than its processor time did a study take.
        pace = (time.monotonic() - since) / max(spent_s, 1e-9)
        left_s = pace * clock.expected_s(studies[index + 1 :])
        count = f"{index + 1:{len(str(len(studies)))}}/{len(studies)}"
        say(f"{count}  {what} · seed {planned.seed}  {_outcome(record)}  {_left(left_s)}")
    return Played(keys=frozenset(keys), failed=failed)


def play_one(comparison: Comparison, planned: Planned) -> Record:
    """One study, and what is kept of it."""
    task, setting, arm = comparison.task(planned.task), planned.setting, planned.arm
    starts = comparison.starts(setting, planned.task)
    plan = arm.plan(task) if setting.axis == "epochs" else straight(task)
    with warnings.catch_warnings():
        # Peers warn of their own affairs, thousands of times.
        warnings.simplefilter("ignore")
        # Not timed: what a peer imports, and what is searched for once to be copied.
        proposer = arm.make(task, setting.spend(), seed=planned.seed, starts=starts)
        since = time.process_time()
        budget = replace(setting.spend(), knows_time=arm.knows_time)
        trace = play(task, proposer, budget, plan=plan, seed=planned.seed)
        cpu_s = time.process_time() - since
    regrets = {at: round(regret, 4) for at, regret in setting.reached(trace, task).items()}
    median_s, p99_s = np.quantile(trace.decision_s, [0.5, 0.99])
    return Record(
        arm=arm.name,
        arm_version=arm.version,
        setting=setting.name,
        task=planned.task,
        task_version=comparison.task_version(planned.task),
        seed=planned.seed,
        regrets=regrets,
        cpu_s=_rounded(cpu_s),
        decision_ms=_rounded(1000 * median_s),
        decision_p99_ms=_rounded(1000 * p99_s),
        num_crashed=trace.num_crashed,
        surprises=_surprises(trace),
    )


def _surprises(trace: Trace) -> tuple[int, int, int]:
    sizes = np.abs(trace.surprises)
    inner, outer = (int((sizes <= width).sum()) for width in WITHIN.values())
    return len(sizes), inner, outer


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")


def _outcome(record: Record) -> str:
    return f"regret {list(record.regrets.values())[-1]:.3f}, {record.cpu_s:.1f} s"


def _left(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute left"
    return f"{minutes // 60} h {minutes % 60} min left" if minutes >= 60 else f"{minutes} min left"


def to_stderr(line: str) -> None:
    """Says one line of progress."""
    print(line, file=sys.stderr, flush=True)
