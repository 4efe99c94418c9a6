"""Spaces of 8, 16 and 24 hyperparameters: with and without the trust region, and peers.

`python -m benchmarks.many_hyperparameters` (twenty minutes on one core, `--quick` one) prints a
table, writes no file. Functions of the simulated tasks with more hyperparameters than they have
there, most of them mixed and with irrelevant ones; nothing was chosen on them.
"""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import optuna
from numpy.typing import NDArray

from agent.landscapes import floats, hartmann6
from benchmarks.proposers import KNOWN, Arm, floor_with, interquartile_mean, markdown_row, regrets
from benchmarks.tasks import Task, ackley, levy, random_function
from lexmove.agent import trust_region

NUM_DIMS = (8, 16, 24)
NUM_TRIALS = 50
CHECKPOINTS = (16, 25, 50)
NUM_RANDOM_FUNCTIONS = 5
"""For each number of hyperparameters."""

_UNBOUNDED = 10**6


def tasks(num_dims: int) -> Iterator[Task]:
    """The tasks with so many hyperparameters."""
    yield Task(f"levy {num_dims}", floats(num_dims), levy)
    yield Task(f"ackley {num_dims}", floats(num_dims), ackley)
    yield Task(f"hartmann6 in {num_dims}", floats(num_dims), hartmann6)
    for index in range(NUM_RANDOM_FUNCTIONS):
        # Others than the twelve of `tasks.TASKS`, on which the floor was developed.
        yield random_function(100 * num_dims + index, num_dims=num_dims)


ARMS = (
    KNOWN["floor"],
    Arm(name="floor − trust region", play=floor_with(trust_region, "MIN_DIMS", _UNBOUNDED)),
    KNOWN["random"],
    KNOWN["Optuna TPE, multivariate"],
    KNOWN["Optuna GPSampler"],
)


def main() -> None:
    """Plays every arm and prints its rows."""
    options = _options()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = range(1 if options.quick else options.seeds)
    arms = ARMS[:2] if options.quick else ARMS
    print(markdown_row(["hyperparameters", "arm", *(f"@{at}" for at in CHECKPOINTS)]))
    print(markdown_row(["---"] * (2 + len(CHECKPOINTS))))
    every: dict[str, list[NDArray[np.float64]]] = {arm.name: [] for arm in arms}
    for num_dims in NUM_DIMS:
        for arm in arms:
            played = [
                regrets(task, arm, seed, NUM_TRIALS) for task in tasks(num_dims) for seed in seeds
            ]
            every[arm.name] += played
            print(markdown_row([str(num_dims), arm.name, *_figures(played)]), flush=True)
    for arm in arms:
        print(markdown_row(["all", arm.name, *_figures(every[arm.name])]))
    for arm in arms[1:]:
        gap = np.array(every[arms[0].name]) - np.array(every[arm.name])
        print(markdown_row(["all", f"floor less {arm.name}, mean ± error", *_differences(gap)]))


def _figures(played: Sequence[NDArray[np.float64]]) -> list[str]:
    at = np.array(played)
    return [f"{interquartile_mean(at[:, checkpoint - 1]):.3f}" for checkpoint in CHECKPOINTS]


def _differences(gaps: NDArray[np.float64]) -> list[str]:
    columns = [gaps[:, checkpoint - 1] for checkpoint in CHECKPOINTS]
    return [f"{gap.mean():+.3f} ± {gap.std() / len(gap) ** 0.5:.3f}" for gap in columns]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="for each task (default: 4)")
    parser.add_argument("--quick", action="store_true", help="one seed, ours only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
