"""Adopting expired records: only ours, only where what is played again is the same."""

from dataclasses import replace
from pathlib import Path

from benchmarks.search.adopting import chosen, expired
from benchmarks.search.comparison import Comparison
from benchmarks.search.results import Journal, Record, load
from search_benchmark.test_run import SHORT, run
from search_benchmark.tiny_comparison import ARMS, tiny


def other_version() -> Comparison:
    """The same arms under other versions, as after a change of the sources."""
    return tiny(arms=tuple(replace(arm, version="2") for arm in ARMS))


def versions(folder: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for record in load(folder).values():
        found.setdefault(record.arm, set()).add(record.arm_version)
    return found


def test_what_is_the_same_is_adopted_and_nothing_of_others(tmp_path, capsys):
    run(tmp_path, *SHORT)
    before = load(tmp_path)
    assert run(tmp_path, "--adopt", "2", comparison=other_version()) == 0
    assert "4 records adopted: all of 2 played again were the same" in capsys.readouterr().err
    assert versions(tmp_path) == {"lexmove": {"2"}, "Sobol": {"1"}, "random": {"1"}, "copy": {"1"}}
    assert {key: record.regrets for key, record in load(tmp_path).items()} == {
        key: record.regrets for key, record in before.items()
    }
    assert run(tmp_path, "--adopt", "2", comparison=other_version()) == 0
    assert "0 records adopted" in capsys.readouterr().err


def test_one_that_differs_leaves_all_as_they_were(tmp_path, capsys):
    run(tmp_path, *SHORT)
    ours = [record for record in load(tmp_path).values() if record.arm == "lexmove"]
    with Journal(tmp_path) as journal:
        journal.append(replace(ours[0], regrets=dict.fromkeys(ours[0].regrets, 0.123), cpu_s=0.0))
    before = load(tmp_path)
    capsys.readouterr()
    assert run(tmp_path, "--adopt", "4", comparison=other_version()) == 1
    said = capsys.readouterr().err
    assert "1 of 4 differ: nothing was adopted" in said
    assert f"{ours[0].task} · seed {ours[0].seed}: regrets" in said
    assert load(tmp_path) == before


def test_a_task_that_has_changed_cannot_be_adopted(tmp_path):
    run(tmp_path, *SHORT)
    changed = tiny(arms=tuple(replace(arm, version="2") for arm in ARMS), peak=0.4)
    assert {record.task for record in expired(changed, load(tmp_path).values())} == {"tiny-high"}


def made_up(arm: str, setting: str, task: str, seed: int, cpu_s: float) -> Record:
    return Record(
        arm=arm,
        arm_version="1",
        setting=setting,
        task=task,
        task_version="v",
        seed=seed,
        regrets={8: 0.5},
        cpu_s=cpu_s,
        decision_ms=1.0,
        decision_p99_ms=1.0,
        num_crashed=0,
    )


def test_arms_settings_and_tasks_take_turns_the_cheap_first():
    records = [
        made_up("one", "trials 8 q1", "a", 0, 3.0),
        made_up("one", "trials 8 q1", "a", 1, 1.0),
        made_up("one", "trials 8 q1", "b", 0, 2.0),
        made_up("one", "epochs 5 q1", "a", 0, 9.0),
        made_up("two", "trials 8 q1", "a", 0, 9.0),
    ]
    order = [(r.arm, r.setting[0], r.task, r.seed) for r in chosen(records, 5)]
    assert order == [
        ("one", "t", "a", 1),
        ("one", "e", "a", 0),
        ("two", "t", "a", 0),
        ("one", "t", "b", 0),
        ("one", "t", "a", 0),
    ]
    assert chosen(records, 2) == chosen(records, 5)[:2]
