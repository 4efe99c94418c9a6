"""The licence tasks: real texts, categories and leakage-safe splits."""

from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from lexmove.errors import TaskError
from lexmove.job.spec import TaskSpec
from lexmove.trials.tasks import license as license_module
from lexmove.trials.tasks.near_duplicates import RELATED, shingle
from lexmove.trials.tasks.task import BUILT_IN, load_task


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    """Every task is prepared once here: some five seconds each of parsing and clustering."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("name", "num_labels", "sizes"),
    [
        ("license_category", 8, (4313, 1443, 1441)),
        ("license_families", 20, (3416, 1201, 1152)),
        ("license_role", 4, (8134, 2714, 2713)),
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


def test_only_the_families_are_multi_label(cache_dir):
    kinds = {
        name: load_task(TaskSpec(name=name), cache_dir=cache_dir).is_multi_label
        for name in BUILT_IN
    }
    assert kinds == {
        "license_category": False,
        "license_families": True,
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


def _rows(shingles):
    return np.split(shingles.ids, shingles.offsets[1:-1])
