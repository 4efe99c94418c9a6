"""An export in MLflow: the winner's config as params, its scores as metrics, all files."""

from pathlib import Path
from typing import Any

from lexmove.app.outlets.mlflow_door import STUDY, experiment_of, log_numbers, talking_to_mlflow
from lexmove.app.outlets.scores import scores_of

KIND = "lexmove.kind"


def to_mlflow(folder: Path, best: dict[str, Any], provenance: dict[str, Any]) -> str:
    """Logs an exported folder as one run of the environment's MLflow.

    Args:
        folder: what `export` wrote.
        best: its `best.json`.
        provenance: its `provenance.json`.

    Returns:
        The id of the run.

    Raises:
        UsageError: MLflow is not installed, or not told where it is.
        HandOverError: it does not answer, or refuses.
    """
    told = {name: provenance[name] for name in ("task", "model", "policy_version", "data_sha256")}
    tags = {f"lexmove.{name}": str(value) for name, value in told.items() if value is not None}
    with talking_to_mlflow() as client:
        run = client.create_run(
            experiment_of(client),
            run_name=f"{best['study']} (export)",
            tags={STUDY: best["study"], KIND: "export", **tags},
        )
        run_id = str(run.info.run_id)
        log_numbers(client, run_id, best["config"], scores_of(best))
        client.log_artifacts(run_id, str(folder))
        client.set_terminated(run_id)
    return run_id
