"""The targets: for each a measure, its figure, the target, and whether it is met.

What was not measured counts as short.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.search.setting import Axis, Setting
from benchmarks.search.standings import MIN_RANKED, Standings, covered
from benchmarks.search.statistics import (
    Scores,
    average_ranks,
    interquartile_mean,
    iqm_difference,
    mean_difference,
    on,
    shared,
)

SHIPPED, FLOOR = "lexmove", "lexmove floor"
LEARNED, MEMORY = "lexmove, learned", "lexmove, memory"
TPE = "Optuna TPE"
EPOCH_RIVALS = ("random + ASHA", "Optuna TPE + Hyperband", "SMAC3 multi-fidelity")
"""Each counts with its first rung as shipped and tuned: any arm whose name begins so."""

UNSEEN = (
    "hpobench",
    "fcnet",
    "nasbench201",
    "functions",
    "crash_noise",
    "curves",
    "fine_tuning",
)
"""Families on which nothing was trained.

Three rules of the floor were looked at on them before they were kept: see the project's README.
"""

_FINE_TUNING, _CRASHES = ("fine_tuning",), ("crash_noise",)
_MARGIN = 0.005
_MIN_BETTER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One line; `figure` is None where nothing was measured."""

    measure: str
    figure: str | None
    target: str
    is_met: bool

    @property
    def line(self) -> str:
        """The line in words."""
        figure = "not measured" if self.figure is None else self.figure
        return f"{self.measure}: {figure}; target {self.target}; {'ok' if self.is_met else 'short'}"


def targets(standings: Standings) -> tuple[Target, ...]:
    """All targets, in the order of the table."""
    return tuple(_targets(standings))


def _targets(standings: Standings) -> Iterator[Target]:
    for at in (25, 50):
        yield _not_above_best_peer(standings, at)
        yield _ratio(standings, _Where("trials", 1, at), _only(TPE), "TPE", 0.6)
    yield _ratio(standings, _Where("trials", 8, 64), _only(TPE), "TPE with constant liar", 0.5)
    yield _ratio(standings, _Where("trials", 8, 64), _any_peer, "the best peer", 0.8)
    for at in (5, 10):
        yield _ratio(standings, _Where("epochs", 1, at), _epoch_rival, "the best rival", 0.5)
    for at in (20, 40):
        yield _ratio(standings, _Where("time", 1, at), _only(TPE), "TPE", 0.6)
    yield _memory(standings, "trials", ours_at=8, theirs_at=32)
    yield _memory(standings, "epochs", ours_at=2.5, theirs_at=10)
    yield _same_starts(standings, "trials", at=8)
    yield _same_starts(standings, "epochs", at=10)
    yield _first_under_crashes(standings)
    yield _learned_nowhere_worse(standings)
    yield _learned_better(standings)


@dataclass(frozen=True, slots=True)
class _Where:
    """Which regrets: axis, parallelism, checkpoint, and whether starts were given."""

    axis: Axis
    parallel: int
    at: float
    starts: bool = False

    @property
    def words(self) -> str:
        what = {"trials": "full fidelity", "epochs": "epochs", "time": "by the clock"}[self.axis]
        given = ", same starts" if self.starts else ""
        return f"{what}, q = {self.parallel}{given}, @{self.at:g}"

    def setting(self, standings: Standings) -> Setting | None:
        return standings.setting(self.axis, self.parallel, at=self.at, starts=self.starts)


_Chosen = Callable[[Standings, Setting, str], bool]
"""Whether an arm is among those that are compared with."""


def _any_peer(standings: Standings, setting: Setting, arm: str) -> bool:
    return standings.group(setting, arm) == "peer"


def _only(name: str) -> _Chosen:
    def chosen(standings: Standings, setting: Setting, arm: str) -> bool:
        return arm == name

    return chosen


def _epoch_rival(standings: Standings, setting: Setting, arm: str) -> bool:
    return arm.startswith(EPOCH_RIVALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Duel:
    """Our scores and a rival's, on the pairs of both; the hardest of `num_rivals`."""

    rival: str
    num_rivals: int
    ours: Scores
    theirs: Scores

    @property
    def words(self) -> str:
        among = "" if self.num_rivals == 1 else f", hardest of {self.num_rivals}"
        return f"({self.rival}{among}; {len(self.ours)} pairs)"

    @property
    def iqms(self) -> tuple[float, float]:
        return _iqm(self.ours), _iqm(self.theirs)

    @property
    def ratio(self) -> float:
        ours, theirs = self.iqms
        if theirs:
            return ours / theirs
        return float("inf") if ours else 1.0


def _iqm(scores: Scores) -> float:
    return float(interquartile_mean(on(scores, tuple(scores))))


def _duels(
    standings: Standings,
    where: _Where,
    chosen: _Chosen,
    *,
    families: Collection[str] = UNSEEN,
    ours: str = SHIPPED,
    theirs_at: float | None = None,
) -> list[_Duel]:
    """One for each rival that was measured. `theirs_at` is the rivals' checkpoint if another.

    Every rival meets us on the pairs of task and seed that both have: slow ones have fewer seeds.
    """
    setting = where.setting(standings)
    if setting is None:
        return []
    mine = standings.scores(setting, ours, where.at, families=families)
    at = where.at if theirs_at is None else theirs_at
    rivals = {
        arm: standings.scores(setting, arm, at, families=families)
        for arm in standings.arms(setting)
        if arm != ours and chosen(standings, setting, arm)
    }
    able = covered(rivals, like=mine) if mine else {}
    return [
        _Duel(
            rival=arm,
            num_rivals=len(able),
            ours={pair: mine[pair] for pair in shared(mine, theirs)},
            theirs={pair: theirs[pair] for pair in shared(mine, theirs)},
        )
        for arm, theirs in able.items()
    ]


def _duel(
    standings: Standings,
    where: _Where,
    chosen: _Chosen,
    *,
    families: Collection[str] = UNSEEN,
    ours: str = SHIPPED,
    theirs_at: float | None = None,
) -> _Duel | None:
    """The one that stands worst for us, by the ratio; None where either side was not measured."""
    duels = _duels(standings, where, chosen, families=families, ours=ours, theirs_at=theirs_at)
    return max(duels, key=lambda duel: duel.ratio, default=None)


def _not_above_best_peer(standings: Standings, at: float) -> Target:
    where = _Where("trials", 1, at)
    measure = f"{where.words}, unseen families: IQM regret less the best peer's"
    goal = f"upper 95 % bound at most +{_MARGIN}"
    gaps = [
        (iqm_difference(duel.ours, duel.theirs), duel)
        for duel in _duels(standings, where, _any_peer)
    ]
    if not gaps:
        return Target(measure=measure, figure=None, target=goal, is_met=False)
    gap, duel = max(gaps, key=lambda pair: pair[0].high)
    figure = f"{gap.value:+.4f}, bound {gap.high:+.4f} {duel.words}"
    return Target(measure=measure, figure=figure, target=goal, is_met=gap.high <= _MARGIN)


def _ratio(
    standings: Standings, where: _Where, chosen: _Chosen, whose: str, at_most: float
) -> Target:
    duel = _duel(standings, where, chosen)
    measure = f"{where.words}, unseen families: IQM regret over that of {whose}"
    goal = f"at most {at_most}"
    if duel is None:
        return Target(measure=measure, figure=None, target=goal, is_met=False)
    ours, theirs = duel.iqms
    figure = f"{duel.ratio:.2f} = {ours:.4f} / {theirs:.4f} {duel.words}"
    return Target(measure=measure, figure=figure, target=goal, is_met=ours <= at_most * theirs)


def _memory(standings: Standings, axis: Axis, *, ours_at: float, theirs_at: float) -> Target:
    unit = "trials" if axis == "trials" else "full trainings"
    measure = f"fine-tuning table with memory, {axis}: ours @{ours_at:g} {unit}"
    goal = f"at most the best peer's @{theirs_at:g}"
    duel = _duel(
        standings,
        _Where(axis, 1, ours_at),
        _any_peer,
        families=_FINE_TUNING,
        ours=MEMORY,
        theirs_at=theirs_at,
    )
    if duel is None:
        return Target(measure=measure, figure=None, target=goal, is_met=False)
    ours, theirs = duel.iqms
    figure = f"{ours:.4f} against {theirs:.4f} {duel.words}"
    return Target(measure=measure, figure=figure, target=goal, is_met=ours <= theirs)


def _same_starts(standings: Standings, axis: Axis, *, at: float) -> Target:
    where = _Where(axis, 1, at, starts=True)
    measure = f"fine-tuning table, {where.words}: IQM regret less the best peer's"
    goal = "at most 0"
    duel = _duel(standings, where, _any_peer, families=_FINE_TUNING)
    if duel is None:
        return Target(measure=measure, figure=None, target=goal, is_met=False)
    gap = iqm_difference(duel.ours, duel.theirs)
    figure = f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) {duel.words}"
    return Target(measure=measure, figure=figure, target=goal, is_met=gap.value <= 0)


def _first_under_crashes(standings: Standings) -> Target:
    where = _Where("trials", 1, 50)
    measure = f"crash regions and noise, {where.words}: mean rank of {SHIPPED} among all arms"
    goal = "the first"
    setting = where.setting(standings)
    scores: dict[str, Scores] = {}
    if setting is not None:
        for arm in standings.arms(setting):
            scores[arm] = standings.scores(setting, arm, where.at, families=_CRASHES)
    ours = scores.get(SHIPPED)
    able = covered(scores, like=ours, share=MIN_RANKED) if ours else {}
    ranks = average_ranks(able)
    if len(ranks) < 2:
        return Target(measure=measure, figure=None, target=goal, is_met=False)
    best = min(ranks, key=lambda arm: ranks[arm])
    figure = f"{ranks[SHIPPED]:.2f} of {len(ranks)} arms; the best {ranks[best]:.2f} ({best})"
    is_first = ranks[SHIPPED] <= ranks[best]
    return Target(measure=measure, figure=figure, target=goal, is_met=is_first)


def _learned_nowhere_worse(standings: Standings) -> Target:
    where = _Where("trials", 1, 50)
    measure = f"learned policy against the floor, {where.words}: families on which it is worse"
    setting = where.setting(standings)
    families = standings.families(setting) if setting else ()
    worse, num_judged = [], 0
    for family in families:
        duel = _duel(standings, where, _only(FLOOR), families=(family,), ours=LEARNED)
        if duel is not None:
            num_judged += 1
            if mean_difference(duel.ours, duel.theirs).low > 0:
                worse.append(family)
    figure = f"{', '.join(worse) or 'none'} of {num_judged}" if num_judged else None
    is_met = figure is not None and not worse
    return Target(measure=measure, figure=figure, target="none", is_met=is_met)


def _learned_better(standings: Standings) -> Target:
    """Each part by the mean difference over its pairs, whose interval must lie below 0."""
    crash = (_Where("trials", 1, 50), _CRASHES)
    parts: Sequence[tuple[str, _Where, Collection[str], str]] = (
        ("q = 8", _Where("trials", 8, 64), UNSEEN, LEARNED),
        ("crashes and cost", *crash, LEARNED),
        ("memory in use", _Where("trials", 1, 25), UNSEEN, MEMORY),
        ("epoch axis", _Where("epochs", 1, 10), UNSEEN, LEARNED),
    )
    figures, num_better = [], 0
    for name, where, families, ours in parts:
        duel = _duel(standings, where, _only(FLOOR), families=families, ours=ours)
        if duel is not None:
            gap = mean_difference(duel.ours, duel.theirs)
            figures.append(f"{name} {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})")
            num_better += gap.high < 0
    return Target(
        measure="learned policy against the floor: mean regret less the floor's",
        figure="; ".join(figures) or None,
        target=f"below 0 with its interval in {_MIN_BETTER} of 4",
        is_met=num_better >= _MIN_BETTER,
    )
