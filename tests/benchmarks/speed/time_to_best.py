"""Time to the best score of the documented way: random search, every trial trained to its end.

lexmove's study searches the same space with its agent and rungs, for as many epochs as random
search trains. Measured is when each arm first has the score with which random search ends, from the
call of an arm whose Ray is up. Under lexmove's own head the same study is shown, too, and not
counted: that is a better model, not a faster search.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.speed import documented, studies
from benchmarks.speed.comparison import Comparison, ratio, score, seconds
from benchmarks.speed.played import Played
from benchmarks.speed.ray_node import fresh_ray
from benchmarks.speed.setting import PARALLEL, Setting
from benchmarks.speed.spaces import Head, documented_space
from lexmove.study.allowance import expected_epochs
from lexmove.study.fidelity import FidelityPlan

_HEAD = (
    "lexmove's head",
    "documented: best, reached, ended",
    "lexmove: best, reached the documented one's, ended",
    "ratio",
    "ratio to the whole run",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """lexmove under one head against one random search."""

    head: Head
    ours: Played
    documented: Played

    @property
    def reached_s(self) -> float:
        """When lexmove had the documented way's best."""
        return self.ours.reached_s(self.documented.best)

    @property
    def ratio(self) -> float:
        """That divided by when the documented way had it."""
        return self.reached_s / self.documented.reached_s(self.documented.best)

    @property
    def ratio_to_whole(self) -> float:
        """That divided by the whole run of the documented way."""
        return self.reached_s / self.documented.wall_s


def measure(setting: Setting, folder: Path) -> Comparison:
    """Plays one race for each seed; files go below `folder`."""
    own, data = folder / "time_to_best", folder / "data"
    races = [
        race
        for seed in range(setting.repeats)
        for race in _races(setting, own / str(seed), data, seed)
    ]
    num_trials = equal_trials(setting)
    return Comparison(
        title=f"Time to best: random search of {setting.num_random} trials of"
        f" {setting.max_epochs} epochs, lexmove with {num_trials} trials and rungs",
        head=_HEAD,
        rows=[_row(race) for race in races],
        figure=median(race.ratio for race in races if race.head == "stock"),
    )


def equal_trials(setting: Setting) -> int:
    """The most trials of a study with rungs that train no more epochs than random search."""
    plan = FidelityPlan(maximum=setting.max_epochs, eta=studies.ETA)
    num_epochs = setting.num_random * setting.max_epochs
    return max(num for num in range(1, num_epochs + 1) if expected_epochs(plan, num) <= num_epochs)


def _races(setting: Setting, folder: Path, data: Path, seed: int) -> list[Race]:
    with fresh_ray(PARALLEL) as address:
        theirs = documented.play(
            documented_space(),
            setting=setting,
            data=data,
            folder=folder / "documented",
            address=address,
            num_samples=setting.num_random,
            seed=seed,
        )
    heads: tuple[Head, ...] = ("stock", "own") if setting.with_own_head else ("stock",)
    return [
        Race(head=head, ours=_searched(setting, folder / head, seed, head), documented=theirs)
        for head in heads
    ]


def _searched(setting: Setting, folder: Path, seed: int, head: Head) -> Played:
    with fresh_ray(PARALLEL) as address:
        return studies.play(
            setting,
            folder=folder,
            address=address,
            num_trials=equal_trials(setting),
            seed=seed,
            head=head,
        ).played


def _row(race: Race) -> list[str]:
    theirs, ours = race.documented, race.ours
    return [
        race.head,
        f"{score(theirs.best)}, {seconds(theirs.reached_s(theirs.best))}, {seconds(theirs.wall_s)}",
        f"{score(ours.best)}, {seconds(race.reached_s)}, {seconds(ours.wall_s)}",
        ratio(race.ratio),
        ratio(race.ratio_to_whole),
    ]
