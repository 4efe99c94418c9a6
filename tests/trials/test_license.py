"""The licence tasks: real texts, categories and leakage-safe splits."""

import re
from collections import Counter, defaultdict
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from lexmove.errors import TaskError
from lexmove.job.spec import TaskSpec
from lexmove.trials.tasks import license as license_module
from lexmove.trials.tasks import license_choices
from lexmove.trials.tasks.near_duplicates import DUPLICATE, RELATED, shingle
from lexmove.trials.tasks.task import BUILT_IN, load_task


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    """Every task is prepared once here: some five seconds each of parsing and clustering."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("name", "num_labels", "sizes"),
    [
        ("license_category", 8, (4313, 1443, 1441)),
        # Together three quarters of a minute, and made by the same code.
        pytest.param("license_families", 20, (3416, 1201, 1152), marks=pytest.mark.slow),
        pytest.param("license_listing", 2, (1773, 592, 592), marks=pytest.mark.slow),
        pytest.param("license_role", 4, (8134, 2714, 2713), marks=pytest.mark.slow),
    ],
)
def test_a_built_in_task_has_the_documented_size_and_every_class_in_every_split(
    cache_dir, name, num_labels, sizes
):
    task = load_task(TaskSpec(name=name), cache_dir=cache_dir)
    splits = (task.train, task.validation, task.test)
    assert tuple(map(len, splits)) == sizes
    assert len(task.labels) == num_labels
    for split in splits:
        assert (split.counts(num_labels) > 0).all()
        assert all(text and "{{" not in text for text in split.texts)


def test_no_test_text_has_a_near_duplicate_in_train(cache_dir):
    """Against the definition, on every tenth test text."""
    task = load_task(TaskSpec(name="license_category"), cache_dir=cache_dir)
    train = [set(row) for row in _rows(shingle(task.train.texts))]
    straddling = 0
    for mine in map(set, _rows(shingle(task.test.texts[::10]))):
        for other in train:
            # A cheap bound first: the smaller set cannot overlap by more than its size.
            if min(len(mine), len(other)) >= RELATED * max(len(mine), len(other)):
                straddling += len(mine & other) >= RELATED * len(mine | other)
    assert straddling == 0


@pytest.mark.slow
def test_only_the_families_are_multi_label(cache_dir):
    kinds = {
        name: load_task(TaskSpec(name=name), cache_dir=cache_dir).is_multi_label
        for name in BUILT_IN
    }
    assert kinds == {
        "license_category": False,
        "license_families": True,
        "license_listing": False,
        "license_mc": False,
        "license_role": False,
    }
    task = load_task(TaskSpec(name="license_families"), cache_dir=cache_dir)
    per_text = task.train.labels.sum(axis=1)
    assert per_text.min() == 1
    assert per_text.mean() == pytest.approx(1.22, abs=0.01)


def test_an_exception_to_a_licence_is_no_family():
    item = license_module.Item(
        header={"license_expression": "gpl-2.0 WITH openssl-exception-gpl-2.0 OR cc0-1.0"},
        text="",
        is_rule=True,
    )
    assert license_module._families_of([])(item) == ("cc0", "gpl")


def test_a_listing_is_of_full_texts_and_of_one_decision():
    def item(key, spdx=None, **header):
        return license_module.Item(
            header={"key": key, "spdx_license_key": spdx, **header}, text="", is_rule=False
        )

    def rule(expression, **header):
        return license_module.Item(
            header={"license_expression": expression, **header}, text="", is_rule=True
        )

    items = [
        item("mit", "MIT"),
        item("zlib", "Zlib"),
        item("acme", "LicenseRef-scancode-acme"),
        item("undecided"),
    ]
    outcomes = license_module._listing_of([*items, rule("mit", is_license_text=True)])
    assert [outcomes(licence) for licence in items] == [("listed",), ("listed",), ("unlisted",), ()]
    assert outcomes(rule("mit AND zlib", is_license_text=True)) == ("listed",)
    assert outcomes(rule("mit AND acme", is_license_text=True)) == ()
    assert outcomes(rule("mit AND undecided", is_license_text=True)) == ()
    assert outcomes(rule("mit", is_license_notice=True)) == ()


def test_the_second_load_is_the_same_data(cache_dir):
    spec = TaskSpec(name="license_category", max_train=100, max_validation=50, max_test=50)
    once, again = (load_task(spec, cache_dir=cache_dir) for _ in range(2))
    assert once.fingerprint == again.fingerprint
    assert tuple(map(len, (once.train, once.validation, once.test))) == (100, 50, 50)
    assert set(once.train.labels) == set(range(8))
    other = load_task(spec.model_copy(update={"seed": 1}), cache_dir=cache_dir)
    assert other.fingerprint != once.fingerprint


def test_an_unknown_task_gets_the_nearest_name():
    with pytest.raises(TaskError, match="did you mean 'license_role'"):
        load_task(TaskSpec(name="licence_role"))


def test_a_missing_package_names_the_way_to_install_it(monkeypatch, tmp_path):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(license_module, "distribution", missing)
    with pytest.raises(TaskError, match=r"pip install lexmove\[offline\]"):
        load_task(TaskSpec(name="license_role"), cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_version_of_the_package_is_refused(monkeypatch):
    monkeypatch.setattr(license_module, "VERSION", "99.0")
    with pytest.raises(TaskError, match=r"version 32\.1\.0, but the tasks are made from 99\.0"):
        license_module.check_package()


@pytest.fixture(scope="module")
def choice(cache_dir):
    """Made in half a minute, and longer on a busy machine: its tests are slow ones."""
    return load_task(TaskSpec(name="license_mc"), cache_dir=cache_dir)


@pytest.mark.slow
def test_a_choice_has_five_different_endings_and_its_right_one_anywhere(choice):
    splits = (choice.train, choice.validation, choice.test)
    assert choice.is_multiple_choice
    assert choice.labels == ("0", "1", "2", "3", "4")
    assert tuple(map(len, splits)) == (3000, 800, 800)
    for split in splits:
        assert set(split.counts(5)) == {len(split) // 5}
        for text, ends in zip(split.texts, split.endings, strict=True):
            assert len({text, *ends}) == 6
            assert all(len(part.split()) <= 90 for part in (text, *ends))
            assert all(len(re.findall(r"[^\W\d_]{2,}", part)) >= 12 for part in (text, *ends))


@pytest.mark.slow
def test_an_ending_alone_says_nothing(choice):
    """Right once and wrong four times, each of them; no length stands out either."""
    for split in (choice.train, choice.validation, choice.test):
        right, wrong = Counter(), Counter()
        for ends, label in zip(split.endings, split.labels, strict=True):
            right[ends[label]] += 1
            wrong.update(end for place, end in enumerate(ends) if place != label)
        assert set(right) == set(wrong)
        assert set(right.values()) == {1}
        assert set(wrong.values()) == {4}
    lengths = [[len(end.split()) for end in ends] for ends in choice.test.endings]
    for pick in (np.argmax, np.argmin):
        picked = np.array([pick(row) for row in lengths])
        assert (picked == choice.test.labels).mean() == pytest.approx(0.2, abs=0.05)


@pytest.mark.slow
def test_common_words_find_the_right_ending_half_the_time(choice):
    """Measured .52: hard, yet not hopeless."""
    picked = [
        np.argmax([_jaccard(_content(text), _content(end)) for end in ends])
        for text, ends in zip(choice.test.texts, choice.test.endings, strict=True)
    ]
    assert 0.45 < (np.array(picked) == choice.test.labels).mean() < 0.58


@pytest.mark.slow
def test_no_wrong_ending_is_nearly_the_right_one(choice):
    for split in (choice.validation, choice.test):
        flat = [set(row) for row in _rows(shingle([end for ends in split.endings for end in ends]))]
        for number, label in enumerate(split.labels):
            ends = flat[5 * number : 5 * number + 5]
            others = [end for place, end in enumerate(ends) if place != label]
            assert max(_jaccard(ends[label], end) for end in others) < RELATED


@pytest.mark.slow
def test_no_paragraph_of_a_test_question_has_a_near_duplicate_in_train(choice):
    """Contexts and all endings, against the definition, on every fifth paragraph of the test."""
    ours, theirs = (
        [set(row) for row in _rows(shingle(sorted({*split.texts, *sum(split.endings, ())})))]
        for split in (choice.test, choice.train)
    )
    holders = defaultdict(list)
    for number, other in enumerate(theirs):
        for part in other:
            holders[part].append(number)
    near = 0
    for mine in ours[::5]:
        candidates = {number for part in mine for number in holders.get(part, ())}
        near += any(_jaccard(mine, theirs[number]) >= DUPLICATE for number in candidates)
    assert len(ours[::5]) > 200
    assert near == 0


@pytest.mark.slow
def test_the_choices_are_the_same_when_they_are_made_again(choice, tmp_path):
    again = load_task(TaskSpec(name="license_mc"), cache_dir=tmp_path)
    assert again.fingerprint == choice.fingerprint


@pytest.mark.parametrize(
    ("paragraph", "said"),
    [
        ("3. You may copy it", "You may copy it"),
        ("(b) You may copy it", "You may copy it"),
        ("2) (iv) You may copy it", "You may copy it"),
        ("* 3.1 You may copy it", "You may copy it"),
        ("(c) 1998 A. Sample", "(c) 1998 A. Sample"),
        ("(C) Copyright A. Sample", "(C) Copyright A. Sample"),
        ("A copy of it", "A copy of it"),
    ],
)
def test_a_paragraphs_number_does_not_give_its_place_away(paragraph, said):
    assert license_choices._unnumbered(paragraph) == said


def test_only_paragraphs_that_follow_each_other_make_a_pair():
    first, second, third = (" ".join([word] * 12) for word in ("one", "two", "three"))
    markup = f"<p>{first}</p>"
    text = "\n\n".join([first, "Heading", second, f"1. {third}", markup, first])
    assert license_choices._runs(text) == [[second, third]]


def _content(text):
    return {word for word in re.findall(r"\w+", text.lower()) if word not in ENGLISH_STOP_WORDS}


def _jaccard(one, other):
    return len(one & other) / max(1, len(one | other))


def _rows(shingles):
    return np.split(shingles.ids, shingles.offsets[1:-1])
