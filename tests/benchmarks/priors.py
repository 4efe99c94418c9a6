"""What a user's priors bring or cost, on the simulated tasks; prints a table, writes no file.

`python -m benchmarks.priors` (nine minutes on one core). Every hyperparameter gets a prior whose
middle is drawn around its value in the best of 4,096 configs, as somebody would say it who has
tuned such a model before; "wrong" priors lie around the other end of the range instead, or around
another category. The default config of each study is the middle of its priors, as in a job.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.proposers import Arm, by_proposer, interquartile_mean, regrets
from benchmarks.tasks import TASKS, Task
from lexmove.agent.baselines import make_proposer
from lexmove.space.prior import NormalPrior, Prior, WeightsPrior
from lexmove.space.search_space import Hyperparameter, SearchSpace

CHECKPOINTS = (5, 10, 16, 25, 50)
NUM_DRAWS = 4096

_MISS, _WIDTH = 0.1, 0.1
"""Standard deviations in unit ranges: of the middle around the truth, and of the prior."""

_WEIGHT = 4.0
"""Of the level that is believed in; the others have 1."""


@dataclass(frozen=True, kw_only=True)
class Belief:
    """A row: how priors are made, who searches, and whether they are all it is told."""

    name: str
    place: Callable[[float], float] | None
    proposer: str
    keeps_priors: bool = True


BELIEFS = (
    Belief(name="no priors, policy", place=None, proposer="policy"),
    Belief(name="good, policy", place=lambda unit: unit, proposer="policy"),
    Belief(
        name="good, as default only", place=lambda unit: unit, proposer="policy", keeps_priors=False
    ),
    Belief(name="good, random draws", place=lambda unit: unit, proposer="random"),
    Belief(name="wrong, policy", place=lambda unit: (unit + 0.5) % 1.0, proposer="policy"),
    Belief(
        name="wrong, as default only",
        place=lambda unit: (unit + 0.5) % 1.0,
        proposer="policy",
        keeps_priors=False,
    ),
)


def believing(task: Task, belief: Belief, seed: int) -> SearchSpace:
    """The task's space with priors, and with defaults in their middle."""
    if belief.place is None:
        return task.space
    rng = np.random.default_rng([seed, 1])
    drawn = np.random.default_rng(0)
    configs = [task.space.sample(drawn) for _ in range(NUM_DRAWS)]
    best = task.space.to_unit(max(configs, key=task.objective))
    searched = iter(best)
    items = []
    for item in task.space.hyperparameters:
        if item in task.space.searched:
            item = _believed(item, belief.place(float(next(searched))), rng)  # noqa: PLW2901
        items.append(item if belief.keeps_priors else replace(item, prior=None))
    return replace(task.space, hyperparameters=tuple(items))


def _believed(item: Hyperparameter, unit: float, rng: np.random.Generator) -> Hyperparameter:
    prior: Prior
    if item.domain.is_ordered:
        unit = float(np.clip(unit + _MISS * rng.standard_normal(), 0.0, 1.0))
        prior = NormalPrior(mean=unit, std=_WIDTH)
    else:
        num = item.domain.num_levels or 1
        level = min(int(unit * num), num - 1)
        prior = WeightsPrior(weights=tuple(_WEIGHT if i == level else 1.0 for i in range(num)))
    domain = replace(item.domain, default=item.domain.from_unit(unit))  # type: ignore[call-arg]
    return replace(item, domain=domain, prior=prior)


def main() -> None:
    """Plays every row and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="seeds for each task")
    options = parser.parse_args()
    num_trials = CHECKPOINTS[-1]
    print(f"Normalised regret, {len(TASKS)} tasks, {options.seeds} seeds: IQMs, then means.\n")
    print(_row("", [f"@{at}" for at in CHECKPOINTS] * 2), flush=True)
    for belief in BELIEFS:
        played = np.array(
            [
                _played(task, belief, seed, num_trials)
                for task in TASKS
                for seed in range(options.seeds)
            ]
        )
        print(_row(belief.name, _figures(played)), flush=True)


def _played(task: Task, belief: Belief, seed: int, num_trials: int) -> NDArray[np.float64]:
    arm = Arm(name=belief.name, play=by_proposer(lambda: make_proposer(belief.proposer)))
    return regrets(task, arm, seed, num_trials, space=believing(task, belief, seed))


def _figures(played: NDArray[np.float64]) -> list[str]:
    columns = [played[:, at - 1] for at in CHECKPOINTS]
    return [f"{interquartile_mean(column):.3f}" for column in columns] + [
        f"{column.mean():.3f}" for column in columns
    ]


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:24}" + "".join(f"  {cell:>5}" for cell in cells)


if __name__ == "__main__":
    main()
