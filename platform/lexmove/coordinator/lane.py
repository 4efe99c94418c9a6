"""A lane: the worker process of one slot, which evaluates segment after segment."""

import faulthandler
import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from lexmove.coordinator.desk import Answer, Letter, Order
from lexmove.coordinator.evaluation import SegmentOutcome, evaluate
from lexmove.coordinator.stage import Work
from lexmove.coordinator.study_dir import StudyDir, check_shared
from lexmove.coordinator.trial_log import log_file, logged
from lexmove.errors import DamagedStorageError, StorageError
from lexmove.study.trial import Measurement, Segment, TrialStatus

HandIn = Callable[[Letter], Answer]
"""Takes a letter to the desk and waits for the answer."""


class Lane:
    """Works for the desk until there is nothing left to do.

    Args:
        name: of this lane; another worker in the same slot has another.
        works: what the stages need, by name.
        hand_in: the way to the desk.
        worker: the handle of this process.
        logs: a folder for links to the trials' logs, `lexmove_STUDY_trial_0003.log` and so on.
        name_process: called with what the process is to be called, as it takes up a trial.
    """

    def __init__(
        self,
        name: str,
        works: Mapping[str, Work],
        hand_in: HandIn,
        *,
        worker: object = None,
        logs: Path | None = None,
        name_process: Callable[[str], object] | None = None,
    ) -> None:
        self._name = name
        self._works = works
        self._hand_in = hand_in
        self._worker = worker
        self._logs = logs
        self._name_process = name_process
        self._num_letters = 0

    def run(self) -> None:
        """Returns when the desk has no order any more."""
        for work in self._works.values():
            if work.warm_up is not None:
                with time_limit(work.segment_limit_s), suppress(Exception):
                    work.warm_up()
        order = self._told()
        while order is not None:
            try:
                measurement, outcome = self._evaluated(order)
            except OSError as error:
                reason = f"{order.trial_dir} cannot be written: {error.strerror}"
                measurement, outcome = (
                    None,
                    SegmentOutcome(failure=TrialStatus.PREEMPTED, reason=reason),
                )
            except StorageError as error:
                outcome = SegmentOutcome(failure=TrialStatus.PREEMPTED, reason=error.reason)
                measurement = None
            order = self._told(order.segment.trial_id, measurement, outcome)

    def _evaluated(self, order: Order) -> tuple[Measurement | None, SegmentOutcome]:
        """How the segment ended, with its last measurement; those before were told at once.

        Raises:
            OSError: the trial's folder cannot be written.
            StorageError: what it goes on from cannot be read, or this node lacks the folder.
        """
        work, segment = self._works[order.stage], order.segment
        place = StudyDir.at(order.storage)
        trial_dir = place.here(order.trial_dir)
        check_shared(trial_dir, order.mark)
        trial_dir.mkdir(parents=True, exist_ok=True)
        if self._name_process is not None:
            self._name_process(f"lexmove {order.study} trial {segment.trial_id}")
        last: Measurement | None = None
        speaking = threading.Lock()
        is_over = False

        def report(measurement: Measurement) -> None:
            nonlocal last
            # An objective may report from a thread, even one that outlives it. The desk keeps one
            # letter a lane: a second one would leave the first without its answer.
            with speaking:
                if is_over:
                    return
                measurement = handed_over(measurement, place)
                if measurement.fidelity < segment.until:
                    self._told(segment.trial_id, measurement)
                elif last is None:  # of a fidelity that is told twice, the first counts
                    last = measurement

        segment = brought_here(segment, place)
        if segment.after:
            with suppress(StorageError):  # what it said on another node, to go on below it
                place.kept(log_file(trial_dir))
        hung = hang_file(trial_dir)
        hung.unlink(missing_ok=True)
        with (
            logged(trial_dir, title=_title(order), link=self._link(order)),
            time_limit(work.segment_limit_s, hung),
        ):
            outcome = evaluate(
                work.objective,
                segment,
                trial_dir=trial_dir,
                report=report,
                on_error=traceback.print_exception,
            )
        with speaking:
            is_over = True
        hung.unlink(missing_ok=True)
        with suppress(StorageError):  # for who reads it elsewhere; the result is worth more
            place.keep(log_file(trial_dir))
        if place.storage is not None and segment.resume_from is not None:
            shutil.rmtree(segment.resume_from, ignore_errors=True)  # a copy
        return last, outcome

    def _link(self, order: Order) -> Path | None:
        name = f"lexmove_{order.study}_{Path(order.trial_dir).name}.log"
        return None if self._logs is None else self._logs / name

    def _told(
        self,
        trial_id: int | None = None,
        measurement: Measurement | None = None,
        outcome: SegmentOutcome | None = None,
    ) -> Order | None:
        letter = Letter(
            lane=self._name,
            number=self._num_letters,
            worker=self._worker,
            trial_id=trial_id,
            measurement=measurement,
            outcome=outcome,
        )
        self._num_letters += 1
        return self._hand_in(letter).order


def handed_over(measurement: Measurement, place: StudyDir) -> Measurement:
    """The measurement with its checkpoint where any node finds it: before it is told of.

    Raises:
        StorageError: it cannot be written there.
    """
    if measurement.checkpoint is None:
        return measurement
    return replace(measurement, checkpoint=place.hand_over(Path(measurement.checkpoint)))


def brought_here(segment: Segment, place: StudyDir) -> Segment:
    """The segment with its checkpoint on this node's disk; from the start if that is broken.

    Raises:
        StorageError: it cannot be read where it is.
    """
    if segment.resume_from is None:
        return segment
    try:
        return replace(segment, resume_from=str(place.fetched(segment.resume_from)))
    except DamagedStorageError:
        return segment.from_start


def _title(order: Order) -> str:
    segment = order.segment
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{now} trial {segment.trial_id}, {segment.after} to {segment.until}: {segment.config}"


def hang_file(trial_dir: Path) -> Path:
    """Where a segment that ran into its time limit leaves its stack."""
    return trial_dir / ".time_limit.txt"


@contextmanager
def time_limit(limit_s: float | None, hang_file: Path = Path(os.devnull)) -> Iterator[None]:
    """Ends this process when the body outlasts the limit, leaving the stack in `hang_file`.

    faulthandler's timer runs in C: it ends a worker that holds the interpreter lock, too.
    """
    if limit_s is None:
        yield
        return
    with hang_file.open("w") as file:
        faulthandler.dump_traceback_later(limit_s, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
