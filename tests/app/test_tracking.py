"""Trackers: every trial arrives once, in MLflow and for TensorBoard, and none stops a study."""

import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.test_running import SPACE, make_job
from lexmove.app.outlets import trackers
from lexmove.app.outlets.tracker import TrackedStudy, TrackedTrial, plain_name
from lexmove.app.outlets.trackers import check_tracker
from lexmove.app.outlets.tracking import tracked
from lexmove.app.preparing import study_spec
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import UsageError
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Ended, Measured, Measurement, Started, TrialStatus

METRIC = "f1_macro"


class Played:
    """A study of a job that is played by hand, its trackers listening."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.job = make_job(folder, track=list(names))
        self.store: TrialStore = open_store(f"sqlite:///{folder}/studies.db")
        if self.job.name not in self.store.names():
            self.store.create(study_spec(self.job, SPACE))
        self.study_dir = StudyDir(folder / "studies" / "s")
        self.told: list[str] = []

    def progress(self, phase: str, study: Study | None) -> None:
        if study is None:
            self.told.append(phase)

    def tracked(self, **options: Any):
        return tracked(self.job, self.store, self.study_dir, self.progress, **options)

    def until_interrupted(self, score: float, *, failed: float | None = None) -> None:
        """A trial, perhaps another one that fails, and Ctrl-C."""
        with self.tracked() as progress:
            self.trial(score, progress=progress)
            if failed is not None:
                self.trial(failed, failed=True, progress=progress)
            raise KeyboardInterrupt

    def trial(self, score: float, *, failed: bool = False, progress: Any = None) -> None:
        """The next trial, two epochs long."""
        study = self.store.load("s")
        trial_id = len(study.trials)
        at = {"at_s": 1.7e9 + trial_id, "trial_id": trial_id}
        config = {"learning_rate": 1e-4 * (1 + trial_id)}
        decision = Decision(proposer="policy", text="learning_rate ×2")
        events: list[Any] = [
            Started(seq=0, **at, config=config, until=4, seed=1, decision=decision)
        ]
        for epoch, value in ((1, score / 2), (2, score)):
            measurement = Measurement(fidelity=epoch, metrics={METRIC: value})
            events.append(Measured(seq=0, **at, measurement=measurement))
        status = TrialStatus.FAILED if failed else TrialStatus.COMPLETED
        events.append(Ended(seq=0, **at, status=status, reason="bad" if failed else None))
        for event in events:
            study = self.store.append("s", _numbered(event, study.num_events))
            progress("trials", study)


def _numbered(event: Any, seq: int) -> Any:
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__ if name != "kind"}
    return type(event)(**{**fields, "seq": seq})


def test_a_metric_of_ones_own_has_a_name_that_every_tracker_takes() -> None:
    assert plain_name("/home/somebody/costs.py:expected_cost") == "costs.py.expected_cost"
    assert plain_name("f1_macro") == "f1_macro"


def test_every_trial_is_a_run_in_mlflow(tmp_path: Path, mlflow_uri: str) -> None:
    from mlflow import MlflowClient

    played = Played(tmp_path, "mlflow")
    with pytest.raises(KeyboardInterrupt):
        played.until_interrupted(0.5, failed=0.1)
    with played.tracked() as progress:  # resumed
        played.trial(0.7, progress=progress)
    assert played.told == []
    client = MlflowClient(tracking_uri=mlflow_uri)
    experiment = client.get_experiment_by_name("lexmove").experiment_id
    runs = client.search_runs([experiment], order_by=["attribute.start_time ASC"])
    (study,) = [run for run in runs if run.data.tags.get("lexmove.kind") == "study"]
    assert study.info.status == "FINISHED"
    assert study.data.metrics["validation"] == 0.7
    assert study.data.tags["lexmove.model"] == "minilm"
    trials = [run for run in runs if run is not study]
    assert [run.info.run_name for run in trials] == ["trial 0", "trial 1", "trial 2"]
    assert [run.info.status for run in trials] == ["FINISHED", "FAILED", "FINISHED"]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {study.info.run_id}
    assert trials[0].data.params == {"learning_rate": "0.0001"}
    assert trials[0].data.metrics == {METRIC: 0.5, f"best_{METRIC}": 0.5}
    assert trials[1].data.tags["lexmove.reason"] == "bad"
    curve = client.get_metric_history(trials[0].info.run_id, METRIC)
    assert [(item.step, item.value) for item in curve] == [(1, 0.25), (2, 0.5)]


def test_tensorboard_reads_hyperparameters_scores_and_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    played = Played(tmp_path, "tensorboard")
    stale = played.study_dir.root / "tensorboard" / "trial_9"
    stale.mkdir(parents=True)
    with played.tracked() as progress:
        played.trial(0.5, progress=progress)
        played.trial(0.7, progress=progress)
    with played.tracked() as progress:  # resumed
        played.trial(0.6, failed=True, progress=progress)
    assert played.told == []
    folder = played.study_dir.root / "tensorboard"
    names = {path.name for path in folder.iterdir()}
    assert names == {"trial_0", "trial_1", "trial_2", "winner"}
    assert len(list((folder / "trial_0").iterdir())) == 1, "written once"
    read = EventAccumulator(str(folder / "trial_1")).Reload()
    assert [(item.step, round(item.value, 3)) for item in read.Scalars(METRIC)] == [
        (1, 0.35),
        (2, 0.7),
    ]
    assert round(read.Scalars(f"best/{METRIC}")[0].value, 3) == 0.7
    contents = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = metadata.parse_session_start_info_plugin_data(contents).hparams
    assert hparams["learning_rate"].number_value == pytest.approx(2e-4)
    winner = EventAccumulator(str(folder / "winner")).Reload()
    assert round(winner.Scalars("winner/validation")[0].value, 3) == 0.7


def test_wandb_is_told_of_every_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []

    def init(**options: Any) -> SimpleNamespace:
        """As much of wandb as is used; its run leaves a folder as wandb's does."""
        (Path(options["dir"]) / "wandb" / f"run-2026-{options['id']}").mkdir(parents=True)
        rows: list[Any] = []
        run = SimpleNamespace(
            options=options,
            rows=rows,
            summary={},
            log=lambda metrics, step: rows.append((step, metrics)),
            finish=lambda exit_code=0: rows.append(exit_code),
        )
        runs.append(run)
        return run

    module = SimpleNamespace(init=init, Settings=dict, __spec__=None)
    monkeypatch.setitem(__import__("sys").modules, "wandb", module)
    monkeypatch.setattr("lexmove.app.outlets.wandb_tracker.check_wandb", lambda: None)
    played = Played(tmp_path, "wandb")
    with pytest.raises(KeyboardInterrupt):
        played.until_interrupted(0.5)
    with played.tracked() as progress:
        played.trial(0.1, failed=True, progress=progress)
    assert played.told == []
    assert [run.options["name"] for run in runs] == ["trial 0", "trial 1", "s: winner"]
    assert {run.options["group"] for run in runs} == {"s"}
    assert runs[0].options["config"] == {"learning_rate": 1e-4}
    assert runs[0].rows == [(1, {METRIC: 0.25}), (2, {METRIC: 0.5}), 0]
    assert runs[0].summary[f"best_{METRIC}"] == 0.5
    assert runs[1].rows[-1] == 1
    assert runs[2].summary["validation"] == 0.5


class Recorder:
    """A tracker that remembers, and fails or waits where it is told to."""

    def __init__(self, *, fails: Collection[int] = (), gate: threading.Event | None = None) -> None:
        self.taken: list[int] = []
        self.scores: list[Mapping[str, float]] = []
        self._fails, self._gate = fails, gate

    def begin(self, study: TrackedStudy) -> Collection[int]:
        return ()

    def take(self, trial: TrackedTrial) -> None:
        if self._gate is not None:
            self._gate.wait(30)
        if trial.trial_id in self._fails:
            raise ConnectionError("nobody answers")
        self.taken.append(trial.trial_id)

    def end(self, scores: Mapping[str, float]) -> None:
        self.scores.append(scores)


def test_a_tracker_that_fails_is_said_once_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(fails=(0, 1))
    monkeypatch.setitem(trackers.MAKERS, "mlflow", lambda: recorder)
    played = Played(tmp_path, "mlflow")
    with played.tracked() as progress:
        for score in (0.1, 0.2, 0.3):
            played.trial(score, progress=progress)
    assert recorder.taken == [2]
    assert recorder.scores[0]["validation"] == 0.3
    assert played.told == [
        "track: mlflow failed (ConnectionError: nobody answers); the study goes on without it",
        "track: mlflow lacks 2 results",
    ]


def test_a_tracker_that_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setitem(trackers.MAKERS, "mlflow", lambda: Recorder(gate=gate))
    played = Played(tmp_path, "mlflow")
    try:
        with played.tracked(patience_s=0.05) as progress:
            for score in (0.1, 0.2):
                played.trial(score, progress=progress)
        assert played.told == ["track: mlflow was left with 3 results to write: it is too slow"]
    finally:
        gate.set()


def test_what_is_not_installed_is_said_before_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("mlflow", "wandb"):
        with pytest.raises(UsageError, match=rf"pip install 'lexmove\[{name}\]'"):
            check_tracker(name)
    check_tracker("tensorboard")
