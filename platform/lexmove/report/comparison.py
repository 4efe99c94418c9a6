"""The page about several studies: who got how far, after how many trials and how much compute."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from plotly.graph_objects import Scatter

from lexmove.report.blocks import Block, Chart, Page, Section, Table, Words
from lexmove.report.choosers import choosers_table
from lexmove.report.chronicle import Improvement
from lexmove.report.look import SERIES, figure, plain, series_line
from lexmove.report.subject import Subject
from lexmove.report.verdict_part import forest
from lexmove.results.summary import DEFAULT_ARM
from lexmove.results.wording import (
    NOTHING,
    is_share,
    say_duration,
    say_number,
    say_repeated,
    say_started,
)
from lexmove.space.move import say_value

_DOT = 5
"""Of a step, in pixels; small, so that many steps still look like a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line of a comparison: points (x, y) in order, and the band that they lie in, if known."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def comparison_page(subjects: Sequence[Subject]) -> Page:
    """All of it."""
    sections = [
        _overview(subjects),
        _progress(subjects),
        _finals(subjects),
        _configs(subjects),
        _choosers(subjects),
    ]
    facts = {"studies": ", ".join(subject.name for subject in subjects)}
    objectives = dict.fromkeys(_objective(subject) for subject in subjects)
    if len(objectives) == 1:
        facts["objective"] = next(iter(objectives))
    return Page(title=f"{len(subjects)} studies compared", facts=facts, sections=sections)


def _objective(subject: Subject) -> str:
    return f"{subject.metric}, to {subject.chronicle.spec.goal}"


def _overview(subjects: Sequence[Subject]) -> Section:
    headers = (
        "study", "state", "trials", "best in search", "repeated", "test", "default, test",
        "training",
    )  # fmt: skip
    table = Table(
        headers=headers,
        rows=[_overview_row(subject) for subject in subjects],
        right=headers[3:],
        caption="Repeated: mean on validation ± 95 % interval over fresh seeds; of two seeds, both"
        " scores. What is comparable is repeated, and scored on test; the best of a search flatters"
        " itself.",
    )
    blocks: list[Block] = [Words(text=text, is_warning=True) for text in unlike(subjects)]
    return Section(anchor="verdict", title="Side by side", blocks=[*blocks, table])


def unlike(subjects: Sequence[Subject]) -> list[str]:
    """Why these studies should be compared with care, in sentences."""
    found = []
    kinds: tuple[tuple[str, Callable[[Subject], object]], ...] = (
        ("objectives", lambda s: (s.metric, s.chronicle.spec.goal)),
        ("data", lambda s: s.data or (s.job and s.job.task)),
        ("models", lambda s: s.job and s.job.model),
        ("lengths of training", lambda s: s.chronicle.spec.fidelity.maximum),
    )
    for what, of in kinds:
        values = [of(subject) for subject in subjects]
        if any(value != values[0] for value in values):
            found.append(f"The studies have different {what}: their scores may not be comparable.")
    objectives = dict.fromkeys(_objective(subject) for subject in subjects)
    if len(objectives) > 1:
        each = ", ".join(f"{subject.name} {_objective(subject)}" for subject in subjects)
        found[0] = f"{found[0].removesuffix('.')} ({each})."
    return found


def _overview_row(subject: Subject) -> list[str]:
    chronicle, own, default = subject.chronicle, subject.winning_arm, subject.default_arm
    best = chronicle.incumbent
    return [
        subject.name,
        subject.state,
        say_started(chronicle.spec, len(chronicle.rows)),
        say_number(None if best is None else best.value),
        say_repeated(None if own is None else own.validation),
        say_repeated(None if own is None else own.test),
        say_repeated(None if default is None else default.test),
        say_duration(chronicle.trained_s + subject.repeated_s),
    ]


def _progress(subjects: Sequence[Subject]) -> Section:
    """The best so far, by trials, by epochs and by time."""
    title = "How far, after how much"
    scored = [subject for subject in subjects if subject.chronicle.improvements]
    if not scored:
        words = "No study has a score yet, so there is nothing to draw."
        return Section(anchor="progress", title=title, blocks=[Words(text=words)])
    metrics = dict.fromkeys(subject.metric for subject in subjects)
    y_title = f"best {', '.join(metrics)} so far"
    # Of simulated studies no time is known, or next to none.
    is_trained = all(subject.chronicle.trained_s >= 1.0 for subject in scored)
    axes: list[tuple[str, str, str, Callable[[Improvement], float], Callable[[Subject], float]]] = [
        (
            "by-trials",
            "By trials",
            "trials started",
            lambda item: item.num_started,
            lambda subject: len(subject.chronicle.rows),
        ),
        (
            "by-epochs",
            "By compute: epochs trained",
            "epochs of all trials",
            lambda item: item.num_epochs,
            lambda subject: subject.chronicle.num_epochs,
        ),
    ]
    if is_trained:
        axes.append(
            (
                "by-time",
                "By compute: training time",
                "minutes of training, all trials together",
                lambda item: item.trained_s / 60,
                lambda subject: subject.chronicle.trained_s / 60,
            )
        )
    charts = [
        curves_chart(
            [_climb(subject, spent, total) for subject in scored],
            name=name,
            title=heading,
            caption="The best score of all trials so far, as it was measured in the search. A dot"
            " is a new best, or the end.",
            x_title=x_title,
            y_title=y_title,
            is_stepped=True,
        )
        for name, heading, x_title, spent, total in axes
    ]
    return Section(anchor="progress", title=title, blocks=charts)


def _climb(
    subject: Subject, spent: Callable[[Improvement], float], total: Callable[[Subject], float]
) -> Curve:
    """The best so far over what was spent, up to all of it."""
    steps = subject.chronicle.improvements
    x = [float(spent(item)) for item in steps]
    y = [item.value for item in steps]
    end = float(total(subject))
    if end > x[-1]:
        x, y = [*x, end], [*y, y[-1]]
    return Curve(name=subject.name, x=x, y=y)


def curves_chart(
    curves: Sequence[Curve],
    *,
    name: str,
    title: str,
    caption: str,
    x_title: str,
    y_title: str,
    is_stepped: bool = False,
    is_log: bool = False,
) -> Chart:
    """Lines of several things in one picture, with their bands; also for what is no study."""
    traces = []
    for index, curve in enumerate(curves):
        line = series_line(index)
        if curve.low:
            traces.append(_band(curve, index))
        traces.append(
            Scatter(
                x=list(curve.x),
                y=list(curve.y),
                # Of a single point a line shows nothing, of a step at the edge half its width.
                mode="lines+markers",
                marker={"size": _DOT} if is_stepped else {},
                name=plain(curve.name),
                line=line | {"shape": "hv" if is_stepped else "linear"},
                legendgroup=str(index),
                showlegend=True,
                hovertemplate=f"{plain(curve.name)}: %{{y:.4g}} at %{{x:.4g}}<extra></extra>",
            )
        )
    drawing = figure(
        traces,
        height=340 + 14 * len(curves),
        x={"title": {"text": plain(x_title)}, "rangemode": "tozero"},
        y={"title": {"text": plain(y_title)}, "type": "log" if is_log else "linear"},
        showlegend=True,
    )
    return Chart(name=name, title=title, caption=caption, figure=drawing)


def _band(curve: Curve, index: int) -> Scatter:
    return Scatter(
        x=[*curve.x, *reversed(curve.x)],
        y=[*curve.high, *reversed(curve.low)],
        fill="toself",
        mode="none",
        fillcolor=SERIES[index % len(SERIES)],
        opacity=0.18,
        legendgroup=str(index),
        showlegend=False,
        hoverinfo="skip",
    )


def _finals(subjects: Sequence[Subject]) -> Section:
    """The repeated scores of the winners and of their defaults."""
    title = "What the winners are worth"
    blocks: list[Block] = []
    for split in ("test", "validation"):
        rows: list[tuple[str, float, float, str]] = []
        for index, subject in enumerate(subjects):
            colour = SERIES[index % len(SERIES)]
            for arm, prefix in ((subject.winning_arm, ""), (subject.default_arm, "default of ")):
                is_again = prefix and arm is subject.winning_arm
                scored = None if arm is None else getattr(arm, split)
                if scored is not None and not is_again:
                    rows.append((prefix + subject.name, scored.mean, scored.ci95, colour))
        if rows:
            metrics = dict.fromkeys(subject.metric for subject in subjects)
            blocks.append(
                Chart(
                    name=f"finals-{split}",
                    title=f"On {split}, repeated with fresh seeds",
                    caption="A dot is a mean over seeds, the bar its 95 % interval; where bars of"
                    " two rows overlap, one cannot say which is better.",
                    figure=forest(
                        list(reversed(rows)),
                        metric=f"{split} {', '.join(metrics)}",
                        is_in_unit=all(map(is_share, metrics)),
                    ),
                )
            )
    if not blocks:
        blocks = [
            Words(
                text="None of these studies has repeated its best configs, so that the best of each"
                " search, which flatters itself, is all there is."
            )
        ]
    return Section(anchor="finals", title=title, blocks=blocks)


def _configs(subjects: Sequence[Subject]) -> Section:
    """The winners' values, side by side."""
    title = "The winning configs"
    won = [subject for subject in subjects if subject.winner is not None]
    if not won:
        return Section(anchor="configs", title=title, blocks=[Words(text="Nothing has won yet.")])
    configs = [subject.winner.config for subject in won if subject.winner is not None]
    names = dict.fromkeys(name for config in configs for name in config)
    rows = [
        [name, *(say_value(config[name]) if name in config else NOTHING for config in configs)]
        for name in names
    ]
    apart = [
        index
        for index, name in enumerate(names)
        if any(config.get(name) != configs[0].get(name) for config in configs)
    ]
    arms = ["default" if s.winner and s.winner.arm == DEFAULT_ARM else "" for s in won]
    headers = [
        "hyperparameter",
        *(s.name + (f" ({arm})" if arm else "") for s, arm in zip(won, arms, strict=True)),
    ]
    table = Table(
        headers=headers, rows=rows, stressed=apart, caption="Bold where the winners differ."
    )
    return Section(anchor="configs", title=title, blocks=[table])


def _choosers(subjects: Sequence[Subject]) -> Section:
    blocks: list[Block] = []
    begun = [subject for subject in subjects if subject.chronicle.rows]
    for subject in begun:
        table = choosers_table(subject.chronicle)
        is_last = subject is begun[-1]
        blocks.append(Words(text=f"{subject.name}:"))
        blocks.append(table if is_last else replace(table, caption=""))
    if not blocks:
        blocks = [Words(text="No trial has begun yet.")]
    return Section(anchor="choosers", title="Who chose", blocks=blocks)
