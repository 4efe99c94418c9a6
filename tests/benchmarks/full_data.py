"""The built-in model on all data of a built-in task, against the classifier that needs no tuning.

    python -m benchmarks.full_data license_category

The config is the best of those that `search/record_fine_tuning.py` measured on a part of the same
task (72 random ones and the default, by mean validation macro-F1); for `license_mc`, which that
table lacks, the one below, which was tuned by hand on validation. A trial, one seed: minutes to an
hour of one core. The test split is read at the last epoch alone.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.search.fine_tuning_table import by_data
from lexmove.job.spec import ModelSpec, TaskSpec
from lexmove.space.search_space import Config
from lexmove.study.trial import Measurement, Segment
from lexmove.trials.objective import FineTuningObjective
from lexmove.trials.reference import reference_scores, trivial_baseline
from lexmove.trials.tasks.task import BUILT_IN, load_task

_CHOICE_CONFIG = {
    "learning_rate": 1e-4,
    "per_device_train_batch_size": 16,
    "warmup_steps": 0.1,
    "model.encoding": "separate",
    "model.freeze_layers": 3,
}


def main() -> None:
    """Prints an epoch a line, then the row of the README's table."""
    asked = _arguments()
    task = TaskSpec(name=asked.task)
    metric = "accuracy" if asked.task == "license_mc" else "f1_macro"
    objective = FineTuningObjective(
        task=task,
        model=ModelSpec(num_hidden_layers=asked.layers, max_length=asked.max_length),
        max_epochs=asked.epochs,
        metric=metric,
        evaluate_on=("validation", "test"),
    )
    measured: list[Measurement] = []
    begun_s = time.monotonic()

    def report(item: Measurement) -> None:
        measured.append(item)
        print(
            f"epoch {item.fidelity}: {metric} {item.metrics[metric]:.4f} on validation", flush=True
        )

    segment = Segment(trial_id=0, config=tuned_config(asked.task), seed=1, until=asked.epochs)
    with tempfile.TemporaryDirectory() as folder:
        objective(segment, trial_dir=Path(folder), report=report)
    data = load_task(task)
    reference = reference_scores(data, metric=metric)
    trivial = trivial_baseline(data, metric=metric)
    last = measured[-1].metrics
    print(
        f"| `{asked.task}` | {metric} | {trivial[metric]:.3f} | {reference.validation[metric]:.3f}"
        f" / {reference.test[metric]:.3f} | {last[metric]:.3f} / {last[f'test_{metric}']:.3f} |"
        f" {(time.monotonic() - begun_s) / 60:.0f} min |"
    )


def tuned_config(task: str) -> Config:
    """The best measured config of a task."""
    if task == "license_mc":
        return Config(_CHOICE_CONFIG)
    table = by_data()[task]
    return table.configs[int(np.argmax(table.curves("validation")[:, -1]))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=BUILT_IN)
    parser.add_argument("--layers", type=int, default=2, help="of six (default 2, as measured)")
    parser.add_argument("--max-length", type=int, default=96, help="tokens (default 96)")
    parser.add_argument("--epochs", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    main()
