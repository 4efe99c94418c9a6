"""Kept results: nothing is lost, nothing comes twice, and processes do not step on each other."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.search.results import Journal, Record, compact, load

rounded = st.floats(0.0, 2.0).map(lambda value: round(value, 4))
counts = st.integers(0, 9)


@st.composite
def records(draw: st.DrawFn) -> Record:
    checkpoints = draw(st.sampled_from([(8, 16, 25), (2, 2.5, 5)]))
    return Record(
        arm=draw(st.sampled_from(["lexmove", "lexmove − continue"])),
        arm_version=draw(st.sampled_from(["1", "2"])),
        setting=draw(st.sampled_from(["trials 25 q1", "epochs 5 q1 starts"])),
        task=draw(st.sampled_from(["a-1", "b-1"])),
        task_version="v",
        seed=draw(st.integers(0, 3)),
        regrets={at: draw(rounded) for at in checkpoints},
        cpu_s=draw(rounded),
        decision_ms=draw(rounded),
        decision_p99_ms=draw(rounded),
        num_crashed=draw(counts),
        surprises=(draw(counts), draw(counts), draw(counts)),
    )


def record(seed: int = 0, **changes: object) -> Record:
    made = Record(
        arm="lexmove",
        arm_version="1",
        setting="trials 25 q1",
        task="a-1",
        task_version="v",
        seed=seed,
        regrets={8: 0.5, 16: 0.25, 25: 0.125},
        cpu_s=1.5,
        decision_ms=20.0,
        decision_p99_ms=40.0,
        num_crashed=2,
    )
    return replace(made, **changes)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@given(records())
def test_a_line_gives_the_record_back(made):
    assert Record.from_line(made.to_line()) == made


@given(st.lists(records(), max_size=12))
def test_compacting_changes_nothing(made):
    with TemporaryDirectory() as name:
        folder = Path(name)
        with Journal(folder) as journal:
            for one in made:
                journal.append(one)
            before = load(folder)
        assert before == {one.key: one for one in made}
        assert load(folder) == before
        assert names(folder) == {"records.jsonl.gz"}


def test_equal_records_make_equal_files(tmp_path):
    for name, seeds in (("one", (0, 1, 2)), ("two", (2, 0, 1))):
        with Journal(tmp_path / name) as journal:
            for seed in seeds:
                journal.append(record(seed))
    one, two = ((tmp_path / name / "records.jsonl.gz").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_later_record_of_a_study_replaces_the_earlier(tmp_path):
    for cpu_s in (1.0, 2.0):
        with Journal(tmp_path) as journal:
            journal.append(record(cpu_s=cpu_s))
    (kept,) = load(tmp_path).values()
    assert kept.cpu_s == 2.0


def test_a_torn_last_line_costs_that_study_alone(tmp_path):
    torn = record(1).to_line()[:-20]
    (tmp_path / "1-1.playing").write_bytes(record(0).to_line() + torn)
    assert load(tmp_path) == {record(0).key: record(0)}
    compact(tmp_path)
    assert load(tmp_path) == {record(0).key: record(0)}
    assert names(tmp_path) == {"records.jsonl.gz"}


def test_what_another_process_still_writes_is_read_but_left_alone(tmp_path):
    with Journal(tmp_path) as running:
        running.append(record(0))
        with Journal(tmp_path) as other:
            other.append(record(1))
        assert set(load(tmp_path)) == {record(0).key, record(1).key}
        assert len(names(tmp_path)) == 2
        running.append(record(2))
    assert set(load(tmp_path)) == {record(seed).key for seed in range(3)}
    assert names(tmp_path) == {"records.jsonl.gz"}


def test_twenty_thousand_records_stay_below_a_megabyte(tmp_path):
    """Random digits, so that nothing but the layout makes them small."""
    import numpy as np

    rng = np.random.default_rng(0)
    with Journal(tmp_path) as journal:
        for task in range(20):
            for seed in range(10):
                regrets = dict(zip((8, 16, 25, 32, 50), rng.random(5).round(4), strict=True))
                cpu_s = float(f"{rng.random():.3g}")
                journal.append(record(seed, task=f"t-{task}", regrets=regrets, cpu_s=cpu_s))
    assert (tmp_path / "records.jsonl.gz").stat().st_size < 200 * 50
