"""The built-in model on all data of a built-in task, against the classifier that needs no tuning.

    python -m benchmarks.full_data license_category

The configs below were tuned by hand on validation: the best one that `search/record_fine_tuning.py`
measured on 400 texts of a task, at a rate of 1.6e-3, ended at .47 on all 4,313 of license_category
after four epochs. One seed: a quarter of an hour to an hour of one core. The test split is read at
the last epoch alone.
"""

import argparse
import tempfile
import time
from pathlib import Path

from lexmove.job.spec import ModelSpec, TaskSpec
from lexmove.space.search_space import Config
from lexmove.study.trial import Measurement, Segment
from lexmove.trials.objective import FineTuningObjective
from lexmove.trials.reference import reference_scores, trivial_baseline
from lexmove.trials.tasks.task import BUILT_IN, load_task

_TEXT_CONFIG = Config(
    {
        "learning_rate": 3e-4,
        "per_device_train_batch_size": 16,
        "warmup_steps": 0.1,
        "model.freeze_embeddings": True,
    }
)
_CHOICE_CONFIG = Config({**_TEXT_CONFIG, "learning_rate": 1e-4})


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
    config = _TEXT_CONFIG
    if asked.task == "license_mc":
        config = Config({**_CHOICE_CONFIG, "model.encoding": asked.encoding})
    measured: list[Measurement] = []
    begun_s = time.monotonic()

    def report(item: Measurement) -> None:
        measured.append(item)
        print(
            f"epoch {item.fidelity}: {metric} {item.metrics[metric]:.4f} on validation", flush=True
        )

    segment = Segment(trial_id=0, config=config, seed=1, until=asked.epochs)
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=BUILT_IN)
    parser.add_argument("--layers", type=int, default=6, help="of six (default all)")
    parser.add_argument("--max-length", type=int, default=96, help="tokens (default 96)")
    parser.add_argument(
        "--encoding",
        choices=("joint", "separate", "late_interaction"),
        default="separate",
        help="of endings (default separate)",
    )
    parser.add_argument("--epochs", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
