"""The page on extending lexmove: its files, exactly as they stand there, in real studies."""

import importlib.util
import inspect
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent import test_proposers
from architecture.readme_commands import shown
from architecture.readme_tree import ROOT
from end_to_end.test_readme import run
from end_to_end.test_task_types import study
from lexmove.agent.baselines import PROPOSERS
from lexmove.app import stored
from lexmove.study.protocols import Proposer
from lexmove.trials.tasks.task import BUILT_IN, load_task

PAGE = ROOT / "platform" / "lexmove" / "tutorials" / "extending.md"
WORDS = {
    "complaint": "unhappy with your slow and unfriendly service",
    "inquiry": "please tell me what my policy covers abroad",
    "threat": "my lawyer will file suit against you in court",
}

BY_CHANCE = "test_it_keeps_within_one_dimension_of_two_integers"
"""Of the contract: counts a value that lexmove's own proposers happen to draw in six trials."""


@cache
def files() -> dict[str, str]:
    """The page's code blocks by the name that each begins with."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    return {name: f"# {name}\n{text}" for name, text in blocks}


def loaded(name: str, folder: Path) -> Any:
    path = folder / Path(name).name
    path.write_text(files()[name])
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_block_has_a_name() -> None:
    text = PAGE.read_text("utf-8")
    assert len(files()) == len(re.findall(r"^```(?:python|yaml)$", text, re.MULTILINE)) == 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_job_with_its_rows_metric_and_proposer(tmp_path: Path) -> None:
    for name in ("letters.yaml", "rows.py", "costs.py", "near_best.py"):
        (tmp_path / name).write_text(files()[name])
    for label, words in WORDS.items():
        (tmp_path / "letters" / label).mkdir(parents=True)
        for number in range(24):
            letter = tmp_path / "letters" / label / f"sender{number}_{label}.txt"
            letter.write_text(f"{words} {number}")
    subprocess.run([sys.executable, "rows.py"], cwd=tmp_path, check=True)

    planned = run(tmp_path, shown("lexmove plan letters.yaml"))
    assert "minimize costs.py:expected_cost" in planned
    run(tmp_path, shown("lexmove tune letters.yaml --address in-process"))
    assert "near_the_best" in run(tmp_path, shown("lexmove show letters"))

    found = stored.load("letters", store=f"sqlite:///{tmp_path}/studies.db")
    assert found.state == "finished"
    assert found.study.spec.metric == f"{tmp_path}/costs.py:expected_cost"
    assert {trial.decision.proposer for trial in found.study.trials} == {"near_the_best"}
    assert found.study.trials[0].config == found.study.spec.space.default
    assert found.study.trials[1].decision.move.origin in (None, 0)
    # Overlooking all threats costs 3 a letter, taking all for threats 2/3.
    assert found.winner is not None
    assert found.best_json()["test"] < 0.66


@pytest.mark.slow
def test_a_built_in_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded("platform/lexmove/trials/tasks/license_text.py", tmp_path)
    monkeypatch.setitem(BUILT_IN, "license_text", module.load_license_text)
    sizes = {"max_train": 120, "max_validation": 60, "max_test": 60}
    outcome, job = study(tmp_path, {"name": "license_text", **sizes})
    assert load_task(job.task).labels == module.LABELS
    assert outcome.state == "finished"
    assert json.loads(outcome.study.spec.job)["task"]["name"] == "license_text"


def contract() -> Iterator[Any]:
    """Every test of the proposers' contract, with each of its parameters."""
    for name, test in vars(test_proposers).items():
        wanted = inspect.signature(test).parameters if name.startswith("test_") else ()
        if "proposer" not in wanted or name == BY_CHANCE:
            continue
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        names = [mark.args[0] for mark in marks]
        for values in itertools.product(*(mark.args[1] for mark in marks)):
            given = dict(zip(names, values, strict=True))
            yield pytest.param(test, given, id=f"{name.removeprefix('test_')} {len(given)}")


@pytest.mark.parametrize(("test", "given"), list(contract()))
def test_the_proposer_keeps_the_contract(
    test: Callable[..., None],
    given: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: Callable[[], Proposer] = loaded("near_best.py", tmp_path).NearTheBest
    monkeypatch.setitem(PROPOSERS, made().name, made)
    test(made(), **given)
