"""Progress on stderr: what is told of a study as it goes on, on a terminal and in a pipe."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cli.studies import METRIC, NAME, SPACE, START_S, make_store
from lexmove.app.forecast import epochs_left, seconds_left
from lexmove.app.progress import REPETITIONS, PlainProgress
from lexmove.cli.progress import LiveProgress
from lexmove.coordinator.store import open_store
from lexmove.results.story import latest_trials, segment_line
from lexmove.space.move import Move
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Decision, Ended, Measured, Measurement, Started, TrialStatus


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Study]:
    """A study, and its repetitions."""
    store = open_store(make_store(tmp_path_factory.mktemp("store")))
    return store.load(NAME), store.load(f"{NAME}.repetitions.4")


def growing(study: Study, first: int = 1) -> Iterator[Study]:
    """The study after each of its events."""
    return (study.prefix(number) for number in range(first, study.num_events + 1))


def told(study: Study, repetitions: Study, *, since_s: float = START_S) -> list[str]:
    """What a pipe gets; the clock stands still at `since_s`."""
    console = Console(file=io.StringIO(), width=80)
    with PlainProgress(console, clock=lambda: since_s) as progress:
        progress("checking the job", None)
        for state in growing(study):
            progress("trials", state)
        for state in growing(repetitions):
            progress(REPETITIONS, state)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_pipe_gets_a_line_per_phase_and_segment(studies: tuple[Study, Study]) -> None:
    lines = told(*studies)
    assert lines[:3] == [
        "[0:00] checking the job",
        "[0:00] running the trials",
        "[0:00] trial 0 paused at epoch 1: f1_macro 0.4000 · the default config (the default) · "
        "best 0.4000 (trial 0) · 5 of 6 trials left to start",
    ]
    assert lines[3].startswith(
        "[0:00] trial 1 paused at epoch 1: f1_macro 0.5000 · +0.1000 over trial 0 · "
        "learning_rate 1.0e-04 → 2.0e-04 (×2) (ei p .82) · best 0.5000 (trial 1) · "
        "4 of 6 trials left to start · about "
    )
    assert "trial 2 paused at epoch 2: f1_macro 0.6000" in lines[5]
    assert "continue trial 2 from 1 to 2 (asha)" in lines[5]
    assert "trial 3 failed: f1_macro is nan at fidelity 1" in lines[6]
    assert lines[7] == "[0:00] repeating the finalists with fresh seeds"
    assert "default config, repetition 1 of 3: f1_macro 0.4110 on validation" in lines[9]
    assert len(lines) == 14


def test_a_gain_is_told_of_the_score_that_is_shown() -> None:
    spec = StudySpec(
        name="s", space=SPACE, metric=METRIC, num_trials=3, fidelity=FidelityPlan(maximum=2)
    )
    study = Study(spec=spec)
    lines = []
    for trial_id, curve in enumerate(((0.9,), (0.9087, 0.896), (0.91,))):
        place = {"trial_id": trial_id, "at_s": START_S}
        move = Move(origin=trial_id - 1, changes={"learning_rate": 1e-3}) if trial_id else None
        study = study.with_event(
            Started(
                seq=study.num_events,
                **place,
                config={"learning_rate": 1e-3},
                until=len(curve),
                seed=0,
                decision=Decision(proposer="policy", move=move),
            )
        )
        for number, value in enumerate(curve):
            measurement = Measurement(fidelity=number + 1, metrics={METRIC: value})
            measured = Measured(seq=study.num_events, **place, measurement=measurement)
            study = study.with_event(measured)
        ended = Ended(seq=study.num_events, **place, status=TrialStatus.COMPLETED)
        study = study.with_event(ended)
        lines.append(segment_line(study, ended))
    assert lines == [
        "trial 0 completed at epoch 1: f1_macro 0.9000",
        "trial 1 completed at epoch 2: f1_macro 0.8960 (its best 0.9087) · +0.0087 over trial 0 "
        "after 1 epoch",
        # Trial 1 had its best then, and was worse after two.
        "trial 2 completed at epoch 1: f1_macro 0.9100 · +0.0013 over trial 1 after 1 epoch",
    ]


def test_what_happened_before_a_resume_is_not_told_again(studies: tuple[Study, Study]) -> None:
    study, repetitions = studies
    since_s = study.events[-1].at_s
    assert [line for line in told(study, repetitions, since_s=since_s) if "trial 0" in line] == []


def test_a_terminal_gets_one_line_per_trial(studies: tuple[Study, Study]) -> None:
    study, repetitions = studies
    console = Console(file=io.StringIO(), width=100, height=24)
    live = LiveProgress(console, clock=lambda: START_S + 60)
    live("trials", study)
    with console.capture() as captured:
        console.print(live.render())
    lines = captured.get().splitlines()
    assert lines[0].split() == [
        *("trial", "state", "f1_macro", "Δ", "parent", "move", "why", "epoch", "age")
    ]
    row = "2  paused  0.6000  +0.1000 learning_rate 2.0e-04 → 4.0e-04 (×2)  ei p .82  2  48 s"
    assert " ".join(row.split()) in " ".join(lines[3].split())
    assert max(map(len, lines)) <= 100
    assert "best 0.6000 (trial 2) · 2 of 6 trials left to start" in captured.get()
    live(REPETITIONS, repetitions)
    with console.capture() as captured:
        console.print(live.render())
    assert "6 of 6 repetitions done" in captured.get()


def test_a_narrow_terminal_cuts_the_move_and_no_number(studies: tuple[Study, Study]) -> None:
    study, _ = studies
    console = Console(file=io.StringIO(), width=80, height=24)
    live = LiveProgress(console, clock=lambda: START_S + 60)
    live("trials", study)
    with console.capture() as captured:
        console.print(live.render())
    row = captured.get().splitlines()[3]
    assert "0.6000   +0.1000  learning_r" in row
    assert row.split()[-6:] == ["ei", "p", ".82", "2", "48", "s"]


def test_the_incumbent_stays_in_view(studies: tuple[Study, Study]) -> None:
    study, _ = studies
    ids = [trial.trial_id for trial in latest_trials(study.prefix(12), num=1)]
    assert ids == [2]
    ids = [trial.trial_id for trial in latest_trials(study, num=2)]
    assert ids == [2, 3]
    ids = [trial.trial_id for trial in latest_trials(study.prefix(6), num=1)]
    assert ids == [1]


def test_time_left_follows_the_rate_since_the_first_training(
    studies: tuple[Study, Study],
) -> None:
    study, _ = studies
    # Of 6 trials one failed; the other 5 take 5 + 2·1 + 1·2 epochs, of which 4 are measured.
    assert epochs_left(study) == 5
    measured_s = [2, 8, 14, 20, 26]
    last_s = START_S + measured_s[-1]
    left_s = seconds_left(study, since_s=START_S - 100, now_s=last_s, epochs_after=1)
    assert left_s == pytest.approx((measured_s[-1] - 0) / len(measured_s) * 6)
    later_s = seconds_left(study, since_s=START_S - 100, now_s=last_s + 10, epochs_after=1)
    assert later_s == pytest.approx(left_s - 10)
    limited = Study.from_events(
        replace(study.spec, wall_clock_s=30.0), tuple(study.events_since(0))
    )
    # From the first event on, whenever one begins to look; of a later session since it began.
    assert seconds_left(limited, since_s=START_S - 100, now_s=last_s) == pytest.approx(4.0)
    assert seconds_left(limited, since_s=START_S + 10, now_s=last_s) == pytest.approx(4.0)
    assert seconds_left(limited, since_s=START_S + 10, now_s=last_s + 9) == pytest.approx(5.0)


def test_the_rate_counts_epochs_where_only_the_last_is_measured() -> None:
    spec = StudySpec(
        name="s", space=SPACE, metric=METRIC, num_trials=3, fidelity=FidelityPlan(maximum=4)
    )
    study = Study(spec=spec)
    decision = Decision(proposer="repetition")
    for trial_id in (0, 1):
        place = {"trial_id": trial_id, "at_s": START_S + 40.0 * (trial_id + 1)}
        started = {"config": {"learning_rate": 1e-3}, "until": 4, "seed": 0, "decision": decision}
        measurement = Measurement(fidelity=4, metrics={METRIC: 0.5}, duration_s=40.0)
        study = study.with_event(Started(seq=study.num_events, **place, **started))
        study = study.with_event(Measured(seq=study.num_events, **place, measurement=measurement))
        study = study.with_event(Ended(seq=study.num_events, **place, status=TrialStatus.COMPLETED))
    # Eight epochs in 80 seconds, four to go.
    left_s = seconds_left(study, since_s=START_S, now_s=START_S + 80)
    assert left_s == pytest.approx(40.0)


def test_no_time_is_told_before_there_is_a_rate(studies: tuple[Study, Study]) -> None:
    study, _ = studies
    assert seconds_left(study.prefix(3), since_s=START_S - 1, now_s=START_S) is None


def test_a_store_is_left_as_it_was(tmp_path: Path) -> None:
    url = make_store(tmp_path)
    before = (tmp_path / "studies.db").read_bytes()
    open_store(url).load(NAME)
    assert (tmp_path / "studies.db").read_bytes() == before
