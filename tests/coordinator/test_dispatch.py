"""Dispatch and its lanes without Ray: letters that come twice, late or from the dead."""

import asyncio
import socket
import threading

import pytest

from coordinator.studies import SPACE, make, stage_of
from lexmove.coordinator import study_dir as study_dir_module
from lexmove.coordinator.desk import Answer, Desk, Letter
from lexmove.coordinator.dispatch import Dispatch
from lexmove.coordinator.evaluation import SegmentOutcome
from lexmove.coordinator.lane import Lane
from lexmove.coordinator.stage import Work
from lexmove.coordinator.store import MemoryStore
from lexmove.errors import StudyFailedError
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import UNMEASURED
from lexmove.study.starts import asked_for
from lexmove.study.trial import Measurement, TrialStatus
from lexmove.trials.simulated import SimulatedObjective

WORKS = {"s": Work(objective=SimulatedObjective(space=SPACE, seed=1, max_fidelity=2))}


@pytest.fixture
def coordinator(tmp_path):
    return make(tmp_path, num_trials=3, fidelity=FidelityPlan(maximum=1))[0]


@pytest.fixture
def dispatch(coordinator, tmp_path):
    from lexmove.coordinator.study_dir import StudyDir

    return Dispatch(iter([stage_of(coordinator, StudyDir(tmp_path))]), WORKS)


def ended(lane, number, trial_id, value=0.5):
    """A segment that reached its end."""
    measurement = Measurement(fidelity=1, metrics={"value": value})
    return Letter(
        lane=lane,
        number=number,
        trial_id=trial_id,
        measurement=measurement,
        outcome=SegmentOutcome(),
    )


def orders(dispatch, *letters):
    """What is answered to letters, by lane."""
    answers = [*dispatch.receive(letters), *dispatch.answers()]
    return {item.lane: item.order and item.order.segment.trial_id for item in answers}


def test_a_lane_that_waits_tries_what_is_requested_meanwhile(tmp_path):
    """No event says so: the store does, a second later."""
    now_s, store, plan = [0.0], MemoryStore(), FidelityPlan(maximum=1)
    coordinator, study_dir = make(
        tmp_path, num_trials=1, fidelity=plan, store=store, clock=lambda: now_s[0]
    )
    dispatch = Dispatch(iter([stage_of(coordinator, study_dir)]), WORKS)
    assert orders(dispatch, Letter(lane="a", number=0), Letter(lane="b", number=0)) == {"a": 0}
    first, second = (SPACE.config({"lr": rate, "decay": 0.1}) for rate in (1e-5, 1e-4))
    store.request("s", asked_for(first, by="you"))
    assert orders(dispatch) == {}
    now_s[0] += 1.0
    assert orders(dispatch) == {"b": 1}
    assert coordinator.study.trials[1].config == first
    assert coordinator.study.spec.num_trials == 2
    # In the last moment, too, before the second is over.
    store.request("s", asked_for(second, by="you"))
    assert orders(dispatch, ended("a", 1, 0)) == {}
    assert orders(dispatch, ended("b", 1, 1)) == {"a": 2}
    assert coordinator.study.trials[2].config == second
    assert orders(dispatch, ended("a", 2, 2)) == {"a": None, "b": None}


def test_lanes_get_segment_after_segment_and_leave_when_all_is_done(dispatch, coordinator):
    assert orders(dispatch, Letter(lane="a", number=0), Letter(lane="b", number=0)) == {
        "a": 0,
        "b": 1,
    }
    assert orders(dispatch, ended("b", 1, 1)) == {"b": 2}
    assert orders(dispatch, ended("a", 1, 0)) == {}, "it waits: a trial may come back"
    assert orders(dispatch, ended("b", 2, 2)) == {"a": None, "b": None}
    assert dispatch.is_finished()
    assert len(coordinator.study.ranking) == 3


def test_a_letter_that_comes_twice_is_recorded_once_and_answered_twice(dispatch, coordinator):
    hello = Letter(lane="a", number=0)
    assert orders(dispatch, hello, hello) == {"a": 0}
    assert orders(dispatch, hello) == {"a": 0}, "its answer was lost"
    last = ended("a", 1, 0)
    assert orders(dispatch, last) == {"a": 1}
    events = coordinator.study.num_events
    assert orders(dispatch, last) == {"a": 1}
    assert coordinator.study.num_events == events


def test_who_was_lost_is_not_heard_any_more(dispatch, coordinator):
    assert orders(dispatch, Letter(lane="a", number=0)) == {"a": 0}
    dispatch.lost("a")
    assert coordinator.study.trials[0].status is TrialStatus.PREEMPTED
    assert orders(dispatch, Letter(lane="b", number=0)) == {"b": 0}, "another one has its trial"
    assert orders(dispatch, ended("a", 1, 0, value=9.0)) == {"a": None}
    assert coordinator.study.trials[0].status is TrialStatus.RUNNING
    assert orders(dispatch, ended("b", 1, 0)) == {"b": 1}
    assert coordinator.study.incumbent.value == 0.5


def test_a_lane_that_dies_while_it_waits_takes_nothing_with_it(dispatch, coordinator):
    orders(dispatch, *(Letter(lane=lane, number=0) for lane in "abcd"))
    dispatch.lost("d")
    assert not coordinator.study.with_status(TrialStatus.PREEMPTED)
    assert orders(dispatch, ended("a", 1, 0), ended("b", 1, 1)) == {}
    assert orders(dispatch, ended("c", 1, 2)) == {"a": None, "b": None, "c": None}


def test_what_was_kept_between_measurements_goes_when_the_study_ends(dispatch, tmp_path):
    left = tmp_path / "trials" / "trial_0001" / UNMEASURED
    left.mkdir(parents=True)
    orders(dispatch, *(Letter(lane=lane, number=0) for lane in "abc"))
    orders(dispatch, ended("a", 1, 0), ended("b", 1, 1))
    assert left.exists()
    orders(dispatch, ended("c", 1, 2))
    assert not left.exists()


def test_lanes_as_threads_at_one_desk_run_a_study_with_pauses(tmp_path):
    """The whole way but for Ray: every letter is handed in twice, as after a lost answer."""
    coordinator, study_dir = make(tmp_path, num_trials=8, fidelity=FidelityPlan(maximum=2, eta=2))
    dispatch = Dispatch(iter([stage_of(coordinator, study_dir)]), WORKS)

    async def main() -> None:
        desk, loop = Desk(), asyncio.get_running_loop()

        def hand_in(letter: Letter) -> Answer:
            asyncio.run_coroutine_threadsafe(desk.hand_in(letter), loop)
            return asyncio.run_coroutine_threadsafe(desk.hand_in(letter), loop).result(10)

        lanes = [threading.Thread(target=Lane(name, WORKS, hand_in).run) for name in "abc"]
        for lane in lanes:
            lane.start()
        while not dispatch.is_finished() or any(lane.is_alive() for lane in lanes):
            letters = await desk.collect(0.05)
            await desk.hand_out([*dispatch.receive(letters), *dispatch.answers()])

    asyncio.run(main())
    assert coordinator.is_idle
    assert len(coordinator.study.trials) == 8
    for trial in coordinator.study.trials:
        fidelities = [item.fidelity for item in trial.measurements]
        assert fidelities == list(range(1, trial.fidelity + 1)), "no epoch is trained twice"


@pytest.mark.parametrize("found", ["another disk's", None])
def test_a_node_that_lacks_the_studys_folder_stops_the_study(tmp_path, monkeypatch, found):
    """What is there under its path is another folder, or nothing; no config is to blame."""
    monkeypatch.setattr(study_dir_module, "_MARK_S", 0.2)
    coordinator, study_dir = make(tmp_path, num_trials=3, fidelity=FidelityPlan(maximum=1))
    dispatch = Dispatch(iter([stage_of(coordinator, study_dir)]), WORKS)
    (mark,) = study_dir.trials.glob(".*")

    def hand_in(letter: Letter) -> Answer:
        (answer,) = [*dispatch.receive([letter]), *dispatch.answers()]
        mark.unlink()
        if found is not None:
            mark.write_text(found)
        return answer

    with pytest.raises(StudyFailedError) as caught:
        Lane("a", WORKS, hand_in).run()
    said = f"study 's' had to stop: node {socket.gethostname()} does not share the study's folder"
    assert str(caught.value).startswith(f"{said} {study_dir.root} with the driver: mount")
    assert "once that is mended, `lexmove resume s` goes on" in str(caught.value)
    assert coordinator.study.counts == {TrialStatus.PREEMPTED: 1}
    assert not study_dir.trial(0).exists()


def test_nobody_waits_for_an_answer_that_comes_to_nothing():
    async def main() -> None:
        desk = Desk()
        await desk.hand_out([Answer(lane="gone", number=3)])
        assert await desk.collect(0.01) == []
        asked = asyncio.create_task(desk.hand_in(Letter(lane="a", number=1)))
        (letter,) = await desk.collect(1.0)
        await desk.hand_out([Answer(lane="a", number=0)])
        assert not asked.done(), "that was for an earlier letter"
        await desk.hand_out([Answer(lane="a", number=1)])
        assert (await asked).number == letter.number == 1

    asyncio.run(main())
