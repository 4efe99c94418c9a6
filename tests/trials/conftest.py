"""A small real task: texts of three licence categories, straight from the data package."""

import json
from importlib.metadata import distribution
from pathlib import Path

import pytest

from lexmove.job.spec import FilesSpec, ModelSpec, TaskSpec
from lexmove.trials.objective import import_all

_CATEGORIES = ("Commercial", "Copyleft", "Permissive")
_PER_CATEGORY = 24


@pytest.fixture(scope="session", autouse=True)
def _imported() -> None:
    """As in a worker, which leaves what it has imported out of its collections of garbage."""
    import_all()


@pytest.fixture(scope="session")
def small_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A jsonl file of 72 texts in three classes, columns `text` and `label`."""
    folder = Path(str(distribution("licensedcode-data").locate_file("licensedcode/data/licenses")))
    found: dict[str, list[str]] = {name: [] for name in _CATEGORIES}
    for path in sorted(folder.glob("*.LICENSE")):
        _, header, text = path.read_text(encoding="utf-8").split("---", 2)
        category = next(
            line.removeprefix("category: ")
            for line in header.splitlines()
            if line.startswith("category: ")
        )
        if category in found and len(found[category]) < _PER_CATEGORY and len(text) > 200:
            found[category].append(text)
        if all(len(texts) == _PER_CATEGORY for texts in found.values()):
            break
    path = tmp_path_factory.mktemp("texts") / "small.jsonl"
    rows = [{"text": text, "label": name} for name, texts in found.items() for text in texts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_task(small_texts: Path) -> TaskSpec:
    return TaskSpec(files=FilesSpec(train=str(small_texts)))


@pytest.fixture(scope="session")
def small_model() -> ModelSpec:
    """One layer of the built-in model: the fastest that still learns."""
    return ModelSpec(num_hidden_layers=1, max_length=24, precision="fp32")
