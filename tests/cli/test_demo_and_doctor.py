"""The demo's job is one that runs, and `doctor` names every trouble with its fix."""

import json
from pathlib import Path

import pytest

from cli.conftest import Lexmove
from lexmove.cli.demo import STORE, write_demo_job
from lexmove.space.loading import load_job_and_space
from lexmove.trials.recipe import check_hyperparameters


def test_the_demo_writes_a_job_under_the_next_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_demo_job(["license-demo-2", "license-demo-10", "other"])
    job, space = load_job_and_space(path)
    assert job.name == "license-demo-11"
    assert job.store == STORE
    assert job.budget.trials >= 20
    assert job.finalists.seeds == 3
    check_hyperparameters(space.names)
    hand = job.finalists.compare[0]
    assert space.config(hand.config)["learning_rate"] == 5e-4
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}


def test_doctor_finds_this_machine_fit(lexmove: Lexmove) -> None:
    done = lexmove("doctor", "--json")
    found = json.loads(done.stdout)
    assert found["schema_version"] == 1
    health = {check["name"]: check["health"] for check in found["checks"]}
    assert "fail" not in health.values()
    assert done.exit_code == 0
    assert health["built-in model"] == health["built-in tasks"] == health["store"] == "ok"
    assert all(set(check) == {"name", "health", "detail", "fix"} for check in found["checks"])


def test_doctor_fails_on_a_store_it_cannot_use(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are my notes\n" * 100)
    done = lexmove("doctor", "--json", "--store", "sqlite:///notes.db")
    assert done.exit_code == 1
    (store,) = (item for item in json.loads(done.stdout)["checks"] if item["health"] == "fail")
    assert store["name"] == "store"
    assert "--store" in store["fix"]


def test_doctor_sees_a_token_that_others_may_read(
    lexmove: Lexmove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "auth_token"
    token.write_text("secret")
    token.chmod(0o644)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    done = lexmove("doctor", "--json", RAY_AUTH_TOKEN_PATH=str(token))
    auth = next(item for item in json.loads(done.stdout)["checks"] if item["name"] == "ray auth")
    assert (auth["health"], auth["fix"]) == ("warn", f"chmod 600 {token}")
    assert done.exit_code == 0
    assert "secret" not in done.stdout
