"""What differs between a job and the one that a study of its name was made from."""

import json
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

from lexmove.app.preparing import settled
from lexmove.errors import LexmoveError
from lexmove.job.loading import job_to_json
from lexmove.job.spec import JobSpec
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import Study

_OF_A_MACHINE = ("store", "storage", "model.precision")
"""Fields that are written down otherwise than they were asked for."""

_MAX_SHOWN = 3
_MAX_LENGTH = 40


def changed_since(study: Study, job: JobSpec, space: SearchSpace) -> str:
    """`, of a job that differs in model.max_length (32, now 48)`; empty where nothing does.

    Who is told to go on with a study goes on with the job that it was made from.
    """
    changes = list(_changes(study, job, space))
    if not changes:
        return ""
    left = len(changes) - _MAX_SHOWN
    more = f" and {left} more" if left > 0 else ""
    return f", of a job that differs in {', '.join(changes[:_MAX_SHOWN])}{more}"


def _changes(study: Study, job: JobSpec, space: SearchSpace) -> Iterator[str]:
    if not study.spec.job:
        return
    try:
        now = json.loads(job_to_json(settled(job)))
    except LexmoveError:  # whoever runs it hears of that
        return
    before, now = (dict(_leaves(data)) for data in (json.loads(study.spec.job), now))
    for name in (name for name in now if name in before and not _is_of_space(name)):
        if before[name] != now[name] and name not in _OF_A_MACHINE:
            yield _say(name, before, now)
    if study.spec.space != space:  # whatever the file is called that it stands in
        yield from _space_changes(before, now)


def _space_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if "space" in before or "space" in now:  # a file of its own
        yield "its search space"
        return
    for name in sorted(filter(_is_of_space, {**before, **now})):
        if before.get(name) != now.get(name):
            yield _say(name, before, now)


def _say(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    was, is_now = _text(before.get(name)), _text(now.get(name))
    if max(len(was), len(is_now)) > _MAX_LENGTH:
        # Long ones, such as paths, begin alike: what they differ in is what is to be seen.
        pairs = takewhile(lambda pair: pair[0] == pair[1], zip(was, is_now, strict=False))
        num_alike = sum(1 for _ in pairs)
        begin = max(0, num_alike - _MAX_LENGTH // 4)
        was, is_now = (f"{'…' if begin else ''}{text[begin:]}" for text in (was, is_now))
    return f"{name} ({_short(was)}, now {_short(is_now)})"


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_of_space(name: str) -> bool:
    return name.partition(".")[0] == "space"


def _text(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"
