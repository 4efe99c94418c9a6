"""A study in MLflow: one run, with a run below it for each trial."""

from collections.abc import Collection, Mapping

from lexmove.app.outlets.mlflow_door import (
    STUDY,
    TRIAL,
    experiment_of,
    log_numbers,
    talking_to_mlflow,
)
from lexmove.app.outlets.tracker import TrackedStudy, TrackedTrial

_PARENT = "mlflow.parentRunId"
_KIND = "lexmove.kind"
_PAGE = 1000


class MlflowTracker:
    """Writes to the MLflow of the environment; see `mlflow_door`."""

    def __init__(self) -> None:
        self._study: TrackedStudy | None = None
        self._experiment = self._run = ""

    def begin(self, study: TrackedStudy) -> Collection[int]:
        with talking_to_mlflow() as client:
            self._experiment = experiment_of(client)
            # A study's name has letters, digits, '.', '_' and '-' only.
            mine = f"tags.`{STUDY}` = '{study.name}' and tags.`{_KIND}` = 'study'"
            found = [] if study.is_new else client.search_runs([self._experiment], mine)
            if found:
                self._run = found[0].info.run_id
                client.update_run(self._run, status="RUNNING")
            else:
                tags = {f"lexmove.{name}": value for name, value in study.tags.items()}
                made = client.create_run(
                    self._experiment,
                    run_name=study.name,
                    tags={STUDY: study.name, _KIND: "study", **tags},
                )
                self._run = made.info.run_id
        self._study = study
        return self._known() if found else ()

    def _known(self) -> set[int]:
        """The trials that are there already."""
        known: set[int] = set()
        token = None
        with talking_to_mlflow() as client:
            while True:
                page = client.search_runs(
                    [self._experiment],
                    f"tags.`{_PARENT}` = '{self._run}'",
                    max_results=_PAGE,
                    page_token=token,
                )
                ended = [run for run in page if run.info.status != "RUNNING"]
                known |= {int(run.data.tags[TRIAL]) for run in ended}
                token = page.token
                if not token:
                    return known

    def take(self, trial: TrackedTrial) -> None:
        from mlflow.entities import Metric

        assert self._study is not None, "it has begun"
        tags = {TRIAL: str(trial.trial_id), "lexmove.state": trial.status.value}
        tags |= {"lexmove.move": trial.move} if trial.move else {}
        tags |= {"lexmove.reason": trial.reason} if trial.reason else {}
        ended_ms = int(trial.ended_s * 1000)
        with talking_to_mlflow() as client:
            run = client.create_run(
                self._experiment,
                start_time=int(trial.started_s * 1000),
                run_name=f"trial {trial.trial_id}",
                tags={STUDY: self._study.name, _PARENT: self._run, **tags},
            )
            run_id = run.info.run_id
            best = {} if trial.value is None else {f"best_{self._study.metric}": trial.value}
            log_numbers(client, run_id, trial.config, best)
            for fidelity, metrics in trial.curve:
                named = [Metric(name, value, ended_ms, fidelity) for name, value in metrics.items()]
                client.log_batch(run_id, metrics=named)
            status = "FAILED" if trial.has_failed else "FINISHED"
            client.set_terminated(run_id, status=status, end_time=ended_ms)

    def end(self, scores: Mapping[str, float]) -> None:
        with talking_to_mlflow() as client:
            log_numbers(client, self._run, {}, scores)
            client.set_terminated(self._run)
