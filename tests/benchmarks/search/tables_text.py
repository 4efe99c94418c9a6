"""The README's tables in Markdown: for each setting all arms, then by family; the targets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.search.setting import Setting
from benchmarks.search.standings import MIN_RANKED, Standings, covered
from benchmarks.search.statistics import (
    Estimate,
    Scores,
    average_ranks,
    interquartile_mean,
    iqm,
    on,
    probability_of_improvement,
    shared,
)
from benchmarks.search.targets import SHIPPED, Target

START, END = "<!-- bench-search -->", "<!-- /bench-search -->"

_NONE = "–"

_ABOUT = (
    "Normalised regret: interquartile means, the last ones with 95 % intervals, over the pairs of "
    "task and seed that lexmove has too, whose own figure on these pairs stands beside them, since "
    "slow arms have fewer seeds. Mean, rank, and the probability that lexmove ends below the row's "
    "arm are of the last checkpoint that has an interval."
)


def render(standings: Standings, *, absent: Mapping[str, str]) -> str:
    """A section for each setting, a short one where it is not usual, and which arms are missing."""
    parts = [_ABOUT] if standings.settings else []
    parts += [part for setting in standings.settings for part in _section(standings, setting)]
    if absent:
        listed = "; ".join(f"{arm} ({why})" for arm, why in absent.items())
        parts.append(f"Not compared: {listed}.")
    return "\n\n".join(parts)


def write(text: str, readme: Path) -> bool:
    """Puts a text between the markers of a README; False, and nothing happens, without markers."""
    before, start, rest = readme.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        return False
    readme.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")
    return True


def _section(standings: Standings, setting: Setting) -> list[str]:
    arms = standings.arms(setting)
    reference = SHIPPED if SHIPPED in arms else arms[0]
    families = standings.families(setting)
    at = setting.headline[-1]
    main = [
        f"**{setting.title}** on {', '.join(families)}",
        _main_table(standings, setting, arms, reference),
    ]
    if not setting.is_usual:
        return main
    return [
        *main,
        f"By family, interquartile mean @{at:g}:",
        _family_table(standings, setting, arms, families),
        *_coverage(standings, setting, arms),
    ]


def _main_table(standings: Standings, setting: Setting, arms: Sequence[str], reference: str) -> str:
    last = setting.headline[-1]
    ours = standings.scores(setting, reference, last)
    scores = {arm: standings.scores(setting, arm, last) for arm in arms}
    ranks = average_ranks(covered(scores, like=ours, share=MIN_RANKED))
    head = [
        "arm",
        "pairs",
        *(f"@{at:g}" for at in setting.columns),
        f"{reference} there, @{last:g}",
        "mean",
        "rank",
        f"P({reference} better)",
        "decision ms, median (p99)",
    ]
    crashed = {arm: standings.num_crashed(setting, arm) for arm in arms}
    if any(crashed.values()):
        head.append("crashed trials")
    rows = []
    for arm in arms:
        pairs = shared(ours, scores[arm])
        if not pairs:
            continue
        speed = standings.speed(setting, arm)
        rows.append(
            [
                arm,
                str(len(pairs)),
                *(_iqm_cell(standings, setting, arm, at, pairs) for at in setting.columns),
                _number(float(interquartile_mean(on(ours, pairs)))),
                _number(float(on(scores[arm], pairs).mean())),
                f"{ranks[arm]:.2f}" if arm in ranks else _NONE,
                _NONE if arm == reference else _probability(ours, scores[arm]),
                f"{_milliseconds(speed.median_ms)} ({_milliseconds(speed.p99_ms)})",
                *([f"{crashed[arm]:.1f}"] if any(crashed.values()) else []),
            ]
        )
    return _table(head, rows)


def _iqm_cell(
    standings: Standings,
    setting: Setting,
    arm: str,
    at: float,
    pairs: Sequence[tuple[str, int]],
) -> str:
    scores = standings.scores(setting, arm, at)
    if at not in setting.headline:
        return _number(float(interquartile_mean(on(scores, pairs))))
    return _interval(iqm(scores, pairs))


def _family_table(
    standings: Standings, setting: Setting, arms: Sequence[str], families: Sequence[str]
) -> str:
    at = setting.headline[-1]
    rows = [
        [
            arm,
            *(
                _family_cell(standings.scores(setting, arm, at, families=(family,)))
                for family in families
            ),
        ]
        for arm in arms
    ]
    return _table(["arm", *families], rows)


def _family_cell(scores: Scores) -> str:
    if not scores:
        return _NONE
    return _number(float(interquartile_mean(on(scores, tuple(scores)))))


def _coverage(standings: Standings, setting: Setting, arms: Sequence[str]) -> list[str]:
    """How often the realised gain lay within the predicted interval, of arms that predict one."""
    said = []
    for arm in arms:
        num, inner, outer = standings.coverage(setting, arm)
        if num:
            said.append(f"{arm} {inner / num:.0%} and {outer / num:.0%} of {num:,}")
    if not said:
        return []
    return [f"Realised gains within the predicted 80 % and 95 % intervals: {'; '.join(said)}."]


def targets_table(targets: Sequence[Target]) -> str:
    """One row for each target."""
    rows = [
        [
            target.measure,
            "not measured" if target.figure is None else target.figure,
            target.target,
            "ok" if target.is_met else "short",
        ]
        for target in targets
    ]
    return _table(["measure", "figure", "target", ""], rows)


def _probability(ours: Scores, theirs: Scores) -> str:
    return f"{probability_of_improvement(ours, theirs).value:.2f}"


def _interval(estimate: Estimate) -> str:
    low, high = _number(estimate.low), _number(estimate.high)
    return f"{_number(estimate.value)} ({low}–{high})"


def _number(value: float) -> str:
    """Three digits after the point, four where three would be too few."""
    digits = 3 if value >= 0.01 else 4
    return f"{value:.{digits}f}".removeprefix("0") if 0 <= value < 1 else f"{value:.2f}"


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 1 else f"{value:.1g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
