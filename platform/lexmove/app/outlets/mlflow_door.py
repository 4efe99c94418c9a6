"""The door to MLflow: where it is, what it is called with, and what its errors mean."""

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lexmove.coordinator.store_rules import without_password
from lexmove.errors import HandOverError, UsageError

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI, EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
DEFAULT_EXPERIMENT = "lexmove"

STUDY, TRIAL = "lexmove.study", "lexmove.trial"
"""Tags of a run: the study that it is of, and which of its trials."""

_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""What MLflow is told where the user has not: nobody hears of it, and no answer is no for long."""


def check_mlflow() -> None:
    """Whether MLflow can be asked at all; nothing is loaded.

    Raises:
        UsageError: it is not installed, or its URI is missing or not one it can work with.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("MLflow is not installed: pip install 'lexmove[mlflow]'")
    uri = os.environ.get(URI, "")
    if not uri:
        raise UsageError(
            f"{URI} is not set: say where MLflow is, such as sqlite:///mlflow.db or "
            "http://127.0.0.1:5000"
        )
    if uri.partition(":")[0].partition("+")[0] not in _SCHEMES:
        raise UsageError(
            f"{URI}={without_password(uri)} is no database or server, and MLflow keeps runs in "
            "nothing else: write sqlite:///mlflow.db or http://127.0.0.1:5000"
        )


@contextmanager
def talking_to_mlflow() -> Iterator["MlflowClient"]:
    """A client at the URI of the environment.

    Raises:
        UsageError: as `check_mlflow`.
        HandOverError: it does not answer, or refuses what the body asks.
    """
    check_mlflow()
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    from mlflow import MlflowClient

    uri = os.environ[URI]
    try:
        yield MlflowClient(tracking_uri=uri)
    except HandOverError:
        raise
    except Exception as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise HandOverError(
            f"MLflow at {without_password(uri)}: {without_password(text)[:300]}; check {URI} and "
            "that it is up"
        ) from error


def experiment_of(client: "MlflowClient") -> str:
    """The id of the experiment that runs go into, made where it is missing."""
    name = os.environ.get(EXPERIMENT) or DEFAULT_EXPERIMENT
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


def log_numbers(
    client: "MlflowClient", run_id: str, params: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    """All params and metrics of a run in one go."""
    from mlflow.entities import Metric, Param

    client.log_batch(
        run_id,
        params=[Param(name, str(value)) for name, value in params.items()],
        metrics=[Metric(name, value, 0, 0) for name, value in metrics.items()],
    )
