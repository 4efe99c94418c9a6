"""Exports on their way to other tools: what arrives there, and what is said when it does not."""

import json
from pathlib import Path

import pytest

from app.hub_server import TOKEN, Hub
from lexmove.app.outlets.hub import check_hub, push_to_hub
from lexmove.app.outlets.mlflow_door import check_mlflow
from lexmove.app.outlets.mlflow_export import to_mlflow
from lexmove.errors import HandOverError, UsageError
from postgres_fixture import free_port

BEST = {
    "study": "tos",
    "config": {"learning_rate": 1e-5, "peft.use_lora": True},
    "validation": 0.8,
    "repeated": {"mean": 0.79, "ci95": [0.77, 0.81], "num_seeds": 3},
    "test": 0.78,
    "default": {"validation": 0.7, "test": None},
    "reference": {"name": "TF-IDF", "validation": 0.6, "test": 0.61},
}
PROVENANCE = {
    "study": "tos",
    "task": "license_category",
    "model": "minilm",
    "policy_version": None,
    "data_sha256": "abc",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As much of an export as travels."""
    out = tmp_path / "best"
    for name in ("best.json", "README.md", "model/config.json", "data/train.jsonl"):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(BEST) if name == "best.json" else name)
    return out


def test_an_export_arrives_in_mlflow(folder: Path, mlflow_uri: str) -> None:
    from mlflow import MlflowClient

    run_id = to_mlflow(folder, BEST, PROVENANCE)
    client = MlflowClient(tracking_uri=mlflow_uri)
    run = client.get_run(run_id)
    assert run.data.params == {"learning_rate": "1e-05", "peft.use_lora": "True"}
    assert run.data.metrics["repeated_mean"] == 0.79
    assert run.data.metrics["reference_test"] == 0.61
    assert "default_test" not in run.data.metrics
    assert run.data.tags["lexmove.study"] == "tos"
    assert run.data.tags["lexmove.model"] == "minilm"
    assert run.info.status == "FINISHED"
    names = {item.path for item in client.list_artifacts(run_id)}
    assert names == {"README.md", "best.json", "data", "model"}


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "MLFLOW_TRACKING_URI is not set"),
        ("file:///tmp/runs", "is no database or server"),
        ("./mlruns", "is no database or server"),
    ],
)
def test_an_mlflow_that_cannot_be_asked_is_refused(
    uri: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match=words):
        check_mlflow()


def test_without_mlflow_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'lexmove\[mlflow\]'"):
        check_mlflow()


def test_an_mlflow_that_does_not_answer_is_named_without_its_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://me:{TOKEN}@127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(HandOverError, match="check MLFLOW_TRACKING_URI") as refused:
        to_mlflow(folder, BEST, PROVENANCE)
    assert TOKEN not in str(refused.value)


def test_an_export_arrives_on_the_hub_without_the_examples(folder: Path, hub: Hub) -> None:
    assert push_to_hub(folder, "me/tos", study="tos") == f"{hub.url}/me/tos"
    assert set(hub.files) == {"README.md", "best.json", "model/config.json"}
    assert hub.files["best.json"] == (folder / "best.json").read_bytes()
    made = hub.repositories["me/tos"]
    assert made.get("private") is True or made.get("visibility") == "private"


def test_a_hub_that_refuses_is_quoted_without_the_token(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = f"{TOKEN}wrong"
    monkeypatch.setenv("HF_TOKEN", wrong)
    with pytest.raises(HandOverError, match="it refused the token") as refused:
        push_to_hub(folder, "me/tos", study="tos")
    assert TOKEN not in str(refused.value)
    assert hub.files == {}


def test_a_hub_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(HandOverError, match="check the network and HF_ENDPOINT") as refused:
        push_to_hub(folder, "me/tos", study="tos")
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("name", ["tos", "me/", "a/b/c", "me/to s", "../etc", "me/x--y", "me/.x"])
def test_names_that_no_repository_has(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(UsageError, match="write USER/NAME"):
        check_hub(name)


def test_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UsageError, match="HF_TOKEN is not set"):
        check_hub("me/tos")
