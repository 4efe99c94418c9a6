"""The comparison as an offline page: regret curves of all arms, with intervals, by setting."""

from collections.abc import Sequence

from benchmarks.search.setting import UNITS, Setting
from benchmarks.search.standings import Standings
from benchmarks.search.statistics import Estimate, iqm, shared
from benchmarks.search.targets import SHIPPED, Target
from lexmove.report.blocks import Page, Section, Table, Words
from lexmove.report.comparison import Curve, curves_chart


def search_page(standings: Standings, targets: Sequence[Target]) -> Page:
    """A section for each setting, and one for the targets."""
    sections = [_section(standings, setting) for setting in standings.settings]
    rows = [[target.line] for target in targets]
    if rows:
        table = Table(headers=("target",), rows=rows)
        sections.append(Section(anchor="targets", title="Targets", blocks=[table]))
    facts = {"settings": str(len(standings.settings))}
    return Page(title="Searches compared", facts=facts, sections=sections)


def _section(standings: Standings, setting: Setting) -> Section:
    anchor = setting.name.replace(" ", "-")
    estimates = _estimates(standings, setting)
    about = (
        f"On {', '.join(standings.families(setting))}. Each arm on the pairs of task and seed that"
        f" it has in common with {_reference(standings, setting)}."
    )
    chart = curves_chart(
        [
            Curve(
                name=arm,
                x=list(of_arm),
                y=[item.value for item in of_arm.values()],
                low=[item.low for item in of_arm.values()],
                high=[item.high for item in of_arm.values()],
            )
            for arm, of_arm in estimates.items()
        ],
        name=f"regret-{anchor}",
        title="Regret by what was spent",
        caption="Interquartile mean of the normalised regret, lower is better: 0 is the best config"
        " of a task, 1 the median one. The band is the 95 % interval. A click on a name hides it.",
        x_title=UNITS[setting.axis],
        y_title="normalised regret",
        is_log=True,
    )
    table = Table(
        headers=("arm", "pairs", *(f"@{at:g}" for at in setting.columns)),
        rows=[_row(arm, of_arm, setting) for arm, of_arm in estimates.items()],
        right=("pairs", *(f"@{at:g}" for at in setting.columns)),
    )
    return Section(anchor=anchor, title=setting.title, blocks=[Words(text=about), chart, table])


def _reference(standings: Standings, setting: Setting) -> str:
    arms = standings.arms(setting)
    return SHIPPED if SHIPPED in arms else arms[0]


def _estimates(standings: Standings, setting: Setting) -> dict[str, dict[float, Estimate]]:
    """Interquartile means by arm and checkpoint."""
    reference = _reference(standings, setting)
    found: dict[str, dict[float, Estimate]] = {}
    for arm in standings.arms(setting):
        for at in setting.columns:
            scores = standings.scores(setting, arm, at)
            pairs = shared(standings.scores(setting, reference, at), scores)
            if pairs:
                found.setdefault(arm, {})[at] = iqm(scores, pairs)
    return found


def _row(arm: str, of_arm: dict[float, Estimate], setting: Setting) -> list[str]:
    cells = [f"{of_arm[at].value:.3f}" if at in of_arm else "–" for at in setting.columns]
    return [arm, str(max(item.num_pairs for item in of_arm.values())), *cells]
