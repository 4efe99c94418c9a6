"""The command: what it measures, what it prints last, and how it ends."""

import math

import pytest

from benchmarks.speed.comparison import GOALS, Comparison, ComparisonError
from benchmarks.speed.run import main
from benchmarks.speed.setting import FULL, QUICK

GOOD = {"throughput": 0.92, "trials_per_hour": 2.5, "time_to_best": 0.25, "slots": 0.95}
LINES = [
    "training samples/s against a bare PyTorch loop: 0.920; target at least 0.920; ok",
    "trials/h at equal epochs against the documented way: 2.500; target at least 2.000; ok",
    "time to the documented way's best against its own: 0.250; target at most 0.250; ok",
    "share of slot-time inside the objective: 0.950; target at least 0.900; ok",
]


def measures(figures, seen=None):
    """Made-up comparisons; `seen` is told what they were asked for."""

    def made_up(name, figure):
        def measure(setting, folder):
            if seen is not None:
                seen.append((name, setting))
            if figure is None:
                raise ComparisonError("the arms differ")
            return Comparison(title="Made up", head=["a"], rows=[["1"]], figure=figure)

        return measure

    return {name: made_up(name, figure) for name, figure in figures.items()}


def test_tables_come_first_and_targets_last(capsys):
    assert main(["--check"], measures(GOOD)) == 0
    out = capsys.readouterr().out
    assert out.count("**Made up**\n\n| a |\n| --- |\n| 1 |\n") == len(GOALS)
    assert out.splitlines()[-4:] == LINES


@pytest.mark.parametrize(
    ("name", "figure", "said"),
    [
        ("throughput", 0.91, "0.910"),
        ("trials_per_hour", 1.99, "1.990"),
        ("time_to_best", 0.26, "0.260"),
        ("time_to_best", math.inf, "never reached"),
        ("slots", 0.5, "0.500"),
    ],
)
def test_a_target_that_is_short_fails_a_check_alone(name, figure, said, capsys):
    figures = GOOD | {name: figure}
    assert main([], measures(figures)) == 0
    assert main(["--check"], measures(figures)) == 1
    last = capsys.readouterr().out.splitlines()[-4:]
    assert last[list(GOALS).index(name)].endswith("short")
    assert f": {said}; target" in last[list(GOALS).index(name)]
    assert sum(line.endswith("ok") for line in last) == 3


def test_what_failed_is_named_and_the_others_are_measured(capsys):
    assert main([], measures(GOOD | {"trials_per_hour": None})) == 1
    *_, failed, first, second, third, fourth = capsys.readouterr().out.splitlines()
    assert failed == "failed: trials_per_hour: the arms differ"
    assert second == LINES[1].replace("2.500", "not measured").replace("ok", "short")
    assert [first, third, fourth] == [LINES[0], *LINES[2:]]


def test_options_choose_comparisons_and_sizes(capsys):
    seen = []
    main([], measures(GOOD, seen))
    assert seen == [(name, FULL) for name in GOALS]
    seen.clear()
    main(["--quick", "--only", "slots", "--repeats", "2"], measures(GOOD, seen))
    ((name, setting),) = seen
    assert name == "slots"
    assert (setting.repeats, setting.num_slotted) == (2, QUICK.num_slotted)
    assert capsys.readouterr().out.splitlines()[-1] == LINES[3]


@pytest.mark.parametrize("wrong", [["--only", "slot"], ["--repeats", "0"], ["--repeats", "x"]])
def test_wrong_options_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        main(wrong, measures(GOOD))
    assert caught.value.code == 2
    assert "bench-speed: error: argument" in capsys.readouterr().err
