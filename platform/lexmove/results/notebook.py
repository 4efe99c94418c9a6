"""A study's outcome as a notebook shows it: one line of text, and a small table of HTML.

Everything that people named is escaped. Left out: what the report has pictures for.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lexmove.results.judgement import Judgement
from lexmove.results.summary import Arm, winner_of
from lexmove.results.verdict import contenders, verdict
from lexmove.results.wording import say_arm, say_count, say_metric, say_number, say_repeated
from lexmove.study.study import Study

_MAX_NAMES = 12
"""Hyperparameters that are shown; a page has room for more."""


def outcome_line(study: Study, state: str) -> str:
    """`study 'tos', finished: 24 trials, best f1_macro 0.8123 (trial 17)`."""
    best = study.incumbent
    score = "no score yet"
    if best is not None:
        score = (
            f"best {say_metric(study.spec.metric)} {say_number(best.value)} (trial {best.trial_id})"
        )
    return f"study {study.spec.name!r}, {state}: {say_count(len(study.trials), 'trial')}, {score}"


def outcome_html(
    study: Study,
    state: str,
    *,
    arms: Sequence[Arm],
    reference: Mapping[str, Any] | None,
    judgement: Judgement | None,
) -> str:
    """The line, the verdict, what was scored on fresh seeds and on test, and the best config."""
    winner = winner_of(study, judgement)
    best = None if winner is None else winner.arm
    ranked = contenders(arms, reference, sign=study.sign)
    parts = [f"<p>{escape(outcome_line(study, state))}</p>"]
    if said := verdict(ranked, best=best, judgement=judgement):
        parts.append(f"<p><strong>{escape(said)}</strong></p>")
    rows: list[tuple[str, ...]] = [
        (say_arm(arm.name, best=best), say_repeated(arm.validation), say_repeated(arm.test))
        for arm in arms
    ]
    if reference is not None:
        scores = (say_number(reference.get(split)) for split in ("validation", "test"))
        rows.append((str(reference.get("name")), *scores))
    if rows:
        parts.append(_table(("", f"validation {say_metric(study.spec.metric)}", "test"), rows))
    if winner is not None:
        config = [(name, repr(value)) for name, value in list(winner.config.items())[:_MAX_NAMES]]
        if (num_more := len(winner.config) - _MAX_NAMES) > 0:
            config.append((f"and {num_more} more", ""))
        parts.append(_table(("best config", say_arm(winner.arm)), config))
    return f"<div>{''.join(parts)}</div>"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in headers)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
