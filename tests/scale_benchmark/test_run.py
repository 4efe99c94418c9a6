"""The scale benchmark: its lines, its exit status, and its measures on a few trials."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.goal import Goal
from benchmarks.scale.goals import GOALS
from benchmarks.scale.growth import Mark, decision_s, grow, load_s, memory_slope, resident_bytes
from benchmarks.scale.run import FULL, QUICK, Size, main
from benchmarks.scale.throughput import SPACE, Throughput, value_of
from lexmove.agent.baselines import make_proposer
from lexmove.coordinator.store import open_store

GOOD = {
    "throughput": 1.2,
    "results": 900.0,
    "growth": 1.1,
    "memory": 0.8,
    "load": 1.0,
    "ls": 0.5,
    "show": 0.5,
    "best": 0.5,
    "decision": 2.0,
}


def run(figures: Mapping[str, float], *arguments: str) -> int:
    def measure(size: Size, folder: Path) -> Mapping[str, float]:
        assert size is (QUICK if "--quick" in arguments else FULL)
        assert folder.is_dir()
        return figures

    return main(arguments, {"growth": measure})


def verdicts(shown: str) -> list[str]:
    return [line.rsplit("; ", 1)[1] for line in shown.splitlines()]


def test_a_line_for_each_target_and_all_met(capsys):
    assert run(GOOD, "--quick", "--check") == 0
    shown = capsys.readouterr().out
    assert verdicts(shown) == ["ok"] * len(GOALS)
    assert (
        "results on disk, as they come together from 8 slots, at the last trials: 900 /s; "
        "target at least 500 /s; ok"
    ) in shown.splitlines()


@pytest.mark.parametrize("name", GOALS)
def test_check_fails_where_one_is_short(capsys, name):
    factor = 0.1 if GOALS[name].is_least else 10.0
    short = {**GOOD, name: GOOD[name] * factor}
    assert run(short, "--check") == 1
    assert verdicts(capsys.readouterr().out).count("short") == 1
    assert run(short) == 0


def test_what_was_not_measured_is_short(capsys):
    assert run({}, "--check") == 1
    shown = capsys.readouterr().out
    assert shown.count("not measured") == len(GOALS)
    assert verdicts(shown) == ["short"] * len(GOALS)


def test_one_part_alone_shows_its_own_targets(capsys):
    assert run({"ls": 0.4}, "--only", "growth", "--check") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_bounds_are_met_exactly():
    assert Goal(measure="m", bound=2.0, is_least=True).judged(2.0).is_met
    assert Goal(measure="m", bound=2.0).judged(2.0).is_met
    assert not Goal(measure="m", bound=2.0).judged(2.01).is_met


def test_the_slope_leaves_out_the_first_trials():
    def mark(num_trials: int, mebibytes: float) -> Mark:
        return Mark(
            num_trials=num_trials,
            together_s=0.0,
            alone_s=0.0,
            resident_bytes=int(mebibytes * 2**20),
        )

    assert memory_slope([mark(100, 0), mark(2000, 50), mark(10_000, 58)]) == 1.0


def test_the_share_of_the_ideal_time():
    found = Throughput(num_trials=1600, wall_s=20.0)
    assert found.share_of_ideal == 0.5
    assert found.line == "1600 trials in 20.0 s, 80.0 trials/s, 50% of the ideal"
    assert value_of(SPACE.from_unit([0.3] * 4)) == pytest.approx(0.0)


def test_a_small_study_is_grown_read_and_decided_on(tmp_path):
    url = f"sqlite:///{tmp_path}/studies.db"
    study, marks = grow(url, (16, 40))
    assert [mark.num_trials for mark in marks] == [16, 40]
    assert all(mark.together_s > 0 and mark.alone_s > 0 for mark in marks)
    assert 0 < marks[0].resident_bytes <= resident_bytes() * 2
    assert open_store(url).load(study.spec.name) == study
    assert len(study.ranking) == 40
    assert load_s(url) > 0
    assert decision_s(study, make_proposer("floor"), num_trials=20) > 0
