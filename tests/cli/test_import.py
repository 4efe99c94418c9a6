"""The verb `import`: what it says, and how it ends."""

import json
from pathlib import Path

import optuna

from app.test_importing import ray_experiment, searched, source, theirs
from architecture.readme_commands import shown
from cli.conftest import Lexmove


def test_it_says_what_came_in_and_what_did_not(lexmove: Lexmove, tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searched(theirs(tmp_path))
    theirs(tmp_path, "empty")
    (tmp_path / "theirs.db").rename(tmp_path / "optuna.db")
    done = lexmove(*shown("lexmove import sqlite:///optuna.db --rename lr=learning_rate"))
    assert done.exit_code == 0
    assert done.stdout == "tos\n"
    assert "imported Optuna study 'tos': 9 trials (9 completed), 1 hyperparameter" in done.stderr
    assert "not imported: Optuna study 'empty': none of its trials has ended" in done.stderr
    again = lexmove("import", "optuna.db", "--study", "tos", "--rename", "lr=learning_rate")
    assert again.exit_code == 0
    assert "is there already: Optuna study 'tos'" in again.stderr
    listed = json.loads(lexmove("ls", "--json").stdout)
    assert [item["state"] for item in listed["studies"]] == ["finished"]
    assert lexmove("show", "tos").exit_code == 0
    assert lexmove("best", "tos", "--json").exit_code == 0
    assert lexmove("report", "tos").exit_code == 0


def test_results_of_ray_tune(lexmove: Lexmove, tmp_path: Path) -> None:
    ray_experiment(tmp_path).parent.rename(tmp_path / "ray_results")
    done = lexmove(*shown("lexmove import ray_results/tos --metric f1 --goal maximize"))
    assert done.exit_code == 0
    assert "imported Ray Tune's experiment 'tos': 9 trials" in done.stderr


def test_nothing_to_import_is_an_error(lexmove: Lexmove, tmp_path: Path) -> None:
    theirs(tmp_path, "empty")
    refused = lexmove("import", source(tmp_path), "--json")
    assert refused.exit_code == 2
    (item,) = json.loads(refused.stdout)["studies"]
    assert item["reason"] == "none of its trials has ended"
    for words in (["nowhere.db"], [source(tmp_path), "--rename", "lr"]):
        wrong = lexmove("import", *words)
        assert wrong.exit_code == 2
        assert wrong.stderr.startswith("error: ")
