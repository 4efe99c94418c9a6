"""The benchmark of faults: its lines, what its invariants find, and a short form of its harm."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.chaos.goals import GOALS
from benchmarks.chaos.invariants import violations
from benchmarks.chaos.kills import befallen
from benchmarks.chaos.letters import shuffled
from benchmarks.chaos.run import FULL, QUICK, Size, main
from benchmarks.chaos.setting import NAME, Setting, file_setting
from benchmarks.chaos.supervised import Strike, Supervised, resumed_s
from benchmarks.chaos.writes import _ran, chained, swept
from lexmove.coordinator.store import open_store
from lexmove.study.study import Study
from lexmove.study.trial import Ended, Event, Measured, Started, TrialStatus

GOOD = {name: 0.9 if goal.is_least else 0.0 for name, goal in GOALS.items()}


def run(figures: Mapping[str, float], *arguments: str) -> int:
    def measure(size: Size, folder: Path) -> Mapping[str, float]:
        assert size is (QUICK if "--quick" in arguments else FULL)
        assert folder.is_dir()
        return figures

    return main(arguments, {"kills": measure})


def verdicts(shown: str) -> list[str]:
    return [line.rsplit("; ", 1)[1] for line in shown.splitlines() if "; target " in line]


def test_a_line_for_each_target_and_all_met(capsys):
    assert run(GOOD, "--quick", "--check") == 0
    assert verdicts(capsys.readouterr().out) == ["ok"] * len(GOALS)


@pytest.mark.parametrize("name", GOALS)
def test_check_fails_where_one_is_short(capsys, name):
    short = {**GOOD, name: 0.1 if GOALS[name].is_least else 31.0}
    assert run(short, "--check") == 1
    assert verdicts(capsys.readouterr().out).count("short") == 1
    assert run(short) == 0


def test_what_was_not_measured_is_short(capsys):
    assert run({}, "--check") == 1
    assert verdicts(capsys.readouterr().out) == ["short"] * len(GOALS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Setting, Study]:
    """A study without a fault."""
    folder = tmp_path_factory.mktemp("finished")
    setting = file_setting(folder, epoch_s=0.0, num_trials=8, proposer="random")
    assert _ran(setting, None)
    return setting, open_store(setting.url).load(NAME)


def first(study: Study, kind: type) -> Event:
    return next(event for event in study.events if isinstance(event, kind))


def doubled(study: Study) -> list[Event]:
    return [*study.events, replace(first(study, Measured), seq=study.num_events)]


def mixed_up(study: Study) -> list[Event]:
    events = list(study.events)
    event = first(study, Measured)
    measurement = replace(event.measurement, metrics={"value": 0.123})
    events[event.seq] = replace(event, measurement=measurement)
    return events


def lost(study: Study) -> list[Event]:
    gone = first(study, Measured).seq
    return [event for event in study.events if event.seq != gone]


def failed(study: Study) -> list[Event]:
    events = list(study.events)
    event = [item for item in events if isinstance(item, Ended)][-1]
    events[event.seq] = replace(event, status=TrialStatus.FAILED, reason="its worker died")
    return events


def unfinished(study: Study) -> list[Event]:
    last = [event for event in study.events if isinstance(event, Ended)][-1]
    return [event for event in study.events if event.seq != last.seq]


def beyond_the_budget(study: Study) -> list[Event]:
    more = replace(first(study, Started), seq=study.num_events, trial_id=len(study.trials))
    return [*study.events, more]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (doubled, "has 2 results of epoch 1"),
        (mixed_up, "not "),
        (lost, "numbered without a gap"),
        (failed, "is FAILED: its worker died"),
        (unfinished, "is left "),
        (beyond_the_budget, "9 trials were started, not 8"),
    ],
)
def test_each_invariant_can_break(finished, harm, told):
    setting, study = finished
    assert violations(setting, study, keeps_all=True) == []
    harmed = Study.from_events(study.spec, harm(study))
    assert any(told in what for what in violations(setting, harmed, keeps_all=True))


def test_what_was_seen_in_the_store_stays_there(finished):
    setting, study = finished
    seen = (*study.events[:5], replace(study.events[5], at_s=0.0))
    found = violations(setting, study, before=seen, keeps_all=True)
    assert found == ["of 6 events that were in the store, some are gone or changed"]


def test_checkpoints_left_behind_are_told(finished):
    setting, study = finished
    assert any("checkpoints are left" in what for what in violations(setting, study))


def test_the_time_until_a_lost_trial_has_its_next_result(finished):
    _, study = finished
    begun = replace(first(study, Started), at_s=10.0)
    measured = replace(first(study, Measured), seq=3, at_s=19.0)
    ended = Ended(seq=1, at_s=12.0, trial_id=0, status=TrialStatus.PREEMPTED)
    resumed = replace(ended, seq=2, at_s=13.0, status=TrialStatus.PAUSED)
    past = Study.from_events(study.spec, [begun, ended, resumed, measured])
    assert resumed_s(past, Strike(victim="lane", at_s=11.0, num_events=1)) == 8.0
    assert resumed_s(past, Strike(victim="lane", at_s=20.0, num_events=4)) is None


def test_letters_astray_change_nothing(tmp_path):
    counts: Counter[str] = Counter()
    for seed in range(6):
        found, broken = shuffled(tmp_path / str(seed), seed=seed, proposer="random", num_trials=20)
        assert broken == []
        counts += found
    assert min(counts[what] for what in ("said again", "lost", "heard when lost")) > 5


def test_a_writer_killed_between_writes_loses_nothing(tmp_path):
    num_studies, broken = swept(tmp_path / "a", step=9, num_trials=4, proposer="random")
    assert num_studies >= 2
    assert broken == []
    num_drivers, broken = chained(tmp_path / "b", seed=0, num_trials=6, proposer="random")
    assert num_drivers >= 4
    assert broken == []


@pytest.mark.slow
@pytest.mark.timeout(240)  # two drivers that each start Ray
def test_worker_desk_and_driver_killed_in_one_study(tmp_path):
    victims = ("lane", "desk", "driver")
    marks = (6, 12, 18)
    supervised = Supervised(setting=file_setting(tmp_path, num_trials=20))

    def strike(at: Supervised, study: Study) -> None:
        due = len(at.strikes)
        num_results = sum(isinstance(event, Measured) for event in study.events)
        if due < len(marks) and num_results >= marks[due]:
            at.kill(victims[due], study)

    account = befallen(supervised, supervised.run(strike, limit_s=200))
    assert account.broken == []
    assert (account.num_faults, account.num_drivers) == (3, 2)
    assert account.num_preempted >= 1
