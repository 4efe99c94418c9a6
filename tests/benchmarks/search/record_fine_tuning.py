"""Extends the table of measured fine-tunings: the built-in model, tasks and small space.

    python -m benchmarks.search.record_fine_tuning --minutes 100    # adds to the log
    python -m benchmarks.search.record_fine_tuning --tasks license_role --configs 100
    python -m benchmarks.search.record_fine_tuning --export         # log into the table

The same configs on every task: the space's default is number 0, the others follow a scrambled
Sobol sequence, so that any first part of the list covers the space. Runs are interleaved: a
config on all tasks, then the next. Every tenth config has two further seeds. What log or table
holds already is not measured again, so a stopped recording goes on and a new task is filled up.
One process, one thread; costs are processor time and thus bear a loaded machine.
"""

import argparse
import gc
import time
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.search.fine_tuning_runs import (
    SERIES,
    Key,
    Run,
    Status,
    append,
    merged,
    read_log,
    read_table,
    write_table,
)
from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.job.spec import ModelSpec, TaskSpec
from lexmove.space.loading import load_space
from lexmove.space.search_space import Config, SearchSpace
from lexmove.trials.prepared import Preparation, Prepared, prepare
from lexmove.trials.tasks.cache import default_cache_dir

SPACE = Path(__file__).parents[3] / "search_spaces" / "encoder_small.yaml"
MODEL = ModelSpec(name="minilm", num_hidden_layers=1, max_length=40)
MAX_EPOCHS = 6
TASKS = {
    name: TaskSpec(name=name, max_train=400, max_validation=400, max_test=400)
    for name in ("license_category", "license_role", "license_families", "license_listing")
}
NUM_CONFIGS = 1025
"""The default and 2^10 points of the sequence: more than anyone will measure."""

_REPEAT_EVERY, _NUM_SEEDS = 10, 3


def configs(space: SearchSpace) -> list[Config]:
    """The configs by number."""
    from scipy.stats import qmc

    units = qmc.Sobol(len(space.searched), scramble=True, seed=0).random_base2(10)
    return [space.default, *(space.from_unit(row) for row in units)]


def seed_of(config_id: int, repeat: int) -> int:
    """The seed of a run: the same on every task."""
    return int(np.random.SeedSequence([config_id, repeat]).generate_state(1)[0]) % 2**31


def missing(
    done: set[Key], tasks: Collection[str] = tuple(TASKS), num_configs: int = NUM_CONFIGS
) -> Iterator[Key]:
    """The runs that are not done, in the order in which they are to be done."""
    for config_id in range(num_configs):
        for task in tasks:
            for repeat in range(_NUM_SEEDS if config_id % _REPEAT_EVERY == 0 else 1):
                if (task, config_id, repeat) not in done:
                    yield task, config_id, repeat


def missing_of_the_best(
    runs: list[Run], num_best: int, tasks: Collection[str] = tuple(TASKS)
) -> list[Key]:
    """Further seeds of every task's best configs: a single lucky run must not be the optimum."""
    done = {run.key for run in runs}
    keys = []
    for task in tasks:
        ended = [run for run in runs if run.task == task and run.status == "completed"]
        ended.sort(key=lambda run: -run.epochs["validation_f1_macro"][-1])
        best = list(dict.fromkeys(run.config_id for run in ended))[:num_best]
        keys += [(task, config_id, repeat) for config_id in best for repeat in range(_NUM_SEEDS)]
    return [key for key in keys if key not in done]


@cache
def _data(task: str) -> Prepared:
    return prepare(
        Preparation(task=TASKS[task], model_name=MODEL.name, max_length=MODEL.max_length)
    )


def measure(key: Key, config: Config) -> Run:
    """Trains as a trial does, and scores validation and test after every epoch."""
    from lexmove.trials.objective import trial_outcome

    task, config_id, repeat = key
    series: dict[str, list[float]] = {name: [] for name in SERIES}
    status: Status = "completed"
    reason = None
    try:
        with trial_outcome():
            _train(_data(task), config, seed_of(config_id, repeat), series)
    except TrialFailedError as error:
        status, reason = "failed", error.reason
    except InfeasibleError as error:
        status, reason = "infeasible", error.reason
    gc.collect()
    return Run(
        task=task,
        config_id=config_id,
        repeat=repeat,
        seed=seed_of(config_id, repeat),
        config=dict(config),
        status=status,
        reason=reason,
        epochs={name: tuple(values) for name, values in series.items()},
    )


def _train(data: Prepared, config: Config, seed: int, series: dict[str, list[float]]) -> None:
    from lexmove.trials.fine_tuning import FineTuning, Plan
    from lexmove.trials.model import load_pretrained, resolve_precision
    from lexmove.trials.prediction import DecisionRule
    from lexmove.trials.recipe import Recipe
    from lexmove.trials.scoring import scored

    recipe = Recipe.from_config(config, MODEL)
    rule = DecisionRule(is_multi_label=data.is_multi_label, threshold=recipe.threshold)
    plan = Plan(
        recipe=recipe,
        num_labels=len(data.labels),
        max_epochs=MAX_EPOCHS,
        seed=seed,
        precision=resolve_precision(MODEL.precision),
    )
    pretrained = load_pretrained(MODEL.name, MODEL.num_hidden_layers)
    training = FineTuning(pretrained, data.splits["train"], plan)
    try:
        for epoch in range(1, MAX_EPOCHS + 1):
            since = time.process_time()
            values = {"train_loss": training.train_epoch(epoch)}
            trained = time.process_time()
            for split in ("validation", "test"):
                tokens = data.splits[split]
                logits = training.logits(tokens)
                metrics = scored(
                    rule,
                    logits,
                    tokens.labels,
                    metric="f1_macro",
                    no_label_column=data.no_label_column,
                )
                values |= {f"{split}_{name}": value for name, value in metrics.items()}
            values["train_s"] = trained - since
            values["evaluation_s"] = time.process_time() - trained
            for name in SERIES:
                series[name].append(values[name])
    finally:
        training.close()


def record(log: Path, todo: Iterable[Key], *, minutes: float) -> None:
    """Measures one after the other until that much processor time is spent."""
    import torch

    torch.set_num_threads(1)
    listed = configs(load_space(SPACE))
    for key in todo:
        if time.process_time() > 60 * minutes:
            break
        run = measure(key, listed[key[1]])
        append(log, run)
        _say(run)


def _say(run: Run) -> None:
    scores = " ".join(f"{value:.3f}" for value in run.epochs["validation_f1_macro"])
    cost_s = sum(run.epochs["train_s"]) + sum(run.epochs["evaluation_s"])
    where = f"{run.task} {run.config_id}.{run.repeat}"
    print(f"{where}: {scores} {run.reason or ''} {cost_s:.1f} s", flush=True)


def export(log: Path) -> None:
    """Joins log and table into the table, with the references on the same data."""
    from lexmove.trials.model import resolve_precision
    from lexmove.trials.reference import reference_scores
    from lexmove.trials.tasks.task import load_task

    runs = merged(read_table()[0], read_log(log))
    measured = [name for name in TASKS if any(run.task == name for run in runs)]
    references = {name: reference_scores(load_task(TASKS[name])) for name in measured}
    about = {
        "space": load_space(SPACE).to_json(),
        "model": MODEL.model_dump() | {"precision": resolve_precision(MODEL.precision)},
        "max_epochs": MAX_EPOCHS,
        "tasks": {name: TASKS[name].model_dump(exclude_none=True) for name in measured},
        "references": {
            name: {"validation": scores.validation, "test": scores.test}
            for name, scores in references.items()
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "lexmove")},
    }
    write_table(runs, about)


def main() -> None:
    """Records or exports, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="processor time to spend (default 10)"
    )
    parser.add_argument(
        "--repeat-best", type=int, default=0, metavar="N", help="seeds for the N best instead"
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=tuple(TASKS))
    parser.add_argument(
        "--configs", type=int, default=NUM_CONFIGS, metavar="N", help="the first N configs alone"
    )
    parser.add_argument("--export", action="store_true", help="write the table from the log")
    parser.add_argument("--log", type=Path, default=default_cache_dir() / "fine_tuning_runs.jsonl")
    args = parser.parse_args()
    if args.export:
        export(args.log)
        return
    runs = merged(read_table()[0], read_log(args.log))
    if args.repeat_best:
        todo: Iterable[Key] = missing_of_the_best(runs, args.repeat_best, args.tasks)
    else:
        todo = missing({run.key for run in runs}, args.tasks, args.configs)
    record(args.log, todo, minutes=args.minutes)


if __name__ == "__main__":
    main()
