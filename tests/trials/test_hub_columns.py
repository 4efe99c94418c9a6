"""Columns of hub datasets: named classes, lists and positions, mapped as a job says."""

import datasets
import pytest

from lexmove.errors import TaskError
from lexmove.job.spec import HubSpec, TaskSpec
from lexmove.trials.tasks.task import load_task
from trials.hub_files import clauses, write_dataset


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """What `datasets` keeps goes with the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def hub(folder, **fields):
    return TaskSpec(hub=HubSpec(id=str(folder), config="small"), **fields)


def test_a_dataset_of_the_hub_has_the_names_of_its_classes(tmp_path):
    folder = write_dataset(tmp_path / "contracts", {"small": clauses("c")})
    task = load_task(hub(folder))
    assert task.name == "contracts/small"
    assert task.labels == ("fair", "unfair")
    assert task.test.texts == tuple(f"c test {i}" for i in range(4))
    assert task.test.labels.tolist() == [0, 1, 0, 1]


def test_columns_of_a_hub_dataset_are_mapped_and_missing_splits_made(tmp_path):
    names = datasets.List(datasets.ClassLabel(names=["tax", "fee", "none of them"]))
    rows = {
        "facts": [[f"Fact {i}.", "Held."] for i in range(30)],
        "kinds": [[[0], [1, 0], []][i % 3] for i in range(30)],
        "case": [i // 3 for i in range(30)],
    }
    features = datasets.Features(
        {
            "facts": datasets.List(datasets.Value("string")),
            "kinds": names,
            "case": datasets.Value("int32"),
        }
    )
    data = datasets.Dataset.from_dict(rows, features=features)
    folder = write_dataset(tmp_path / "cases", {"small": {"train": data}})
    made = HubSpec(id=str(folder), validation=None, test=None)
    task = load_task(TaskSpec(hub=made, text="facts", label="kinds", group="case"))
    assert task.is_multi_label
    assert task.labels == ("fee", "tax")
    assert [len(part) for part in (task.train, task.validation, task.test)] == [18, 6, 6]
    assert "Fact 0.\n\nHeld." in task.train.texts + task.validation.texts + task.test.texts
    assert task.train.counts(2).tolist() == [6, 12]


def test_positions_in_a_hub_dataset_are_its_class_numbers(tmp_path):
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "ways": datasets.List(datasets.Value("string")),
            "label": datasets.ClassLabel(names=["1", "2"]),
        }
    )
    rows = {"text": ["q"] * 4, "ways": [["a", "b"]] * 4, "label": [0, 1, 1, 0]}
    data = datasets.Dataset.from_dict(rows, features=features)
    splits = dict.fromkeys(("train", "validation", "test"), data)
    task = load_task(hub(write_dataset(tmp_path / "qa", {"small": splits}), endings="ways"))
    assert task.labels == ("0", "1")
    assert task.test.labels.tolist() == [0, 1, 1, 0]


def test_secret_labels_and_missing_columns_of_a_hub_dataset_are_named(tmp_path):
    splits = clauses("c")
    secret = splits["test"].map(lambda row: {"label": -1})
    folder = write_dataset(tmp_path / "contracts", {"small": splits | {"test": secret}})
    with pytest.raises(TaskError, match=r"contracts \(small\), test:1: column 'label' is empty"):
        load_task(hub(folder))
    with pytest.raises(TaskError, match=r"\(small\), train: no column 'txt' .* mean 'text'\?"):
        load_task(hub(folder, text="txt"))
