"""Who chose: the parts of the agent that decide, in words for people who never met one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lexmove.report.blocks import Table
from lexmove.report.chronicle import Chronicle, Row
from lexmove.report.look import BLUE, GRAY, GREEN, ORANGE
from lexmove.results.wording import NOTHING, say_gain
from lexmove.study.trial import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """A part of the agent: a short name, what it goes by, and its colour."""

    name: str
    words: str
    colour: str


OPENING = Chooser(
    name="opening",
    words="the default config, what was asked for, what earlier studies taught, a first look round",
    colour=GRAY,
)
RULE = Chooser(
    name="classical rule",
    words="a formula that weighs the gain it expects against what is not known yet",
    colour=BLUE,
)
POLICY = Chooser(
    name="learned policy",
    words="a network trained on many studies, where it departs from the classical rule",
    colour=ORANGE,
)
OTHER = Chooser(
    name="other", words="a plain proposer, or a config that was asked for", colour=GREEN
)

CHOOSERS = (OPENING, RULE, POLICY, OTHER)

_DETAILS: Mapping[str, str] = {
    "start:default": "the default",
    "start:sobol": "first look round",
    "start:memory": "earlier studies",
    "start:asked": "asked for",
    "floor:EI": "expected improvement",
    "floor:EI_per_second": "expected improvement per second",
    "floor:UCB": "promising, or little known",
    "floor:gain_per_epoch": "gain per epoch",
    "asha": "among the best of its rung",
}


def chooser_of(decision: Decision) -> Chooser:
    """Who made a decision."""
    expert = decision.expert
    if expert.startswith("start:"):
        return OPENING
    if expert.startswith("floor:") or expert == "asha":
        return RULE
    return POLICY if expert == "policy" else OTHER


def detail_of(decision: Decision) -> str:
    """Which of its ways of choosing it was."""
    return _DETAILS.get(
        decision.expert, decision.expert.removeprefix("floor:") or decision.proposer
    )


def chooser_words(decision: Decision) -> str:
    """Chooser and detail in one: `classical rule: expected improvement`."""
    chooser, detail = chooser_of(decision), detail_of(decision)
    if chooser is POLICY:
        return chooser.name
    return detail if chooser is OTHER else f"{chooser.name}: {detail}"


def choosers_table(chronicle: Chronicle) -> Table:
    """How often each chose, and what came of it."""
    rows = []
    best = Counter(item.trial_id for item in chronicle.improvements)
    for chooser in CHOOSERS:
        chosen = [row for row in chronicle.rows if chooser_of(row.decision) is chooser]
        continued = sum(
            chooser_of(decision) is chooser for row in chronicle.rows for decision in row.continued
        )
        if chosen or continued:
            rows.append(
                [
                    chooser.name,
                    f"{len(chosen):,}",
                    f"{continued:,}",
                    f"{sum(row.trial_id in best for row in chosen):,}",
                    *_helped(chronicle, chosen),
                    chooser.words,
                ]
            )
    headers = ("who", "started", "continued", "new bests", "moves that helped", "median", "how")
    return Table(
        headers=headers,
        rows=rows,
        right=headers[1:-1],
        caption="Helped: the trial did better than the one that it was moved from, at equal"
        " training; median: of that difference. Most moves do not help, and need not: one that"
        " does is kept.",
    )


def _helped(chronicle: Chronicle, rows: Sequence[Row]) -> tuple[str, str]:
    gains = [gain for row in rows if (gain := chronicle.gain_over_origin(row)) is not None]
    if not gains:
        return NOTHING, NOTHING
    return f"{sum(gain > 0 for gain in gains):,} of {len(gains):,}", say_gain(median(gains))
