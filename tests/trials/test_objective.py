"""The objective on a real small model: measurements, checkpoints, outcomes."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lexmove.errors import InfeasibleError, TaskError, TrialFailedError, UsageError
from lexmove.space.search_space import Config
from lexmove.study.protocols import UNMEASURED
from lexmove.study.trial import Segment
from lexmove.trials.fine_tuning import FineTuning
from lexmove.trials.metrics import METRICS
from lexmove.trials.objective import FineTuningObjective, close_paused, trial_outcome

CONFIG = Config(
    {
        "learning_rate": 1e-3,
        "per_device_train_batch_size": 16,
        "model.freeze_embeddings": True,
        "model.hidden_dropout": 0.2,
    }
)


@pytest.fixture(scope="module")
def objective(small_task, small_model):
    return FineTuningObjective(task=small_task, model=small_model, max_epochs=3)


def run(objective, folder, *, until=2, after=0, resume_from=None, config=CONFIG, is_warm=False):
    """What is reported; `is_warm` goes on with what this process has just paused, if it may."""
    if not is_warm:
        close_paused()
    reported = []
    segment = Segment(
        trial_id=0, config=config, seed=5, until=until, after=after, resume_from=resume_from
    )
    objective(segment, trial_dir=folder, report=reported.append)
    return reported


def test_every_epoch_is_reported_with_its_checkpoint_in_place(objective, tmp_path):
    seen = []

    def report(measurement):
        assert (Path(measurement.checkpoint) / "model.safetensors").is_file()
        seen.append(measurement)

    segment = Segment(trial_id=0, config=CONFIG, seed=5, until=2)
    objective(segment, trial_dir=tmp_path / "trial", report=report)
    assert [item.fidelity for item in seen] == [1, 2]
    for item in seen:
        assert set(item.metrics) == {"train_loss", *METRICS}
        assert 0 <= item.metrics["f1_macro"] <= 1
        assert item.duration_s > 0
    names = sorted(path.name for path in (tmp_path / "trial").iterdir())
    assert names == ["epoch_1", "epoch_2"], "nothing else is left behind"


def test_a_continued_segment_measures_what_the_uninterrupted_one_does(objective, tmp_path):
    straight = run(objective, tmp_path / "a", until=3)
    first = run(objective, tmp_path / "b", until=1)
    later = run(objective, tmp_path / "b", until=3, after=1, resume_from=first[0].checkpoint)
    assert [item.metrics for item in first + later] == [item.metrics for item in straight]
    again = run(objective, tmp_path / "b", until=2, after=1, resume_from=first[0].checkpoint)
    assert again[0].metrics == straight[1].metrics, "an epoch done twice replaces its checkpoint"


def test_the_process_that_paused_a_trial_goes_on_without_reading_it(objective, tmp_path):
    straight = run(objective, tmp_path / "a", until=3)
    (first,) = run(objective, tmp_path / "b", until=1)
    shutil.rmtree(first.checkpoint)
    later = run(
        objective,
        tmp_path / "b",
        until=3,
        after=1,
        resume_from=first.checkpoint,
        is_warm=True,
    )
    assert [item.metrics for item in later] == [item.metrics for item in straight[1:]]


def test_another_trial_in_between_lets_a_paused_one_go(objective, tmp_path):
    (first,) = run(objective, tmp_path / "a", until=1)
    run(objective, tmp_path / "b", until=3, is_warm=True)
    shutil.rmtree(first.checkpoint)
    with pytest.raises(TrialFailedError, match="is missing"):
        run(objective, tmp_path, until=2, after=1, resume_from=first.checkpoint, is_warm=True)


def test_a_measurement_says_where_its_time_went(objective, tmp_path):
    first, second = run(objective, tmp_path)
    assert set(first.phases_s) >= {"import", "load", "train", "evaluate", "checkpoint"}
    assert set(second.phases_s) == {"train", "evaluate", "checkpoint"}
    for item in (first, second):
        assert 0.8 * item.duration_s < sum(item.phases_s.values()) <= item.duration_s


def test_where_only_the_end_counts_it_is_the_same_and_the_rest_is_not_measured(objective, tmp_path):
    every = run(objective, tmp_path / "a", until=3)
    (last,) = run(replace(objective, every_epoch=False), tmp_path / "b", until=3)
    assert (last.fidelity, last.metrics) == (3, every[-1].metrics)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["epoch_3"]


def test_who_comes_after_a_worker_that_died_goes_on_at_its_last_epoch(
    objective, tmp_path, monkeypatch
):
    """Through the death of the process at any epoch between two measurements."""
    (straight,) = run(replace(objective, every_epoch=False), tmp_path / "a", until=3)
    train_epoch, trained = FineTuning.train_epoch, []

    def dies_once_at_each(self, epoch):
        trained.append(epoch)
        if trained.count(epoch) == 1:
            raise SystemExit
        return train_epoch(self, epoch)

    monkeypatch.setattr(FineTuning, "train_epoch", dies_once_at_each)
    for _ in range(3):
        with pytest.raises(SystemExit):
            run(replace(objective, every_epoch=False), tmp_path / "b", until=3)
    (last,) = run(replace(objective, every_epoch=False), tmp_path / "b", until=3)
    assert trained == [1, 1, 2, 2, 3, 3], "no epoch is trained again"
    assert last.metrics == straight.metrics
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["epoch_3"]


def test_what_another_training_left_unmeasured_is_not_gone_on_with(objective, tmp_path):
    for seed in (5, 6):  # the second finds what the first left when it died
        segment = Segment(trial_id=0, config=CONFIG, seed=seed, until=3)
        reported = []
        replace(objective, every_epoch=False)(
            segment, trial_dir=tmp_path / "a", report=reported.append
        )
        (tmp_path / "a" / "epoch_3").rename(tmp_path / "a" / UNMEASURED)
    (fresh,) = run(replace(objective, every_epoch=False), tmp_path / "b", until=3)
    (other,) = run(replace(objective, every_epoch=False), tmp_path / "a", until=3)
    assert other.metrics == fresh.metrics


def test_further_splits_are_measured_at_the_end_of_the_segment(small_task, small_model, tmp_path):
    objective = FineTuningObjective(
        task=small_task, model=small_model, max_epochs=2, evaluate_on=("validation", "test")
    )
    first, last = run(objective, tmp_path)
    further = {f"test_{name}" for name in METRICS}
    assert set(last.metrics) - set(first.metrics) == further


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"xx"), "is damaged"),
        (lambda folder: (folder / "optimizer.pt").write_bytes(b"xx"), "is damaged"),
        (lambda folder: (folder / "state.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "state.json").unlink(), "is missing"),
        (lambda folder: torch.save({"x": print}, folder / "optimizer.pt"), "is damaged"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_fails_the_trial(objective, tmp_path, damage, message):
    (first,) = run(objective, tmp_path, until=1)
    damage(Path(first.checkpoint))
    with pytest.raises(TrialFailedError, match=f"cannot continue: checkpoint .*{message}"):
        run(objective, tmp_path, until=2, after=1, resume_from=first.checkpoint)


def test_a_checkpoint_of_another_training_fails_the_trial(objective, tmp_path):
    (first,) = run(objective, tmp_path, until=1)
    state = Path(first.checkpoint) / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"seed": 6}))
    with pytest.raises(TrialFailedError, match="has seed = 6, not 5"):
        run(objective, tmp_path, until=2, after=1, resume_from=first.checkpoint)
    with pytest.raises(TrialFailedError, match="after epoch 1: no checkpoint"):
        run(objective, tmp_path, until=2, after=1)


def test_what_report_raises_is_passed_on_unchanged(objective, tmp_path):
    class StopError(Exception):
        pass

    def report(measurement):
        raise StopError

    segment = Segment(trial_id=0, config=CONFIG, seed=5, until=2)
    with pytest.raises(StopError):
        objective(segment, trial_dir=tmp_path, report=report)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"learning_rat": 1.0}, TrialFailedError, "did you mean 'learning_rate'"),
        ({"model.max_length": 600}, InfeasibleError, "beyond the model's 512 positions"),
        ({"model.num_hidden_layers": 9}, TrialFailedError, "'minilm' has 6 layers"),
        ({"learning_rate": 1e30}, TrialFailedError, "^diverged: "),
    ],
)
def test_a_config_that_cannot_work_ends_as_an_outcome(objective, tmp_path, config, error, message):
    with pytest.raises(error, match=message) as caught:
        run(objective, tmp_path, until=3, config=Config(config))
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize(
    ("raised", "error", "reason"),
    [
        (MemoryError("no room"), InfeasibleError, "out of memory: no room"),
        (
            torch.OutOfMemoryError("CUDA is full\nmore"),
            InfeasibleError,
            "out of memory: CUDA is full",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            InfeasibleError,
            "out of memory: DefaultCPUAllocator: can't allocate memory: you tried",
        ),
        (RuntimeError("\nshapes differ\nmore"), TrialFailedError, "RuntimeError: shapes differ"),
        (KeyError(), TrialFailedError, "KeyError: no message"),
        (TaskError("no data"), TrialFailedError, "no data"),
        (InfeasibleError("as it is"), InfeasibleError, "as it is"),
    ],
)
def test_whatever_goes_wrong_gets_one_line_of_cause(raised, error, reason):
    with pytest.raises(error) as caught, trial_outcome():
        raise raised
    assert caught.value.reason == reason


def test_it_travels_light(objective):
    assert pickle.loads(pickle.dumps(objective)) == objective
    assert len(pickle.dumps(objective)) < 2000


def test_a_metric_that_is_not_measured_is_refused_at_once(small_task, small_model):
    with pytest.raises(UsageError, match="unknown metric 'f1'"):
        FineTuningObjective(task=small_task, model=small_model, max_epochs=1, metric="f1")
