"""Compares proposers on the simulated tasks, one trial at a time; prints a table, writes no file.

`make bench-proposers` runs it. A row appears when its arm is through; the columns of pairs count
the (task, seed) pairs in which an arm of the policy has less regret than the row's at 25 trials,
and those in which it has more.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from unittest.mock import patch

import numpy as np
import optuna
from numpy.typing import NDArray

from agent.landscapes import Objective, new_study, play
from benchmarks.tasks import TASKS, Task
from lexmove.agent.baselines import make_proposer
from lexmove.agent.proposer import PolicyProposer
from lexmove.space.domain import Categorical, Float, Integer, Ordinal, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.protocols import Proposer

NUM_TRIALS = 50
CHECKPOINTS = (10, 16, 25, 50)
PAIRS_AT = 25

Play = Callable[[SearchSpace, Objective, int, int], None]
"""Evaluates an objective over a space: the seed, then how many trials."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of the table."""

    name: str
    play: Play


def by_proposer(make: Callable[[], Proposer]) -> Play:
    """Plays a proposer of this project."""

    def run(space: SearchSpace, objective: Objective, seed: int, num_trials: int) -> None:
        play(new_study(space, num_trials=num_trials, seed=seed), make(), objective)

    return run


def by_optuna(make: Callable[[int], optuna.samplers.BaseSampler]) -> Play:
    """Plays an Optuna sampler from the space's default on."""

    def run(space: SearchSpace, objective: Objective, seed: int, num_trials: int) -> None:
        study = optuna.create_study(direction="maximize", sampler=make(seed))
        study.enqueue_trial(dict(space.default))
        for _ in range(num_trials):
            trial = study.ask()
            value = objective(_suggest(trial, space))
            state = optuna.trial.TrialState.FAIL if value is None else None
            study.tell(trial, value, state=state)

    return run


def _suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Value]:
    config: dict[str, Value] = {}
    for item in space.parents_first:
        if all(config.get(parent) in values for parent, values in item.when.items()):
            config[item.name] = _suggest_one(trial, item)
    return config


def _suggest_one(trial: optuna.Trial, item: Hyperparameter) -> Value:
    match item.domain:
        case Float(low=low, high=high, log=log):
            return trial.suggest_float(item.name, low, high, log=log)
        case Integer(low=low, high=high, log=log):
            return trial.suggest_int(item.name, low, high, log=log)
        case Ordinal(values=values):
            # As a whole number: Optuna has no listed values with an order.
            return values[trial.suggest_int(f"{item.name}_index", 0, len(values) - 1)]
        case Categorical(values=values):
            return trial.suggest_categorical(item.name, values)
    raise AssertionError(item.domain)


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=True)


def _gp(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed)


OURS = (
    Arm(name="policy, likeliest", play=by_proposer(PolicyProposer)),
    Arm(name="policy, drawn", play=by_proposer(lambda: PolicyProposer(sample=True))),
)
PEERS = (
    Arm(name="floor", play=by_proposer(lambda: make_proposer("floor"))),
    Arm(name="random", play=by_proposer(lambda: make_proposer("random"))),
    Arm(name="sobol", play=by_proposer(lambda: make_proposer("sobol"))),
    Arm(name="hill_climbing", play=by_proposer(lambda: make_proposer("hill_climbing"))),
    Arm(name="Optuna TPE, multivariate", play=by_optuna(_tpe)),
    Arm(name="Optuna GPSampler", play=by_optuna(_gp)),
)


KNOWN = {arm.name: arm for arm in PEERS}
"""The same by name."""


def floor_with(module: ModuleType, constant: str, value: object) -> Play:
    """Plays the floor with another value of a constant of one of its modules."""

    def run(space: SearchSpace, objective: Objective, seed: int, num_trials: int) -> None:
        with patch.object(module, constant, value):
            KNOWN["floor"].play(space, objective, seed, num_trials)

    return run


def markdown_row(cells: Sequence[str]) -> str:
    """One row of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def regrets(
    task: Task, arm: Arm, seed: int, num_trials: int, *, space: SearchSpace | None = None
) -> NDArray[np.float64]:
    """Normalised regret (num_trials,) after each trial; `space` is the task's with priors."""
    values: list[float] = []

    def recorded(config: dict[str, Value]) -> float:
        values.append(task.objective(config))
        return values[-1]

    arm.play(space or task.space, recorded, seed, num_trials)
    reached = task.regret(np.array(values))
    # A proposer that has tried every config keeps what it has.
    return np.pad(reached, (0, num_trials - len(reached)), mode="edge")


def interquartile_mean(numbers: NDArray[np.float64]) -> float:
    """The mean without the lowest and the highest quarter."""
    ordered = np.sort(numbers.ravel())
    quarter = ordered.size // 4
    return float(ordered[quarter : ordered.size - quarter].mean())


def main() -> None:
    """Plays every arm and prints its row."""
    options = _options()
    tasks, num_trials = (TASKS[::4], PAIRS_AT) if options.quick else (TASKS, NUM_TRIALS)
    seeds = range(1 if options.quick else options.seeds)
    checkpoints = [at for at in CHECKPOINTS if at <= num_trials]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"Normalised regret, {len(tasks)} tasks, {len(seeds)} seeds: interquartile means, means;")
    print(f"pairs won:lost at {PAIRS_AT} trials by the likeliest and by drawing.\n")
    print(_row("", [*(f"@{at}" for at in checkpoints)] * 2 + ["likeliest", "drawn"]), flush=True)
    ours: list[NDArray[np.float64]] = []
    for arm in (*OURS, *PEERS):
        played = np.array(
            [[regrets(task, arm, seed, num_trials) for seed in seeds] for task in tasks]
        )
        figures = [played[:, :, at - 1] for at in checkpoints]
        cells = [f"{interquartile_mean(figure):.3f}" for figure in figures]
        cells += [f"{figure.mean():.3f}" for figure in figures]
        cells += [_pairs(one, played) for one in ours]
        print(_row(arm.name, cells), flush=True)
        ours += [played] if arm in OURS else []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="seeds for each task")
    parser.add_argument(
        "--quick", action="store_true", help="every fourth task, one seed, 25 trials"
    )
    return parser.parse_args()


def _pairs(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    gap = theirs[:, :, PAIRS_AT - 1] - ours[:, :, PAIRS_AT - 1]
    return f"{(gap > 0).sum()}:{(gap < 0).sum()}"


def _row(name: str, cells: list[str]) -> str:
    return f"{name:24}" + "".join(f"  {cell:>5}" for cell in cells)


if __name__ == "__main__":
    with warnings.catch_warnings():
        # Optuna calls the multivariate TPE experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        main()
