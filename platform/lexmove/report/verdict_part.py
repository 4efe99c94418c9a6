"""The verdict: what won, what it is worth beside the others, and what it cost. Comes first."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from plotly.graph_objects import Figure, Scatter

from lexmove.report.blocks import Block, Chart, Section, Table, Tile, Tiles, Words
from lexmove.report.look import BLUE, GRAY, GREEN, ORANGE, VIOLET, figure, row_axis
from lexmove.report.subject import Subject
from lexmove.results.judgement import ONE_SEED, Judgement
from lexmove.results.summary import DEFAULT_ARM, Arm, Repeated, doubts
from lexmove.results.verdict import contenders, verdict
from lexmove.results.wording import (
    CLASS_HEADERS,
    NOTHING,
    class_rows,
    classifier_lines,
    is_share,
    say_arm,
    say_count,
    say_duration,
    say_gain,
    say_number,
    say_repeated,
    say_spread,
    spread_note,
)
from lexmove.space.move import say_value
from lexmove.study.scoring import WITHOUT_SCORE

_MAX_NAME = 34


_MAX_CLASSES = 40


def verdict_section(subject: Subject) -> Section:
    """The section."""
    blocks: list[Block] = [Tiles(items=tiles(subject))]
    ranked = contenders(subject.arms, subject.reference, sign=subject.chronicle.sign)
    best = None if subject.winner is None else subject.winner.arm
    sentence = verdict(ranked, best=best, judgement=subject.judgement)
    blocks += [Words(text=text) for text in (sentence, _standing(subject)) if text]
    if subject.judgement is not None:
        found = doubts(subject.judgement, subject.arms, subject.reference)
        blocks += [Words(text=f"{text[:1].upper()}{text[1:]}.", is_warning=True) for text in found]
    if subject.arms or subject.reference is not None or subject.published:
        blocks += [*_standings_chart(subject), _standings_table(subject)]
    if subject.winner is not None:
        blocks.append(_config_table(subject))
    if subject.judgement is not None:
        blocks += _after(subject.judgement, subject.metric)
    return Section(anchor="verdict", title="Verdict", blocks=blocks)


def _standing(subject: Subject) -> str:
    """What is still missing, in a sentence; empty of a study that has all."""
    chronicle = subject.chronicle
    if not chronicle.rows:
        return "No trial has begun yet: all that follows is still empty."
    if subject.winner is None:
        failed = sum(chronicle.counts.get(status, 0) for status in WITHOUT_SCORE)
        return (
            f"No trial has succeeded: {failed:,} of {len(chronicle.rows):,} failed."
            " What went wrong is further below."
            if failed
            else "No trial has a score yet."
        )
    if subject.state == "finished":
        return (
            ""
            if subject.arms
            else "Nothing was repeated: the score is that of the one run that won, the best of"
            " many, which flatters it."
        )
    left = chronicle.spec.num_trials - len(chronicle.rows)
    rest = f"{say_count(left, 'trial')} left to start" if left > 0 else "its last steps are missing"
    if chronicle.spec.wall_clock_s is not None:
        rest = "its search ends by the clock, its last steps come after it"
    flattered = "" if subject.arms else ", and its score the best of many, which flatters it"
    return f"The study is {subject.state}; {rest}. The winner is the best so far{flattered}."


def tiles(subject: Subject) -> list[Tile]:
    """The figures to see first."""
    return [
        _winner_tile(subject),
        _repeated_tile(subject),
        _test_tile(subject),
        *_lead_tiles(subject),
        _compute_tile(subject),
    ]


def _winner_tile(subject: Subject) -> Tile:
    winner = subject.winner
    if winner is None:
        return Tile(label="winner", value="none yet")
    value = "the default config" if winner.arm == DEFAULT_ARM else winner.arm
    return Tile(label="winner", value=value, note=f"trained for {say_count(winner.until, 'epoch')}")


def _repeated_tile(subject: Subject) -> Tile:
    """The repeated mean; before there is one, the score of the search."""
    label = f"validation {subject.metric}"
    arm, incumbent = subject.winning_arm, subject.chronicle.incumbent
    if arm is not None and arm.validation is not None:
        seeds = say_count(arm.validation.num_seeds, "fresh seed")
        return Tile(label=label, value=say_repeated(arm.validation), note=f"mean of {seeds}")
    if incumbent is None:
        return Tile(label=label, value=NOTHING)
    return Tile(label=label, value=say_number(incumbent.value), note="one run, not repeated")


def _test_tile(subject: Subject) -> Tile:
    arm = subject.winning_arm
    label = f"test {subject.metric}"
    if arm is None or arm.test is None:
        return Tile(label=label, value=NOTHING, note="not looked at yet")
    return Tile(label=label, value=say_repeated(arm.test), note="untouched until the end")


def _lead_tiles(subject: Subject) -> list[Tile]:
    """The winner's lead on test over the default and over the classifier without tuning."""
    own, default, found = subject.winning_arm, subject.default_arm, []
    if own is None or own.test is None:
        return []
    sign = subject.chronicle.sign
    if default is not None and default.test is not None and default is not own:
        gain = sign * (own.test.mean - default.test.mean)
        note = _interval(subject, DEFAULT_ARM)
        found.append(Tile(label="lead over the default", value=say_gain(gain), note=note))
    known = None if subject.reference is None else subject.reference.get("test")
    if subject.reference is not None and known is not None:
        name = str(subject.reference["name"])
        gain = sign * (own.test.mean - known)
        label = f"lead over {_cut(name)}"
        found.append(Tile(label=label, value=say_gain(gain), note=_interval(subject, name)))
    return found


def _interval(subject: Subject, other: str) -> str:
    known = None if subject.judgement is None else subject.judgement.difference(other, "test")
    if known is None:
        return "on test"
    seeds = ONE_SEED if known.num_seeds == 1 else ""
    return f"on test; 95 % between {known.low:+.3f} and {known.high:+.3f}{seeds}"


def _compute_tile(subject: Subject) -> Tile:
    chronicle = subject.chronicle
    seconds = chronicle.trained_s + subject.repeated_s
    value = f"{seconds * subject.gpus / 3600:.3g} GPU h" if subject.gpus else say_duration(seconds)
    trials = say_count(len(chronicle.rows), "trial")
    note = f"{trials}, {chronicle.num_epochs:,} epochs"
    if subject.repeated_s:
        note += f" in the search; {say_duration(subject.repeated_s)} for repetitions are included"
    return Tile(label="compute spent", value=value if seconds else NOTHING, note=note)


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"


def _standings_chart(subject: Subject) -> list[Chart]:
    """Scores with their intervals, one row each: on test where it was looked at."""
    split = "test" if any(arm.test for arm in subject.arms) or subject.published else "validation"
    rows: list[tuple[str, float, float, str]] = []
    best = None if subject.winner is None else subject.winner.arm
    for arm in subject.arms:
        scored: Repeated | None = getattr(arm, split)
        if scored is not None:
            colour = ORANGE if arm.name == best else BLUE
            rows.append((say_arm(arm.name, best=best), scored.mean, scored.ci95, colour))
    known = None if subject.reference is None else subject.reference.get(split)
    if subject.reference is not None and known is not None:
        rows.append((str(subject.reference["name"]), known, math.nan, GREEN))
    if split == "test":
        rows += [(f"{m} (published)", s, math.nan, VIOLET) for m, s in subject.published.items()]
    if len(rows) < 2:
        return []
    rows.sort(key=lambda row: subject.chronicle.sign * row[1])
    caption = f"On the {split} split. The bar is the 95 % interval over the seeds."
    if subject.published and split == "test":
        caption += " Published scores are of one model each, as their authors trained it."
    return [
        Chart(
            name="standings",
            title="The winner beside the others",
            caption=caption,
            figure=forest(
                rows, metric=f"{split} {subject.metric}", is_in_unit=is_share(subject.metric)
            ),
        )
    ]


def forest(
    rows: Sequence[tuple[str, float, float, str]], *, metric: str, is_in_unit: bool = False
) -> Figure:
    """Scores as dots with half-widths of intervals: (name, score, half-width, colour), bottom up.

    A half-width of NaN draws no bar. With `is_in_unit` bars end at 0 and 1, beyond which there are
    no scores.
    """
    least, most = (0.0, 1.0) if is_in_unit else (-math.inf, math.inf)
    known = [(score, 0.0 if math.isnan(half) else half) for _, score, half, _ in rows]
    above = [max(0.0, min(half, most - score)) for score, half in known]
    below = [max(0.0, min(half, score - least)) for score, half in known]
    bars: dict[str, Any] = {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "color": GRAY,
        "thickness": 2,
    }
    dots = Scatter(
        x=[score for _, score, _, _ in rows],
        y=list(range(len(rows))),
        error_x=bars,
        mode="markers",
        marker={"size": 12, "color": [colour for *_, colour in rows]},
        customdata=[
            f"{score:.4f}"
            + (f", 95 % between {score - low:.4f} and {score + high:.4f}" if half else "")
            for (score, half), low, high in zip(known, below, above, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    return figure(
        [dots],
        height=90 + 38 * len(rows),
        x={"title": {"text": metric}},
        y=row_axis([_cut(name) for name, *_ in rows]) | {"range": [-0.6, len(rows) - 0.4]},
    )


def _standings_table(subject: Subject) -> Table:
    best = None if subject.winner is None else subject.winner.arm
    rows = [_arm_row(arm, best) for arm in subject.arms]
    if subject.reference is not None:
        scores = [say_number(subject.reference.get(split)) for split in ("validation", "test")]
        rows.append([str(subject.reference["name"]), *scores, NOTHING])
    rows += [
        [f"{model} (published)", NOTHING, say_number(score), NOTHING]
        for model, score in subject.published.items()
    ]
    stressed = [index for index, arm in enumerate(subject.arms) if arm.name == best]
    headers = ("config", "validation", "test", "seeds")
    is_paired = subject.judgement is not None and bool(subject.judgement.differences)
    captions = (
        f"Mean {subject.metric}{say_spread(subject.arms)} over fresh seeds.",
        spread_note(subject.arms, is_paired=is_paired),
    )
    return Table(
        headers=headers,
        rows=rows,
        right=headers[1:],
        stressed=stressed,
        caption=" ".join(filter(None, captions)),
    )


def _arm_row(arm: Arm, best: str | None) -> list[str]:
    num_seeds = max((item.num_seeds for item in (arm.validation, arm.test) if item), default=0)
    scores = [say_repeated(arm.validation), say_repeated(arm.test)]
    return [say_arm(arm.name, best=best), *scores, str(num_seeds)]


def _config_table(subject: Subject) -> Table:
    """The winner's values beside the default's."""
    assert subject.winner is not None
    default = subject.chronicle.spec.space.default
    config = subject.winner.config
    names = dict.fromkeys((*config, *default))
    rows = [
        [name, *(say_value(one[name]) if name in one else "off" for one in (config, default))]
        for name in names
    ]
    changed = [i for i, name in enumerate(names) if config.get(name) != default.get(name)]
    return Table(
        headers=("hyperparameter", "winner", "default"),
        rows=rows,
        right=("winner", "default"),
        stressed=changed,
        caption="The config that won; bold where it differs from the default.",
    )


def _after(judgement: Judgement, metric: str) -> Iterator[Block]:
    """What the repetitions led to: differences, and the classifier that was made of the winner."""
    if judgement.differences:
        yield _differences(judgement)
    if judgement.classes:
        yield Table(
            headers=CLASS_HEADERS,
            rows=class_rows(judgement.classes, most=_MAX_CLASSES),
            right=CLASS_HEADERS[1:5],
            caption="The winner on test, class by class: the mean of its seeds"
            + (f", the {_MAX_CLASSES} lowest." if len(judgement.classes) > _MAX_CLASSES else "."),
        )
    if lines := classifier_lines(judgement, metric):
        yield Table(headers=("the classifier",), rows=[[line] for line in lines])


def _differences(judgement: Judgement) -> Table:
    rows = [
        [
            say_arm(item.other),
            item.split,
            f"{item.mean:+.4f}",
            f"{item.low:+.4f} to {item.high:+.4f}",
            str(item.num_seeds),
            "yes" if item.is_certain else "no",
        ]
        for item in judgement.differences
    ]
    caption = (
        "Of seeds and of the split: certain where the interval leaves out zero, and more than one"
        " seed is behind it."
    )
    if any(item.num_seeds == 1 for item in judgement.differences):
        caption += " Of one seed it is of the split alone: how far seeds differ is not in it."
    return Table(
        headers=("winner against", "split", "better by", "95 % interval", "seeds", "certain"),
        rows=rows,
        right=("better by", "95 % interval", "seeds"),
        caption=caption,
    )
