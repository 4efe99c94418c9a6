"""Every search space that lexmove ships loads, fits its schema and makes sense."""

from pathlib import Path

import jsonschema
import numpy as np
import pytest

from lexmove.job.document import read_document
from lexmove.job.schema import space_schema
from lexmove.space.loading import load_space
from lexmove.space.move import legal_moves

FOLDER = Path(__file__).parents[2] / "search_spaces"
SHIPPED = sorted(FOLDER.glob("*.yaml"))


def test_the_promised_spaces_are_there() -> None:
    promised = {
        "encoder",
        "encoder_small",
        "lora",
        "multiple_choice",
        "long_document",
        "hierarchical",
        "matching_small",
    }
    assert promised <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_space_loads_samples_and_moves(path: Path) -> None:
    space = load_space(path)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert space.is_valid(space.sample(rng))
    offered = legal_moves(space, space.default, origin=None)
    moved = {name for move in offered for name in move.changes}
    assert moved == {item.name for item in space.searched if item.name in space.default}
    assert "num_train_epochs" not in space


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_space_fits_the_schema_of_editors(path: Path) -> None:
    jsonschema.Draft202012Validator(space_schema()).validate(read_document(path).data)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_space_is_commented(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert sum(line.lstrip().startswith("#") for line in lines) >= 4
