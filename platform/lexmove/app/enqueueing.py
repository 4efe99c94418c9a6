"""Enqueues a config: the study's next trial tries it, and its budget grows by that trial."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lexmove.app.stored import (
    is_asked_for_more,
    is_searched,
    job_of,
    located,
    repetitions_of,
    store_option,
    store_url,
    study_dir_of,
)
from lexmove.coordinator.driver_process import shown
from lexmove.coordinator.heartbeats import runner_of
from lexmove.coordinator.store import open_store
from lexmove.errors import UsageError, did_you_mean
from lexmove.space.domain import Value, held
from lexmove.space.search_space import Config, SearchSpace
from lexmove.space.translation import carry
from lexmove.study.starts import PlannedStart, asked_for
from lexmove.study.study import Study

_BY = "you"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """A config that is the study's next; `runner` is the process that will try it, if one runs."""

    config: Config
    runner: str | None


def enqueue(
    name: str, words: Mapping[str, str], *, like: int | None = None, store: str | None = None
) -> Enqueued:
    """Plans a config as the study's next start, and buys the trial for it.

    Who runs the study meanwhile starts it in its next free slot.

    Args:
        name: the study's.
        words: values by hyperparameter, as text.
        like: a trial whose values the rest takes; None for the space's defaults.
        store: URL of the study store; None for `LEXMOVE_STORE`, or studies.db.

    Raises:
        StudyNotFoundError: no study of that name.
        UsageError: an unknown trial, hyperparameter or value, a config that was tried already or
            waits, or a study whose best configs are being repeated.
        InvalidConfigError: a config that the space does not allow.
    """
    url = store_url(None, store)
    opened = open_store(url)
    study = located(opened.load(name), url)
    study_dir = study_dir_of(job_of(study))
    study_dir.create()
    config = _config(study, words, like)
    option = store_option(url)
    _check_new(study, config, opened.requests(name), option=option)
    runner = study_dir.runner() if study_dir.is_locked() else runner_of(opened, name)
    if runner is not None and _is_repeating(study, repetitions_of(opened, study)):
        raise UsageError(
            f"study {name!r} is repeating its best configs, and does not search any more; wait for "
            f"its end: `lexmove watch {name}{option}`"
        )
    opened.request(name, asked_for(config, by=_BY, after=len(study.trials)))
    if runner is None:
        # Whoever takes up the study meanwhile plans it, too.
        with suppress(UsageError), study_dir.locked():
            opened.plan_requests(name)
    return Enqueued(config=config, runner=None if runner is None else shown(runner))


def _is_repeating(study: Study, repetitions: Study | None) -> bool:
    """Whether the search is over and its best configs are trained again."""
    by_clock = study.spec.wall_clock_s is not None and not is_asked_for_more(study)
    return repetitions is not None and (is_searched(study) or by_clock)


def _config(study: Study, words: Mapping[str, str], like: int | None) -> Config:
    space = study.spec.space
    if like is not None and not 0 <= like < len(study.trials):
        known = f"0 to {len(study.trials) - 1}" if study.trials else "none yet"
        raise UsageError(f"study {study.spec.name!r} has no trial {like}; its trials: {known}")
    values = {name: _value(space, name, text) for name, text in words.items()}
    # Of the other trial only what is active beside the new values.
    base = {} if like is None else dict(study.trials[like].config)
    kept = space.complete({**base, **values})
    return space.config({**kept, **values})


def _value(space: SearchSpace, name: str, text: str) -> Value:
    """The value of a hyperparameter that a text stands for."""
    if name not in space:
        raise UsageError(
            f"the space has no hyperparameter {name!r}{did_you_mean(name, space.names)}"
        )
    for candidate in (_plain(text), text):
        if isinstance(candidate, bool | int | float | str):
            found = carry(candidate, space[name].domain)
            if found is not None and found[1] == 0.0 and space[name].domain.contains(candidate):
                return found[0]
    raise UsageError(f"{name} = {text} is not possible: {held(space[name].domain)}")


def _plain(text: str) -> Any:
    """`3e-5`, `16` and `true` as what they are; any other text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_new(
    study: Study, config: Config, requests: Iterable[PlannedStart], *, option: str
) -> None:
    for trial in study.trials:
        if trial.config == config:
            raise UsageError(
                f"trial {trial.trial_id} of study {study.spec.name!r} tried just this config: "
                f"`lexmove show {study.spec.name} {trial.trial_id}{option}` shows it"
            )
    asked = [start for start in study.spec.starts if start.is_asked]
    if any(start.config == config for start in (*asked, *requests)):
        way = f"lexmove resume {study.spec.name}{option}"
        raise UsageError(f"this config waits already: who runs the study tries it, or `{way}`")
