"""Workers that misbehave: slow, silent, hanging, telling NaN, twice, late or in disorder."""

import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.chaos.invariants import violations
from benchmarks.chaos.setting import file_setting
from benchmarks.chaos.supervised import Supervised
from lexmove.study.study import Study
from lexmove.study.trial import Ended, Started, TrialStatus

STRAGGLER, HANGING, NOT_A_NUMBER = 4, 7, 9
"""Trials by what is wrong with them."""

_SLOWER = 20.0
_LIMIT_S = 10.0
_LEASE_S = 3.0


def misbehaved(
    folder: Path, *, num_stops: int = 2, **changes: object
) -> tuple[Mapping[str, int], list[str]]:
    """A study of them; how often each was handled as designed, and what does not hold of it."""
    setting = file_setting(
        folder,
        slow={STRAGGLER: _SLOWER},
        faults={HANGING: "hang", NOT_A_NUMBER: "nan"},
        misreports=True,
        segment_limit_s=_LIMIT_S,
        lease_s=_LEASE_S,
        **changes,
    )
    supervised = Supervised(setting=setting)
    stopped: list[psutil.Process] = []

    def stop(at: Supervised, study: Study) -> None:
        """A worker falls silent, when the trials that misbehave by themselves are through."""
        if len(stopped) < num_stops and len(study.trials) > 12 + 4 * len(stopped):
            known = {process.pid for process in stopped}
            with suppress(psutil.NoSuchProcess):
                lanes = [lane for lane in at.processes("lane") if lane.pid not in known]
                if lanes:
                    lanes[0].send_signal(signal.SIGSTOP)
                    stopped.append(lanes[0])

    study = supervised.run(stop)
    failed = {HANGING, NOT_A_NUMBER}
    return _counts(study, len(stopped)), violations(setting, study, failed=failed)


def _counts(study: Study, num_stopped: int) -> Counter[str]:
    reasons = Counter(
        "silent"
        for event in study.events
        if isinstance(event, Ended) and "was silent for more than" in (event.reason or "")
    )
    slow = study.trials[STRAGGLER]
    first_end = next(event for event in slow.events if isinstance(event, Ended))
    others = sum(
        isinstance(event, Started) and slow.started.seq < event.seq < first_end.seq
        for event in study.events
    )
    return Counter(
        {
            "stopped": num_stopped,
            "silent": reasons["silent"],
            "started beside the straggler": others,
            "straggler finished": int(slow.status is not TrialStatus.FAILED),
            "ended by the time limit": int("time limit" in (study.trials[HANGING].reason or "")),
            "NaN told as such": int("is nan" in (study.trials[NOT_A_NUMBER].reason or "")),
        }
    )
