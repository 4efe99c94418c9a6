"""Trials per hour at equal epochs: the same configs and seeds, trained to the end by both arms.

lexmove's study goes first: Sobol points, no rungs. The documented way then trains what it tried,
with the seeds that it gave. Each arm has a fresh Ray that was up before, and all else is in its
time. The scores tell whether both did like work: they learn from the same texts in another order,
and the head of plain transformers has a pretrained layer more, so that equal scores are not due.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ray import tune

from benchmarks.speed import documented, studies
from benchmarks.speed.comparison import Comparison, ratio, score
from benchmarks.speed.played import Played
from benchmarks.speed.ray_node import fresh_ray
from benchmarks.speed.setting import PARALLEL, Setting
from benchmarks.speed.spaces import documented_config

_HEAD = ("repeat", "arm", "trials", "seconds", "trials/h", "ratio", "mean score", "best score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both arms on the same configs."""

    ours: Played
    documented: Played

    @property
    def ratio(self) -> float:
        """Our trials per hour divided by those of the documented way."""
        return self.ours.trials_per_hour / self.documented.trials_per_hour


def measure(setting: Setting, folder: Path) -> Comparison:
    """Plays all repeats; files go below `folder`."""
    own, data = folder / "trials_per_hour", folder / "data"
    pairs = [_pair(setting, own / str(seed), data, seed) for seed in range(setting.repeats)]
    return Comparison(
        title=f"Trials per hour: {setting.num_equal} trials of {setting.max_epochs} epochs",
        head=_HEAD,
        rows=[
            row for number, pair in enumerate(pairs, start=1) for row in _rows(str(number), pair)
        ],
        figure=median(pair.ratio for pair in pairs),
    )


def _pair(setting: Setting, folder: Path, data: Path, seed: int) -> Pair:
    with fresh_ray(PARALLEL) as address:
        ours = studies.play(
            setting,
            folder=folder / "lexmove",
            address=address,
            num_trials=setting.num_equal,
            seed=seed,
            eta=None,
            proposer="sobol",
        )
    configs = [documented_config(trial.config, trial.started.seed) for trial in ours.study.trials]
    with fresh_ray(PARALLEL) as address:
        theirs = documented.play(
            tune.grid_search(configs),
            setting=setting,
            data=data,
            folder=folder / "documented",
            address=address,
            num_samples=1,
            seed=seed,
        )
    return Pair(ours=ours.played, documented=theirs)


def _rows(number: str, pair: Pair) -> list[list[str]]:
    return [
        _row(number, "lexmove", pair.ours, ratio(pair.ratio)),
        _row(number, "documented", pair.documented, ""),
    ]


def _row(number: str, arm: str, played: Played, against: str) -> list[str]:
    return [
        number,
        arm,
        str(played.num_trials),
        f"{played.wall_s:.1f}",
        f"{played.trials_per_hour:.0f}",
        against,
        score(played.mean),
        score(played.best),
    ]
