"""Made splits: what belongs together stays together, every class is trained, shares are kept."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexmove.errors import TaskError
from lexmove.job.spec import FilesSpec, SplitSpec, TaskSpec
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.near_duplicates import RELATED, clusters, shingle
from lexmove.trials.tasks.split_card import compared
from lexmove.trials.tasks.splitting import completed, related, sides
from lexmove.trials.tasks.task import load_task
from trials.data_files import spec, write

NUM_CLASSES = 3


@dataclass(frozen=True, kw_only=True)
class Data:
    """N examples; those with the same number in `copies` have nearly the same words."""

    examples: Examples
    groups: list[str]
    copies: list[int]

    def __repr__(self) -> str:
        return f"{self.examples.labels.tolist()}, {self.groups}, {self.copies}"


@st.composite
def data(draw: st.DrawFn) -> Data:
    """Single-label, multi-label, pairs or a choice; every class has three examples or more."""
    size = draw(st.integers(40, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    copies = rng.integers(0, draw(st.integers(20, 200)), size)
    kind = draw(st.sampled_from(["single", "multi", "pairs", "choice"]))
    labels = np.concatenate([np.repeat(np.arange(NUM_CLASSES), 3), rng.integers(0, 3, size - 9)])
    texts = [body(number, at) for at, number in enumerate(copies)]
    own = tuple(f"text {at}" for at in range(size))
    examples = {
        "single": lambda: Examples(texts=tuple(texts), labels=labels),
        "multi": lambda: Examples(
            texts=tuple(texts),
            labels=np.eye(NUM_CLASSES, dtype=np.int64)[labels] | rng.integers(0, 2, (size, 1)),
        ),
        "pairs": lambda: Examples(texts=own, pairs=tuple(texts), labels=labels),
        "choice": lambda: Examples(
            texts=own, endings=tuple((text, "no", "maybe") for text in texts), labels=labels
        ),
    }[kind]()
    groups = [f"case {group}" for group in rng.integers(0, draw(st.integers(15, 60)), size)]
    return Data(examples=examples, groups=groups, copies=copies.tolist())


def body(number: int, at: int) -> str:
    """30 words that only texts of this number have, and two of its own."""
    words = np.random.default_rng(number).integers(0, 10**6, 30)
    return " ".join(f"w{word}" for word in words) + f" number {at}"


SHARES = st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.34, 0.33, 0.33), (0.5, 0.2, 0.3)])


def job(shares=(0.6, 0.2, 0.2), *, near_duplicates="report", seed=0) -> TaskSpec:
    train, validation, test = shares
    split = SplitSpec(
        train=train, validation=validation, test=test, near_duplicates=near_duplicates
    )
    return TaskSpec(files=FilesSpec(train="a.csv"), split=split, seed=seed)


def split(data: Data, task: TaskSpec, *, by_group: bool = False) -> list[int]:
    """The side of every example: 0, 1 or 2; each is on one side."""
    parts = completed(
        {"train": data.examples},
        task,
        groups=data.groups if by_group else None,
        names=("a", "b", "c"),
        place="a.csv",
    )
    assert list(parts) == ["train", "validation", "test"]
    found = [index for part in parts.values() for index in map(number, compared(part))]
    side = np.repeat([0, 1, 2], [len(part) for part in parts.values()])
    assert sorted(found) == list(range(len(data.examples)))
    return side[np.argsort(found)].tolist()


def number(text: str) -> int:
    """Which of the drawn examples it is: the number stands in its own words."""
    words = text.split()
    return int(words[words.index("number") + 1])


def straddling(side: list[int], names: list) -> set:
    """What is on more than one side."""
    return {
        name
        for name in names
        if len({s for s, n in zip(side, names, strict=True) if n == name}) > 1
    }


def trained(data: Data, side: list[int]) -> bool:
    labels = data.examples.labels[np.array(side) == 0]
    if data.examples.is_multiple_choice:
        return len(labels) > 0
    return bool((data.examples.take(np.flatnonzero(np.array(side) == 0)).counts(3) > 0).all())


@given(data=data(), shares=SHARES, seed=st.integers(0, 2**32))
def test_a_split_by_class_keeps_shares_and_classes(data, shares, seed):
    side = split(data, job(shares, seed=seed))
    assert side == split(data, job(shares, seed=seed))
    assert trained(data, side)
    # A class is rounded to whole examples: by less than one on each side.
    wanted = np.array(shares) * len(side)
    assert np.abs(np.bincount(side, minlength=3) - wanted).max() <= 2 * NUM_CLASSES
    if not data.examples.is_multi_label and not data.examples.is_multiple_choice:
        for label in range(NUM_CLASSES):
            counts = np.bincount(np.array(side)[data.examples.labels == label], minlength=3)
            assert (counts > 0).all()
            assert np.abs(counts - np.array(shares) * counts.sum()).max() <= 2


@given(data=data(), shares=SHARES, seed=st.integers(0, 2**32))
def test_no_group_is_on_two_sides(data, shares, seed):
    side = split(data, job(shares, seed=seed), by_group=True)
    assert not straddling(side, data.groups)
    assert trained(data, side)
    assert side == split(data, job(shares, seed=seed), by_group=True)
    check_shares(side, shares, data.groups)


@settings(max_examples=25)
@given(data=data(), shares=SHARES, seed=st.integers(0, 2**32))
def test_no_near_duplicates_are_on_two_sides(data, shares, seed):
    task = job(shares, near_duplicates="together", seed=seed)
    side = split(data, task)
    assert not straddling(side, data.copies)
    assert trained(data, side)
    assert side == split(data, task)
    check_shares(side, shares, data.copies)
    cluster = clusters(shingle(compared(data.examples)), RELATED).tolist()
    assert len(set(cluster)) == len(set(data.copies))


@settings(max_examples=25)
@given(data=data(), seed=st.integers(0, 2**32))
def test_neither_groups_nor_near_duplicates_are_on_two_sides(data, seed):
    task = job(near_duplicates="together", seed=seed)
    together = related(data.examples, data.groups, near_duplicates=True)
    if len(set(together.tolist())) < 3:
        with pytest.raises(TaskError, match=r"a\.csv: too few groups to split off a \w+ split"):
            split(data, task, by_group=True)
        return
    side = split(data, task, by_group=True)
    assert not straddling(side, data.groups)
    assert not straddling(side, data.copies)
    assert trained(data, side)


def check_shares(side: list[int], shares: tuple[float, ...], units: list) -> None:
    """What stays together is dealt out whole: a side may have one of them too many or too few."""
    largest = max(map(units.count, set(units)))
    wanted = np.array(shares) * len(side)
    assert np.abs(np.bincount(side, minlength=3) - wanted).max() <= 2 * largest + NUM_CLASSES


def test_other_seeds_split_otherwise():
    labels = np.arange(60) % 3
    found = {tuple(sides(labels, (0.6, 0.2, 0.2), seed=seed)) for seed in range(10)}
    assert len(found) == 10


def test_what_hangs_together_by_way_of_others_is_related():
    examples = Examples(
        texts=tuple(body(n, at) for at, n in enumerate([0, 1, 1, 2, 3, 3])),
        labels=np.zeros(6, dtype=np.int64),
    )
    groups = ["a", "a", "b", "b", "c", "d"]
    assert related(examples, None, near_duplicates=False) is None
    for given_groups, near, wanted in (
        (groups, False, [0, 0, 1, 1, 2, 3]),
        (None, True, [0, 1, 1, 2, 3, 3]),
        (groups, True, [0, 0, 0, 0, 1, 1]),
    ):
        found = related(examples, given_groups, near_duplicates=near)
        assert np.unique(found, return_inverse=True)[1].tolist() == wanted


def test_the_last_training_examples_of_a_class_are_not_held_out():
    """A class of three is on all three sides even where little is to be trained."""
    labels = np.repeat([0, 1], [3, 40])
    side = sides(labels, (0.02, 0.49, 0.49), seed=0)
    assert sorted(side[:3].tolist()) == [0, 1, 2]
    assert (side[3:] == 0).sum() == 1


def test_large_clusters_of_near_duplicates_are_trained_where_others_can_be_held_out():
    labels = np.zeros(100, dtype=np.int64)
    together = np.repeat(np.arange(62), [20, 20] + [1] * 60)
    side = sides(labels, (0.6, 0.2, 0.2), together=together, max_together=0.1, seed=0)
    assert set(side[:40]) == {0}
    assert np.bincount(side).tolist() == [60, 20, 20]
    thirds = np.repeat([0, 1, 2], [40, 30, 30])
    side = sides(labels, (0.6, 0.2, 0.2), together=thirds, max_together=0.1, seed=0)
    assert sorted(np.bincount(side).tolist()) == [30, 30, 40]


def test_the_job_names_the_shares_and_what_stays_together(tmp_path):
    rows = [{"text": body(i // 4, i), "label": "ab"[i // 4 % 2]} for i in range(96)]
    path = write(tmp_path / "a.csv", rows)
    halves = {"train": 0.5, "validation": 0.25, "test": 0.25}
    task = load_task(spec(path, split=SplitSpec(**halves, near_duplicates="together")))
    assert [len(part) for part in (task.train, task.validation, task.test)] == [48, 24, 24]
    starts = [{text.split()[0] for text in part.texts} for part in (task.train, task.validation)]
    assert starts[0].isdisjoint(starts[1])
    apart = load_task(spec(path, split=SplitSpec(**halves)))
    starts = [{text.split()[0] for text in part.texts} for part in (apart.train, apart.validation)]
    assert not starts[0].isdisjoint(starts[1])


def test_only_what_is_missing_is_split_off_in_the_shares_that_are_left(tmp_path):
    rows = [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(80)]
    path = write(tmp_path / "a.csv", rows)
    given_test = write(tmp_path / "b.csv", rows[:10])
    task = load_task(spec(path, test=given_test, split=SplitSpec(train=0.6, validation=0.2)))
    assert [len(part) for part in (task.train, task.validation, task.test)] == [60, 20, 10]


def test_one_text_over_and_over_cannot_be_split(tmp_path):
    rows = [{"text": body(0, i), "label": "ab"[i % 2]} for i in range(30)]
    path = write(tmp_path / "a.csv", rows)
    together = SplitSpec(near_duplicates="together")
    with pytest.raises(TaskError, match=r"a\.csv: too few unlike texts to split off a validation"):
        load_task(spec(path, split=together))


def test_given_splits_that_share_a_group_are_refused(tmp_path):
    rows = [{"text": f"t{i}", "label": "ab"[i % 2], "case": f"c{i // 4}"} for i in range(40)]
    train, test = write(tmp_path / "a.csv", rows[:30]), write(tmp_path / "b.csv", rows[28:])
    with pytest.raises(TaskError, match=r"b\.csv:2: column 'case' holds 'c7', which stands in .*a"):
        load_task(spec(train, test=test, group="case"))
    apart = write(tmp_path / "c.csv", rows[32:])
    assert len(load_task(spec(train, test=apart, group="case")).test) == 8


@pytest.mark.parametrize("seed", range(10))
def test_a_class_that_stays_together_is_trained_not_held_out(seed):
    """Of the two cases that hold the rare class the smaller one, though train is full."""
    labels = np.repeat([0, 1, 1, 0], [30, 5, 4, 10])
    together = np.repeat(np.arange(13), [30, 5, 4, *[1] * 10])
    side = sides(labels, (0.6, 0.2, 0.2), together=together, seed=seed)
    assert set(side) == {0, 1, 2}
    assert set(side[35:39]) == {0}
