"""Runs stages: the lanes' letters to the dispatch, its answers to them, until all is done."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from lexmove.coordinator.dispatch import Dispatch
from lexmove.coordinator.stage import Stage, Work
from lexmove.coordinator.tune import LEASE_S, Lanes, Slots, quiet_tune


def run_stages(
    stages: Iterator[Stage],
    works: Mapping[str, Work],
    *,
    name: str,
    slots: Slots,
    tune_dir: Path,
    lease_s: float = LEASE_S,
) -> None:
    """Runs stage after stage in the same workers; Ray must be initialised.

    Who asks Ray for the actor `desk_name(name)` learns where the study stands (`Desk.status`).

    Args:
        stages: asked for the first one while the workers start, and for the next one when all that
            the last one wanted is done and recorded. The coordinator of each must have recovered a
            study that was begun elsewhere.
        works: what the workers need, by name of the stage; pickled once.
        name: of the job; a cluster runs one of a name at a time.
        slots: how much runs at once.
        tune_dir: where Tune keeps what it writes.
        lease_s: after so many seconds of silence a worker counts as lost.

    Raises:
        LexmoveError: whatever a coordinator, its proposer or its store raised, or `stages` did.
        StudyFailedError: what a trial keeps cannot be written.
        UsageError: the cluster runs a job of that name.
        ClusterError: worker after worker dies before it takes a segment.
        KeyboardInterrupt: SIGINT or SIGTERM, between two events; what ran has lost its worker.
    """
    with (
        _interruptible() as is_interrupted,
        quiet_tune(),
        closing(Lanes(works, name=name, slots=slots, tune_dir=tune_dir, lease_s=lease_s)) as lanes,
    ):
        dispatch = Dispatch(stages, works)
        while not dispatch.is_finished():
            if is_interrupted():
                raise KeyboardInterrupt
            lanes.hand_out(*dispatch.receive(lanes.letters()))
            for lane, reason in lanes.lost():
                dispatch.lost(lane, reason)
            for answer in dispatch.answers():
                lanes.hand_out(answer)
            lanes.post(lambda: dispatch.status)
        lanes.dismiss(dispatch)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed since, or SIGTERM came; a second one interrupts at once.

    In the middle of an event it would leave what is recorded and what is known apart.
    """
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(*_: Any) -> None:
        asked.set()
        restore()

    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        for number in before:
            signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        if is_main:
            restore()
