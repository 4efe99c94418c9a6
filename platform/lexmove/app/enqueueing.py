"""Enqueues a config: the study's next trial tries it, and its budget grows by that trial."""

import json
from collections.abc import Mapping
from typing import Any

from lexmove.app.stored import job_of, store_option, store_url, study_dir_of
from lexmove.coordinator.driver_process import being_run
from lexmove.coordinator.heartbeats import runner_of
from lexmove.coordinator.store import open_store
from lexmove.errors import UsageError, did_you_mean
from lexmove.space.domain import Value, held
from lexmove.space.search_space import Config, SearchSpace
from lexmove.space.translation import carry
from lexmove.study.starts import asked_for
from lexmove.study.study import Study

_BY = "you"


def enqueue(
    name: str, words: Mapping[str, str], *, like: int | None = None, store: str | None = None
) -> Config:
    """Plans a config as the study's next start, and buys the trial for it; gives the config.

    Args:
        name: the study's.
        words: values by hyperparameter, as text.
        like: a trial whose values the rest takes; None for the space's defaults.
        store: URL of the study store; None for `LEXMOVE_STORE`, or studies.db.

    Raises:
        StudyNotFoundError: no study of that name.
        UsageError: an unknown trial, hyperparameter or value, a config that was tried already or
            waits, or a study that is running.
        InvalidConfigError: a config that the space does not allow.
    """
    opened = open_store(store_url(None, store))
    job = job_of(opened.load(name))
    study_dir = study_dir_of(job)
    study_dir.create()
    if runner := runner_of(opened, name):
        raise UsageError(being_run(name, runner))
    with study_dir.locked():  # whoever runs the study would not hear of it
        study = opened.load(name)
        config = _config(study, words, like)
        _check_new(study, config, option=store_option(store_url(None, store)))
        start = asked_for(config, by=_BY, after=len(study.trials))
        opened.extend(name, study.spec.num_trials + 1, [start])
    return config


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
        raise UsageError(f"unknown hyperparameter {name!r}{did_you_mean(name, space.names)}")
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


def _check_new(study: Study, config: Config, *, option: str) -> None:
    for trial in study.trials:
        if trial.config == config:
            raise UsageError(
                f"trial {trial.trial_id} of study {study.spec.name!r} tried just this config: "
                f"`lexmove show {study.spec.name} {trial.trial_id}{option}` shows it"
            )
    if any(start.is_asked and start.config == config for start in study.spec.starts):
        way = f"lexmove resume {study.spec.name}{option}"
        raise UsageError(f"this config waits already: `{way}` tries it")
