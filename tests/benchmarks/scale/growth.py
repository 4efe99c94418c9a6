"""What a study of many trials costs: results per second, memory, decisions, loading, reading.

A coordinator runs simulated trials of no length at all against a real SQLite store, eight at once.
Random moves make the history; deciding is measured apart.
"""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.decision_time import SPACE, _landscape
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.store import open_store
from lexmove.space.move import describe, move_between
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Decision, Measurement, RunnerUp, Segment, Suggestion

NAME = "growth"
NUM_SLOTS = 8

_NUM_EVENTS = 3
"""Of a trial: started, measured, ended; a group of trials at a time."""

_NUM_DECISIONS = 16
_ROOM = 1000
"""Trials that the budget holds beyond those that were run, so that there is something to decide."""


class Wanderer:
    """Random configs, each told as a move from the incumbent: as much to keep as of an agent."""

    name = "wanderer"

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """A random config; None when the budget is spent."""
        if not study.num_trials_left:
            return None
        config, best = SPACE.sample(rng), study.incumbent
        origin = None if best is None else best.trial_id
        before = SPACE.default if origin is None else study.trials[origin].config
        text = describe(SPACE, before, config)
        decision = Decision(
            proposer=self.name,
            text=text,
            move=move_between(SPACE, before, config, origin=origin),
            action=0,
            log_probability=-float(rng.random()),
            runners_up=tuple(
                RunnerUp(text=text.split(", ")[place], probability=float(rng.random()))
                for place in range(2)
            ),
            predicted_gain=float(rng.random()),
            predicted_gain_std=float(rng.random()),
            lane=lane,
        )
        return Suggestion(config=config, until=1, decision=decision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a growing study stood, and what a result took in the trials before.

    `together_s` where it came with those of the other slots, `alone_s` where it came alone, in
    seconds. `resident_bytes` is the memory of this process.
    """

    num_trials: int
    together_s: float
    alone_s: float
    resident_bytes: int


def grow(url: str, marks: Sequence[int]) -> tuple[Study, list[Mark]]:
    """Runs a study in a new store up to the last of `marks`, numbers of trials."""
    store = open_store(url)
    store.create(StudySpec(name=NAME, space=SPACE, num_trials=marks[-1], parallel=NUM_SLOTS))
    coordinator = Coordinator(store=store, name=NAME, proposer=Wanderer())
    value = _landscape(0)
    found: list[Mark] = []
    for mark in marks:
        together: list[float] = []
        alone: list[float] = []
        for segments in _rounds(coordinator, until=mark):
            times = alone if len(alone) < len(together) / 8 else together
            scored = [(segment, value(dict(segment.config))) for segment in segments]
            times += _tell(coordinator, scored, alone=times is alone)
        gc.collect()
        found.append(
            Mark(
                num_trials=mark,
                together_s=median(together),
                alone_s=median(alone),
                resident_bytes=resident_bytes(),
            )
        )
    return coordinator.study, found


def _rounds(coordinator: Coordinator, *, until: int) -> Iterator[list[Segment]]:
    """As many segments at once as there are slots."""
    while len(coordinator.study.trials) < until:
        num = min(NUM_SLOTS, until - len(coordinator.study.trials))
        segments = [coordinator.assign() for _ in range(num)]
        yield [segment for segment in segments if segment is not None]


def _tell(
    coordinator: Coordinator, scored: Sequence[tuple[Segment, float]], *, alone: bool
) -> list[float]:
    """Seconds that each result takes: all that came together, or each alone."""
    if alone:
        return [_timed_s(coordinator, [pair]) for pair in scored]
    return [_timed_s(coordinator, scored) / len(scored)] * len(scored)


def _timed_s(coordinator: Coordinator, scored: Sequence[tuple[Segment, float]]) -> float:
    since = time.perf_counter()
    with coordinator.together():
        for segment, value in scored:
            coordinator.measured(segment.trial_id, _measurement(segment, value))
            coordinator.segment_ended(segment.trial_id)
    return time.perf_counter() - since


def _measurement(segment: Segment, value: float) -> Measurement:
    return Measurement(
        fidelity=segment.until,
        metrics={"value": value, "loss": 1.0 - value},
        duration_s=1.0,
        checkpoint=f"studies/{NAME}/trials/trial_{segment.trial_id:04d}/epoch_{segment.until}",
    )


def resident_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_slope(marks: Sequence[Mark]) -> float:
    """Mebibytes that 1,000 more trials take, from the second mark to the last."""
    first, last = marks[1], marks[-1]
    grown = (last.resident_bytes - first.resident_bytes) / 2**20
    return 1000 * grown / (last.num_trials - first.num_trials)


def decision_s(study: Study, proposer: Proposer, *, num_trials: int) -> float:
    """Median seconds of processor time of a decision after so many trials of a study.

    The study goes on between the decisions, as in a job; the first one, which reads all, is left
    out.
    """
    store = open_store("memory://")
    store.create(replace(study.spec, num_trials=len(study.trials) + _ROOM))
    store.append(NAME, *study.prefix(_NUM_EVENTS * num_trials).events)
    coordinator = Coordinator(store=store, name=NAME, proposer=proposer)
    value = _landscape(0)
    times: list[float] = []
    for _ in range(_NUM_DECISIONS):
        since = time.process_time()
        segment = coordinator.assign()
        times.append(time.process_time() - since)
        assert segment is not None
        _tell(coordinator, [(segment, value(dict(segment.config)))], alone=True)
    return median(times[1:])


def load_s(url: str) -> float:
    """Seconds until a study has been read."""
    since = time.monotonic()
    open_store(url).load(NAME)
    return time.monotonic() - since


def command_s(url: str, *words: str) -> float:
    """Seconds that `lexmove WORDS` takes, the start of Python included; the best of three."""
    times = []
    for _ in range(3):
        since = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "lexmove", *words, "--store", url],
            check=True,
            capture_output=True,
        )
        times.append(time.monotonic() - since)
    return min(times)
