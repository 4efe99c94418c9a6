"""The demo's job is one that runs, and `doctor` names every trouble with its fix."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cli.conftest import Lexmove
from cluster.answering import FITTING, OWN, answering, nodes
from lexmove.cli import main
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


ROWS = "clause,kind\n" + "".join(
    f"some words of clause {number},{('lease', 'sale')[number % 2]}\n" for number in range(40)
)
JOB: dict[str, Any] = {
    "name": "clauses",
    "task": {"files": {"train": "clauses.csv"}, "text": "clause", "label": "kind"},
    "model": {"name": "minilm", "num_hidden_layers": 1, "max_length": 16},
    "space": {"parameters": {"learning_rate": {"min": 1e-4, "max": 1e-2}}},
}

Looked = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture
def looked(lexmove: Lexmove, tmp_path: Path) -> Looked:
    """What `doctor` finds amiss with a job, by name; with further words and changes of the job."""

    def look(*words: str, **changes: Any) -> dict[str, dict[str, str]]:
        (tmp_path / "clauses.csv").write_text(ROWS)
        (tmp_path / "job.yaml").write_text(json.dumps(JOB | changes))
        done = lexmove("doctor", "job.yaml", "--json", *words)
        checks = json.loads(done.stdout)["checks"]
        assert done.exit_code == int(any(item["health"] == "fail" for item in checks))
        return {item["name"]: item for item in checks if item["health"] != "ok"}

    return look


def amiss(found: dict[str, dict[str, str]], name: str, detail: str, fix: str) -> None:
    """That is the one thing amiss, and both are said."""
    assert set(found) == {name}
    assert detail in found[name]["detail"]
    assert fix in found[name]["fix"]


def test_a_job_that_can_be_run_is_found_so(looked: Looked) -> None:
    assert looked() == {}


def test_fault_1_a_storage_that_cannot_be_written(looked: Looked) -> None:
    found = looked(storage="/proc/studies")
    amiss({"storage": found["storage"]}, "storage", "/proc cannot be written", "set `storage`")


def sized(monkeypatch: pytest.MonkeyPatch, place: str, free: int) -> None:
    """A file system with so many free bytes."""
    real = shutil.disk_usage

    def usage(path: str | Path) -> Any:
        return SimpleNamespace(free=free) if str(path).startswith(place) else real(path)

    monkeypatch.setattr(shutil, "disk_usage", usage)


@pytest.mark.parametrize(("free", "health"), [(10**9, "warn"), (10**7, "fail")])
def test_fault_2_a_disk_that_is_nearly_full(
    free: int, health: str, looked: Looked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized(monkeypatch, str(tmp_path), free)
    found = looked()
    amiss(found, "disk", f"GiB free in {tmp_path}", "set `storage` in the job to another disk")
    assert found["disk"]["health"] == health


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("postgresql://me@127.0.0.1:1/studies", "Connection refused"),
        ("sqlite:///clauses.csv", "file is not a database"),
        ("mysql://host/studies", "is no store's URL"),
    ],
)
def test_fault_3_what_is_no_store_or_does_not_answer(url: str, detail: str, looked: Looked) -> None:
    amiss(looked("--store", url), "store", detail, "--store")
    amiss(looked(store=url), "store", detail, "--store")


def test_fault_5_another_ray_than_the_clusters(looked: Looked) -> None:
    other = {**FITTING, "/api/version": {**OWN, "ray_version": "2.9.0"}}
    with answering(other) as address:
        amiss(looked("--address", address), "cluster", "runs Ray 2.9.0, and lexmove", "ray==")
    amiss(looked("--address", "http://127.0.0.1:1"), "cluster", "no Ray cluster answers", "ssh -L")
    row = {"is_head_node": True, "state": "ALIVE", "resources_total": {"CPU": 2.0}}
    with answering(FITTING | nodes(row)) as address:
        assert looked("--address", address) == {}


def test_fault_6_too_small_a_shared_memory(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, "/dev/shm", 64 * 2**20)
    amiss(looked(), "shared memory", "0.06 GiB free in /dev/shm", "--shm-size=2g")


def test_fault_7_gpus_are_asked_for_and_torch_has_none(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    asked = {"resources": {"gpu": 0.5}}
    amiss(looked(**asked), "gpu for trials", "is built without CUDA", "resources: {gpu: 0}")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    amiss(looked(**asked), "gpu for trials", "sees none", "CUDA_VISIBLE_DEVICES")
    assert looked(resources="auto") == {}


def test_fault_8_a_model_that_is_not_there_or_incomplete(
    looked: Looked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix = "give a folder that save_pretrained wrote, an id of the hub, or minilm"
    amiss(looked(model={"name": "./nowhere"}), "model", "no model folder './nowhere'", fix)
    (tmp_path / "half").mkdir()
    amiss(looked(model={"name": "half"}), "model", "has no config.json", fix)
    (tmp_path / "half" / "config.json").write_text('{"model_type": "bert"}')
    amiss(looked(model={"name": "half"}), "model", "has no weights: one of", fix)
    (tmp_path / "half" / "model.safetensors").write_bytes(b"cut off")
    amiss(looked(model={"name": "half"}), "model", "cannot be loaded", fix)
    unknown = {"name": "nobody/has-this"}
    amiss(looked(model=unknown), "model", "the first trial fetches it", "--network fetches it now")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # Read when the library is imported, which other tests of this process have done.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    amiss(looked(model=unknown), "model", "cannot be loaded from the hub", fix)


def test_fault_9_data_that_cannot_be_used(looked: Looked) -> None:
    task = JOB["task"]
    fix = "mend the data, or `task` in the job"
    amiss(looked(task=task | {"label": "kin"}), "data", "did you mean 'kind'?", fix)
    amiss(looked(task=task | {"files": {"train": "no.csv"}}), "data", "no such file", fix)
    found = looked(metric={"name": "accurracy"}, fidelity={"max_epoch": 1})
    amiss(found, "job", "did you mean 'max_epochs'?", "mend job.yaml")
    amiss(looked(metric={"name": "accurracy"}), "job", "did you mean 'accuracy'?", "mend")
    amiss(looked(decide={"threshold": "fitted"}), "fit", "is for tasks of several labels", "mend")


def test_rows_that_cannot_be_used_are_named(looked: Looked, tmp_path: Path) -> None:
    (tmp_path / "holes.csv").write_text(ROWS + ",lease\n,sale\n")
    task = JOB["task"] | {"files": {"train": "holes.csv"}}
    detail = looked(task=task)["data"]["detail"]
    assert detail.startswith("2 rows cannot be used (task.on_bad_rows: skip leaves such rows out):")
    assert "holes.csv:42: column 'clause' is empty" in detail
    assert "holes.csv:43: " in detail
    assert "lists more" not in detail
    (tmp_path / "holes.csv").write_text(ROWS + ",lease\n" * 4)
    assert looked(task=task)["data"]["detail"].endswith("; `lexmove plan` lists more")


def test_fault_10_an_older_python_or_a_missing_extra(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    amiss(looked(track="wandb"), "wandb", "is not installed", "pip install 'lexmove[wandb]'")
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    amiss(looked(), "python", "is too old", "make setup PYTHON=/path/to/python3.11")
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and this is 3\.10"):
        main()


def test_fixes_stand_below_what_was_found(looked: Looked, lexmove: Lexmove) -> None:
    looked()
    done = lexmove("doctor", "job.yaml", "--store", "mysql://host/studies")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "store: choose another with --store"
