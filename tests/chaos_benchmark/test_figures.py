"""The figures of the benchmark of faults, from studies and words that are made up."""

from collections.abc import Sequence

import pytest

from benchmarks.chaos.crowd import _busy, _most_running
from benchmarks.chaos.refusals import Refusal
from benchmarks.chaos.run import main
from benchmarks.chaos.servers import _next_s
from benchmarks.chaos.setting import NAME, SPACE
from benchmarks.chaos.stopped import Stopped
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Started,
    TrialStatus,
)


def study_of(*events: Event) -> Study:
    spec = StudySpec(name=NAME, space=SPACE, num_trials=9, parallel=2)
    return Study.from_events(spec, events)


def started(seq: int, at_s: float, trial_id: int) -> Started:
    return Started(
        seq=seq,
        at_s=at_s,
        trial_id=trial_id,
        config={},
        until=4,
        decision=Decision(proposer="random", expert="default"),
        seed=0,
    )


def test_lanes_that_are_lost_are_not_at_work_until_that_is_known():
    """The first trial works to 20 s and from 25 to 28 s, the second is lost at 10 s."""
    lost = "its worker died"
    study = study_of(
        started(0, 0.0, 0),
        started(1, 0.0, 1),
        Ended(seq=2, at_s=14.0, trial_id=1, status=TrialStatus.PREEMPTED, reason=lost),
        Ended(seq=3, at_s=20.0, trial_id=0, status=TrialStatus.PAUSED),
        Continued(seq=4, at_s=25.0, trial_id=0, until=4),
        Ended(seq=5, at_s=28.0, trial_id=0, status=TrialStatus.PAUSED),
        Ended(seq=6, at_s=29.0, trial_id=0, status=TrialStatus.STOPPED),
        started(7, 30.0, 2),
    )
    assert _busy(study, 10.0, 30.0, lanes=1) == (10 + 3) / 20
    assert _most_running(study, 0.0) == 2
    assert _most_running(study, 29.5) == 1


def test_the_time_from_the_end_of_an_outage_to_the_next_result():
    measured = Measured(
        seq=1, at_s=7.0, trial_id=0, measurement=Measurement(fidelity=1, metrics={"value": 0.1})
    )
    study = study_of(started(0, 0.0, 0), measured)
    assert _next_s(study, 5.0) == 2.0
    assert _next_s(study, 8.0) == float("inf")


@pytest.mark.parametrize(
    ("causes", "broken", "number"),
    [
        ([], [], 0),
        (["cannot write x: No space left; free some space"], [], 0),
        (["KeyError: 'x'"], [], 1),
        (["cannot write x"], ["an event is gone"], 1),
    ],
)
def test_a_stop_has_to_say_what_cannot_be_done(
    causes: Sequence[str], broken: Sequence[str], number: int
):
    stopped = Stopped(causes=list(causes), broken=list(broken))
    assert stopped.num_unexplained == number
    assert all(word in stopped.line for word in (*causes, *broken))


@pytest.mark.parametrize(
    ("status", "said", "is_helpful"),
    [(4, "a\nb\n", True), (1, "a\nb\n", False), (4, "a\n", False), (4, "a\nb\nc\n", False)],
)
def test_a_refusal_is_two_lines_and_the_clusters_status(status, said, is_helpful):
    refusal = Refusal(what="no token", status=status, said=said, took_s=1.0)
    assert refusal.is_helpful is is_helpful
    assert ("not as it should" in refusal.line) is not is_helpful


def test_a_part_that_fails_is_told_after_the_others(capsys):
    def fail(*_):
        raise RuntimeError("not over in time")

    status = main([], {"kills": fail, "crowd": lambda *_: {"crowd_busy": 0.9}})
    lines = capsys.readouterr().out.splitlines()
    assert status == 1
    assert lines[0] == "failed: kills: not over in time"
    assert sum(line.endswith("; ok") for line in lines) == 1
