"""The command: what it plays, what it keeps through kills and signals, how it ends."""

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from benchmarks.search.arm import Arm
from benchmarks.search.comparison import Comparison, fingerprint
from benchmarks.search.results import Journal, Key, Record, load
from benchmarks.search.run import main
from benchmarks.search.schedule import Request, missing
from benchmarks.search.setting import UNITS, Setting
from benchmarks.search.tables_text import END, START, write
from search_benchmark.tiny_comparison import ABSENT, ARMS, make, task, tiny

SHORT = ("--axis", "trials", "--parallel", "1", "--trials", "6", "--seeds", "2")
LONG = (*SHORT[:-1], "60")
NUM_SHORT = 2 * 2 * 4
"""Studies of `SHORT`: two tasks, two seeds, three arms and the one that copies."""


def run(folder: Path, *arguments: str, comparison: Comparison | None = None) -> int:
    return main([*arguments, "--records", str(folder)], comparison or tiny())


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The same in a process of its own."""
    tests = Path(__file__).parents[1]
    paths = f"{tests}:{tests.parent / 'platform'}"
    module = "search_benchmark.tiny_comparison"
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--records", str(folder)],
        env={"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_studies(process: subprocess.Popen[str], num: int) -> int:
    """How many studies it says that it has played, once these are `num`."""
    assert process.stderr is not None
    for line in process.stderr:
        if re.match(rf" *{num}/", line):
            return num
    raise AssertionError("it ended early")


def num_to_play(said: str) -> int:
    return int(said.split(" studies to play", maxsplit=1)[0].rsplit("\n", maxsplit=1)[-1])


def test_it_plays_everything_once_and_shows_it(tmp_path, capsys):
    assert run(tmp_path, *SHORT) == 0
    shown = capsys.readouterr()
    assert num_to_play(shown.err) == len(load(tmp_path)) == NUM_SHORT
    about, _, first, *_, last = shown.out.splitlines()
    assert about.startswith("Normalised regret: interquartile means")
    assert first == "**Full fidelity, one at a time, 6 trials** on tiny"
    assert "elsewhere (not installed: nowhere)" in shown.out
    assert last.endswith("short")
    assert run(tmp_path, *SHORT) == 0
    again = capsys.readouterr()
    assert num_to_play(again.err) == 0
    assert again.out == shown.out


def test_the_same_seed_is_the_same_study(tmp_path):
    run(tmp_path / "one", *SHORT)
    run(tmp_path / "two", *SHORT)
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert {key: record.regrets for key, record in one.items()} == {
        key: record.regrets for key, record in two.items()
    }


def test_all_axes_and_starts_are_played(tmp_path):
    asked = ("--trials", "6", "--trainings", "3", "--times", "3")
    run(tmp_path, *asked, "--seeds", "1", "--starts")
    settings = {key.setting for key in load(tmp_path)}
    assert settings == {
        "trials 6 q1",
        "trials 6 q1 starts",
        "trials 6 q8",
        "epochs 3 q1",
        "epochs 3 q1 starts",
        "time 3 q1",
    }
    arms = {key.arm for key in load(tmp_path)}
    assert arms == {"lexmove", "Sobol", "random", "copy"}


def test_all_tasks_have_one_seed_before_any_has_the_next():
    request = Request(
        arms=frozenset(["lexmove", "random"]),
        tasks=("tiny-low", "tiny-high"),
        settings=(Setting.usual("trials", 1), Setting.usual("epochs", 1)),
        num_seeds=3,
    )
    studies = missing(tiny(), request, frozenset())
    assert [study.seed for study in studies] == [0] * 8 + [1] * 8 + [2] * 8
    known = {study.key for study in studies[:5]}
    assert missing(tiny(), request, known) == studies[5:]


def test_a_killed_run_loses_one_study_at_most_and_repeats_none(tmp_path, capsys):
    process = command(tmp_path, *LONG)
    num_said = wait_for_studies(process, 5)
    process.kill()
    process.communicate()
    kept = load(tmp_path)
    assert num_said <= len(kept) < 30 * NUM_SHORT
    assert run(tmp_path, *SHORT) == 0
    num_kept = sum(key.seed < 2 for key in kept)
    assert num_to_play(capsys.readouterr().err) == NUM_SHORT - num_kept
    # Processor times differ from run to run: equal records were not played again.
    after = load(tmp_path)
    assert {key: after[key] for key in kept} == kept
    assert sum(key.seed < 2 for key in after) == NUM_SHORT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_with_everything_kept(tmp_path, number):
    process = command(tmp_path, *LONG)
    num_said = wait_for_studies(process, 3)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 130
    assert f"stopped by {number.name}" in said
    assert num_said <= len(load(tmp_path)) < 30 * NUM_SHORT
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl.gz"]


def test_two_processes_play_into_one_folder(tmp_path, capsys):
    processes = [command(tmp_path, *SHORT, "--arms", arm) for arm in ("random", "Sobol")]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert {key.arm for key in load(tmp_path)} == {"random", "Sobol"}
    assert len(load(tmp_path)) == 8
    run(tmp_path, *SHORT)
    assert num_to_play(capsys.readouterr().err) == NUM_SHORT - 8


def test_what_changed_is_played_again(tmp_path, capsys):
    run(tmp_path, *SHORT)
    newer = (replace(ARMS[0], version="2"), *ARMS[1:])
    run(tmp_path, *SHORT, comparison=tiny(arms=newer))
    run(tmp_path, *SHORT, comparison=tiny(arms=newer, peak=0.4))
    said = capsys.readouterr().err
    counts = [int(count) for count in re.findall(r"(\d+) studies to play", said)]
    assert counts == [NUM_SHORT, 4, 8]


def test_the_fingerprint_tells_tasks_apart():
    assert fingerprint(task("a", 0.3)) == fingerprint(task("b", 0.3))
    assert fingerprint(task("a", 0.3)) != fingerprint(task("a", 0.31))
    assert fingerprint(task("a", 0.3)) != fingerprint(replace(task("a", 0.3), median=0.5))


def test_an_arm_that_is_absent_shows_what_was_recorded_of_it(tmp_path, capsys):
    run(tmp_path, *SHORT)
    one = next(iter(load(tmp_path).values()))
    with Journal(tmp_path) as journal:
        journal.append(replace(one, arm=ABSENT.name, arm_version="of another machine"))
    capsys.readouterr()
    run(tmp_path, *SHORT, "--no-play")
    shown = capsys.readouterr().out
    assert "| elsewhere | 1 |" in shown
    assert "Not compared" not in shown


def test_a_fresh_run_shows_itself_alone(tmp_path, capsys):
    run(tmp_path, *SHORT)
    capsys.readouterr()
    run(tmp_path, *SHORT, "--fresh", "--arms", "random", "lexmove")
    shown = capsys.readouterr()
    assert num_to_play(shown.err) == 8
    assert "| Sobol |" not in shown.out
    assert "| random |" in shown.out
    assert len(load(tmp_path)) == NUM_SHORT


def test_a_quick_run_keeps_nothing(tmp_path, capsys):
    assert run(tmp_path, "--quick") == 0
    assert num_to_play(capsys.readouterr().err) == 2 * 2 * 2
    assert list(tmp_path.iterdir()) == []


def test_no_study_starts_after_the_time_limit(tmp_path, capsys):
    assert run(tmp_path, *SHORT, "--time-limit", "0") == 0
    assert f"{NUM_SHORT} studies are still missing" in capsys.readouterr().err
    assert load(tmp_path) == {}


def test_unknown_names_are_refused(tmp_path, capsys):
    assert run(tmp_path, "--arms", "randon") == 2
    assert run(tmp_path, "--tasks", "tiny-lov") == 2
    assert run(tmp_path, "--families", "tini") == 2
    said = capsys.readouterr().err
    assert "unknown arm 'randon'" in said
    assert said.count("did you mean") == 3


def broken(group: str) -> Arm:
    def made(task, budget, *, seed, starts):
        raise ValueError("no license")

    return Arm(name="broken", group=group, make=made, version="1")


@pytest.mark.parametrize(("group", "status"), [("peer", 0), ("ablation", 1)])
def test_an_arm_that_fails_is_named_and_the_others_go_on(tmp_path, capsys, group, status):
    assert run(tmp_path, *SHORT, comparison=tiny(arms=(broken(group), *ARMS))) == status
    shown = capsys.readouterr().out
    assert "failed: broken · trials 6 q1 · tiny-low: ValueError: no license" in shown
    assert len(load(tmp_path)) == NUM_SHORT


NAMES = {
    "lexmove": 0.1,
    "lexmove floor": 0.2,
    "lexmove, learned": 0.1,
    "lexmove, memory": 0.1,
    "Optuna TPE": 0.5,
    "random + ASHA, tuned": 0.5,
}
"""Arms that the targets ask for, with a regret under which all are met."""


def judged() -> Comparison:
    families = ("functions", "crash_noise", "fine_tuning")
    arms = [
        Arm(
            name=name,
            group="ours" if name.startswith("lexmove") else "peer",
            make=make("random"),
            version="1",
        )
        for name in NAMES
    ]
    return Comparison(
        tasks={
            f"{family}-a": lambda family=family: task(f"{family}-a", 0.3) for family in families
        },
        families={f"{family}-a": family for family in families},
        arms={"trials": arms, "epochs": arms, "time": arms},
        absent={},
    )


def make_up(
    folder: Path, comparison: Comparison, *worse: str, slow: str = "", tasks: Sequence[str] = ()
) -> None:
    """Records of every arm; those named `worse` have the regret of a random config.

    The `slow` one has one seed and no regret, on some `tasks` only.
    """
    settings: Sequence[Setting] = (
        Setting.usual("trials", 1),
        Setting.usual("trials", 8),
        Setting.usual("epochs", 1),
        Setting.usual("time", 1),
        Setting.usual("trials", 1, starts=True),
        Setting.usual("epochs", 1, starts=True),
    )
    with Journal(folder) as journal:
        for (name, usual), setting, task_name, seed in product(
            NAMES.items(), settings, comparison.families, range(3)
        ):
            if name == slow and (seed or task_name not in tasks):
                continue
            regret = 1.0 if name in worse else 0.0 if name == slow else usual
            journal.append(
                Record(
                    arm=name,
                    arm_version="1",
                    setting=setting.name,
                    task=task_name,
                    task_version=comparison.task_version(task_name),
                    seed=seed,
                    regrets=dict.fromkeys(setting.checkpoints, regret),
                    cpu_s=1.0,
                    decision_ms=1.0,
                    decision_p99_ms=2.0,
                    num_crashed=0,
                )
            )


def verdicts(shown: str) -> list[str]:
    return [line.rsplit("; ", 1)[1] for line in shown.splitlines() if "; target " in line]


def test_check_passes_when_every_target_is_met(tmp_path, capsys):
    make_up(tmp_path, judged())
    assert run(tmp_path, "--no-play", "--check", comparison=judged()) == 0
    assert verdicts(capsys.readouterr().out) == ["ok"] * 17


@pytest.mark.parametrize(
    ("worse", "num_short"), [("lexmove", 13), ("lexmove, learned", 2), ("lexmove, memory", 2)]
)
def test_check_fails_when_a_target_is_short(tmp_path, capsys, worse, num_short):
    make_up(tmp_path, judged(), worse)
    assert run(tmp_path, "--no-play", "--check", comparison=judged()) == 1
    assert verdicts(capsys.readouterr().out).count("short") == num_short
    assert run(tmp_path, "--no-play", comparison=judged()) == 0


@pytest.mark.parametrize(("num_tasks", "rival"), [(1, "Optuna TPE"), (2, "random + ASHA, tuned")])
def test_the_hardest_peer_counts_whatever_its_seeds(tmp_path, capsys, num_tasks, rival):
    tasks = list(judged().families)[:num_tasks]
    make_up(tmp_path, judged(), slow="random + ASHA, tuned", tasks=tasks)
    assert run(tmp_path, "--no-play", comparison=judged()) == 0
    first = next(line for line in capsys.readouterr().out.splitlines() if "; target " in line)
    assert f"({rival}, hardest of" in first or f"({rival};" in first
    assert f"{9 if num_tasks == 1 else 2} pairs" in first


def test_what_was_not_measured_is_short(tmp_path, capsys):
    assert run(tmp_path, "--no-play", "--check") == 1
    shown = capsys.readouterr().out
    assert shown.count("not measured") == len(verdicts(shown)) == verdicts(shown).count("short")


def test_tables_go_between_the_markers(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n")
    assert not write("tables", readme)
    assert readme.read_text() == "# Title\n"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    assert write("tables", readme)
    assert readme.read_text() == f"before\n{START}\ntables\n{END}\nafter\n"


def test_settings_are_named_and_read_back():
    for axis, parallel, starts in product(UNITS, (1, 4, 8, 32), (False, True)):
        setting = Setting.usual(axis, parallel, starts=starts)
        assert Setting.parse(setting.name) == setting
        assert setting.checkpoints[-1] == setting.budget
        assert set(setting.headline) <= set(setting.checkpoints)
        assert setting.is_usual is (parallel == 1 or (axis, parallel) == ("trials", 8))
    longer = replace(Setting.usual("trials", 1), budget=100)
    assert longer.headline == (25, 50, 100)
    assert not longer.is_usual
    assert Key("lexmove", "trials 50 q1", "a-1", 0).setting == Setting.usual("trials", 1).name
