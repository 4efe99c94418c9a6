"""An imported study beside others of its name: what is refused, and what there is of it to have."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.test_importing import one, searched, source, theirs
from app.test_running import SPACE, make_job
from lexmove.app.deleting import delete
from lexmove.app.exporting import export
from lexmove.app.past.importing import Wanted, import_past
from lexmove.app.preparing import study_spec
from lexmove.coordinator.store import open_store
from lexmove.errors import UsageError
from lexmove.space.domain import Float
from lexmove.space.search_space import Hyperparameter, SearchSpace


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ours.db"


def test_an_earlier_import_says_in_what_it_is_another_one(tmp_path: Path, store: str) -> None:
    searched(theirs(tmp_path))
    import_past(source(tmp_path), Wanted(), store=store)
    way = "give another one with --study and --name, or delete that one first (lexmove delete tos)"
    for wanted, difference in (
        (Wanted(rename={"lr": "rate"}), "with other names of hyperparameters (lr, now rate)"),
        (
            Wanted(metric="f1", rename={"lr": "rate"}),
            "with another objective (maximize value, now maximize f1)",
        ),
    ):
        (refused,) = import_past(source(tmp_path), wanted, store=store)
        assert f"earlier import of that name, {difference}: {way}" in str(refused.reason)
    delete("tos", store=store)
    renamed = one(import_past(source(tmp_path), Wanted(rename={"lr": "rate"}), store=store))
    assert renamed.spec.space.names == ("rate",)


def test_an_earlier_import_of_the_same_trials_may_have_other_ranges(
    tmp_path: Path, store: str
) -> None:
    searched(theirs(tmp_path))
    study = one(import_past(source(tmp_path), Wanted(), store=f"sqlite:///{tmp_path}/whole.db"))
    wide = Hyperparameter(name="lr", domain=Float(low=1e-6, high=1.0, log=True))
    opened = open_store(store)
    opened.create(replace(study.spec, space=SearchSpace(hyperparameters=(wide,))))
    opened.append("tos", *study.events)
    (refused,) = import_past(source(tmp_path), Wanted(), store=store)
    assert "of that name, with other ranges: " in str(refused.reason)


def test_the_study_of_a_job_is_no_earlier_import(tmp_path: Path, store: str) -> None:
    searched(theirs(tmp_path, "s"))
    open_store(store).create(study_spec(make_job(tmp_path), SPACE))
    (refused,) = import_past(source(tmp_path), Wanted(), store=store)
    assert refused.reason is not None
    assert refused.reason.startswith("the store has another study of that name: give another one")
    assert "delete" not in refused.reason


def test_an_imported_study_has_only_its_config_to_export(tmp_path: Path, store: str) -> None:
    searched(theirs(tmp_path))
    import_past(source(tmp_path), Wanted(), store=store)
    with pytest.raises(UsageError, match=r"was imported, .* lexmove best tos --json --store sq"):
        export("tos", tmp_path / "best", store=store, say=print)
    assert not (tmp_path / "best").exists()
