"""Objectives that report twice, or from a thread that outlives them: the lane's side of it."""

import threading
from pathlib import Path

from lexmove.coordinator.desk import Answer, Letter, Order
from lexmove.coordinator.lane import Lane
from lexmove.coordinator.stage import Work
from lexmove.study.trial import Measurement, Segment

SEGMENT = Segment(trial_id=0, config={}, seed=0, until=2)


def letters_of(objective, trial_dir: Path, on_outcome=lambda: None) -> list[Letter]:
    """What a lane says of one segment."""
    said: list[Letter] = []

    def hand_in(letter: Letter) -> Answer:
        said.append(letter)
        if letter.outcome is not None:
            on_outcome()
        is_first = letter.trial_id is None
        order = Order(stage="s", study="s", segment=SEGMENT, trial_dir=str(trial_dir))
        return Answer(lane="a", number=letter.number, order=order if is_first else None)

    Lane("a", {"s": Work(objective=objective)}, hand_in).run()
    return said


def measured(fidelity: int, value: float) -> Measurement:
    return Measurement(fidelity=fidelity, metrics={"value": value})


def test_of_an_end_reported_twice_the_first_counts(tmp_path: Path):
    def objective(segment, *, trial_dir, report):
        report(measured(1, 0.1))
        report(measured(2, 0.2))
        report(measured(2, 9.9))

    last = letters_of(objective, tmp_path)[-1]
    assert last.outcome is not None
    assert last.measurement == measured(2, 0.2)


def test_a_report_that_comes_when_the_segment_is_over_is_no_letter(tmp_path: Path):
    """The desk keeps one letter a lane: it would take the place of the one that waits."""
    is_over = threading.Event()
    late: list[threading.Thread] = []

    def objective(segment, *, trial_dir, report):
        def tell() -> None:
            is_over.wait(10)
            report(measured(1, 9.9))

        report(measured(1, 0.1))
        report(measured(2, 0.2))
        late.append(threading.Thread(target=tell))
        late[0].start()

    def on_outcome() -> None:
        is_over.set()
        late[0].join(10)

    said = letters_of(objective, tmp_path, on_outcome)
    assert not late[0].is_alive()
    assert [letter.number for letter in said] == [0, 1, 2]
    assert said[-1].outcome is not None


def test_reports_from_several_threads_come_one_after_the_other(tmp_path: Path):
    speaking = threading.Lock()
    overlaps: list[Letter] = []

    def objective(segment, *, trial_dir, report):
        threads = [threading.Thread(target=report, args=(measured(1, 0.1 * i),)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report(measured(2, 0.2))

    said: list[Letter] = []

    def hand_in(letter: Letter) -> Answer:
        if not speaking.acquire(blocking=False):
            overlaps.append(letter)
        else:
            threading.Event().wait(0.01)
            speaking.release()
        said.append(letter)
        order = Order(stage="s", study="s", segment=SEGMENT, trial_dir=str(tmp_path))
        return Answer(
            lane="a", number=letter.number, order=order if letter.trial_id is None else None
        )

    Lane("a", {"s": Work(objective=objective)}, hand_in).run()
    assert not overlaps
    assert [letter.number for letter in said] == list(range(10))
