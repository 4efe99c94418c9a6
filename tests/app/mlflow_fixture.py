"""A real MLflow in a SQLite file, made once."""

import os
import shutil
from pathlib import Path

import pytest


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
