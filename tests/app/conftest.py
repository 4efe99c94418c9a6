"""A finished study, a hub and an MLflow for the tests of what an app does with them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.hub_server import TOKEN, Hub, serving
from app.judged_study import run_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study of three trials and two repetitions each."""
    folder = tmp_path_factory.mktemp("judged")
    assert run_study(folder).state == "finished"
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to damage; the store names the folder that it was made in, so it lies there."""
    kept = tmp_path / "kept"
    shutil.copytree(finished, kept)
    yield finished
    shutil.rmtree(finished)
    shutil.copytree(kept, finished)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, for which the environment has the token."""
    with serving(Hub(TOKEN)) as served:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its file, with tables and nothing in them: making them takes seconds."""
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        from lexmove.app.outlets.mlflow_door import talking_to_mlflow

        with talking_to_mlflow() as client:
            client.search_experiments()
    return path


@pytest.fixture
def mlflow_uri(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of one of the test's own, which the environment names; it works in `tmp_path`."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    return uri
