"""The package of a submitted job: what travels, under which names, and what does not."""

import json
import zipfile
from pathlib import Path

import pytest

from lexmove.cluster import package as packaging
from lexmove.cluster.package import JOB_NAME, package_of, placed
from lexmove.errors import UsageError
from lexmove.job.loading import job_from_json, load_job
from lexmove.job.spec import JobSpec
from lexmove.space.loading import load_job_and_space

JOB = """
name: contracts
task: {files: {train: ../data/clauses.csv, test: other/clauses.csv}}
model: {name: encoder}
metric: {name: METRIC}
space: rates.yaml
agent: {weights: WEIGHTS}
"""
SPACE = "parameters: {learning_rate: {min: 1.0e-4, max: 5.0e-3, log: true}}\n"


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """A job in a folder of its own that reaches beside and above it."""
    files = {
        "data/clauses.csv": "text,label\na,b\n",
        "work/other/clauses.csv": "text,label\nc,d\n",
        "work/encoder/config.json": "{}",
        "work/encoder/.cache/blob": "left out",
        "work/encoder/__pycache__/code.pyc": "left out",
        "work/rates.yaml": SPACE,
        "work/costs.py": "def cost(true, predicted, probabilities): return 1.0\n",
        "policy/weights.safetensors": "weights",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    text = JOB.replace("METRIC", f"{tmp_path}/work/costs.py:cost")
    text = text.replace("WEIGHTS", f"{tmp_path}/policy/weights.safetensors")
    (tmp_path / "work/job.yaml").write_text(text)
    return tmp_path / "work/job.yaml"


def unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder


def test_everything_that_a_job_names_travels_under_names_inside(
    job_file: Path, tmp_path: Path
) -> None:
    found = package_of(load_job(job_file))
    found.write(tmp_path / "package.zip")
    there = unpacked(tmp_path / "package.zip", tmp_path / "there")
    assert sorted(found.files) == [
        "agent/weights.safetensors",
        "data/clauses.csv",
        "data/clauses_2.csv",
        "metric/costs.py",
        "model/encoder/config.json",
        "space/rates.yaml",
    ]
    assert (there / "data/clauses.csv").read_text() == "text,label\na,b\n"
    assert (there / "data/clauses_2.csv").read_text() == "text,label\nc,d\n"
    text = (there / JOB_NAME).read_text()
    assert str(tmp_path) not in text, "no path of this machine"
    told = json.loads(text)
    assert told["metric"]["name"] == "metric/costs.py:cost"
    assert told["task"]["files"] == {
        "train": "data/clauses.csv",
        "validation": None,
        "test": "data/clauses_2.csv",
    }
    job, space = load_job_and_space(there / JOB_NAME)
    assert space.names == ("learning_rate",)
    assert Path(job.model.name) == there / "model/encoder"


def test_names_lead_nowhere_but_inside(job_file: Path, tmp_path: Path) -> None:
    found = package_of(load_job(job_file))
    for name in found.files:
        assert (tmp_path / name).resolve().is_relative_to(tmp_path)
        assert ".." not in Path(name).parts


def test_links_travel_as_what_the_job_calls_them(tmp_path: Path) -> None:
    """As DVC, git-annex and the hub's cache make them."""
    store = tmp_path / "blobs"
    (store / "head").mkdir(parents=True)
    (store / "8f3a1c").write_text("clause,type\nrent,lease\n")
    (store / "head" / "config.json").write_text("{}")
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / "clauses.csv").symlink_to(store / "8f3a1c")
    (model / "vocab.txt").symlink_to(store / "8f3a1c")
    (model / "1_Pooling").symlink_to(store / "head")
    (model / "again").symlink_to(model)
    job = JobSpec.model_validate(
        {
            "name": "links",
            "task": {"files": {"train": str(tmp_path / "clauses.csv")}},
            "model": {"name": str(model)},
            "space": {"parameters": {"learning_rate": {"min": 1e-5, "max": 1e-2}}},
        }
    )
    package = package_of(job)
    assert package.job.task.files is not None
    assert package.job.task.files.train == "data/clauses.csv"
    inside = {"model/model/vocab.txt", "model/model/1_Pooling/config.json"}
    assert {"data/clauses.csv", *inside} == set(package.files)
    package.write(tmp_path / "package.zip")
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        assert archive.read("data/clauses.csv") == (store / "8f3a1c").read_bytes()


def test_the_same_files_make_the_same_package(job_file: Path, tmp_path: Path) -> None:
    packages = [tmp_path / "one.zip", tmp_path / "two.zip"]
    for path in packages:
        package_of(load_job(job_file)).write(path)
        (tmp_path / "data/clauses.csv").touch()
    assert packages[0].read_bytes() == packages[1].read_bytes()


def test_what_is_shared_or_only_there_does_not_travel(job_file: Path, tmp_path: Path) -> None:
    text = job_file.read_text().replace("other/clauses.csv", "/only/on/the/cluster.csv")
    job_file.write_text(text)
    found = package_of(load_job(job_file), shared=[tmp_path / "data"])
    assert not [name for name in found.files if name.startswith("data/")]
    assert found.job.task.files is not None
    assert found.job.task.files.train == str(tmp_path / "data/clauses.csv")
    assert found.job.task.files.test == "/only/on/the/cluster.csv"


def test_a_relative_path_to_nothing_is_refused(job_file: Path) -> None:
    (job_file.parent / "other/clauses.csv").unlink()
    with pytest.raises(UsageError, match=r"task.files.test 'other/clauses.csv' is not here"):
        package_of(load_job(job_file))


def test_too_much_is_refused_with_the_way_out(
    job_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data/clauses.csv").write_text("x" * 3 * 2**20)
    monkeypatch.setattr(packaging, "MAX_BYTES", 2 * 2**20)
    found = package_of(load_job(job_file))
    with pytest.raises(UsageError, match=r"3 MiB, and 2 MiB can be sent.*clauses.csv.*--shared"):
        found.write(tmp_path / "package.zip")
    assert not (tmp_path / "package.zip").exists()


def test_what_arrived_is_kept_by_its_content(job_file: Path, tmp_path: Path) -> None:
    package_of(load_job(job_file)).write(tmp_path / "package.zip")
    there = unpacked(tmp_path / "package.zip", tmp_path / "there")
    job = job_from_json((there / JOB_NAME).read_text())
    root = tmp_path / "inputs"
    first = placed(there, root, job)
    assert placed(there, root, job) == first, "a second try finds it there"
    assert (first.parent / "data/clauses.csv").read_text() == "text,label\na,b\n"
    (there / "data/clauses.csv").write_text("text,label\nother,data\n")
    assert placed(there, root, job) != first
    moved = job.model_copy(update={"storage": "/elsewhere"})
    assert json.loads(placed(there, root, moved).read_text())["storage"] == "/elsewhere"
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []
