"""Brings finished studies of Optuna and Ray Tune into a store: whole, or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from lexmove.app.past.found import PROPOSER, FoundStudy, renamed, study_of
from lexmove.app.stored import store_url
from lexmove.coordinator.store import open_store
from lexmove.errors import LexmoveError, StudyNotFoundError, UsageError
from lexmove.study.protocols import TrialStore
from lexmove.study.scoring import Goal
from lexmove.study.study import Study
from lexmove.study.trial import Event, event_to_json


class PastResults(Protocol):
    """Studies of another tool, by name."""

    def names(self) -> tuple[str, ...]: ...

    def read(self, name: str, *, metric: str | None, goal: Goal | None) -> FoundStudy:
        """One of them; `metric` and `goal` are the user's word, where it does not say itself."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one study: `study` is None where it was refused, with `reason`.

    `is_new` tells one that was brought in from one that is there already. `remarks` say what of
    its source is not in it.
    """

    source: str
    study: Study | None = None
    is_new: bool = False
    reason: str | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to import and under which names.

    `study` is a study's name in its source, None for all. `name` is its name here, the same where
    None. `rename` has its hyperparameters' names here, by those there.
    """

    study: str | None = None
    name: str | None = None
    rename: Mapping[str, str] | None = None
    metric: str | None = None
    goal: Goal | None = None


def import_past(source: str, wanted: Wanted, *, store: str | None = None) -> tuple[Imported, ...]:
    """Imports one study of a source, or all of them.

    Args:
        source: the URL of an Optuna storage, its file, or a folder of Ray Tune's results.
        wanted: which, and how.
        store: URL of the store that they go into.

    Raises:
        UsageError: nothing to import there, or a name that is none.
        StudyNotFoundError: no study of the name that is wanted.
        StoreError: source or store cannot be read or written.
    """
    for option, text in (("--name", wanted.name), ("--metric", wanted.metric)):
        if text is not None and not text.strip():
            raise UsageError(f"{option} is empty: give a name, or leave {option} out")
    results = open_results(source)
    names = results.names() if wanted.study is None else (wanted.study,)
    if not names:
        raise UsageError(f"{source} holds no study of another tool: nothing to import")
    if wanted.name is not None and len(names) > 1:
        raise UsageError(f"--name is for one study, and there are {len(names)}: add --study NAME")
    if len(names) == 1:
        wanted = replace(wanted, study=names[0])
    opened = open_store(store_url(None, store))
    return tuple(_imported(opened, results, name, wanted) for name in names)


def open_results(source: str) -> PastResults:
    """What a source holds: a folder Ray Tune's results, anything else an Optuna storage.

    Raises:
        UsageError: nothing is there.
        StoreError: it cannot be read.
    """
    if "://" not in source and Path(source).is_dir():
        from lexmove.app.past.ray_results import RayResults

        return RayResults(Path(source))
    from lexmove.app.past.optuna_studies import OptunaStudies

    is_file = "://" not in source and not source.endswith(".log")
    return OptunaStudies(f"sqlite:///{source}" if is_file else source)


def _imported(store: TrialStore, results: PastResults, name: str, wanted: Wanted) -> Imported:
    """One study, in the store or refused."""
    source = f"study {name!r}"
    try:
        found = results.read(name, metric=wanted.metric, goal=wanted.goal)
        source = found.source
        names = wanted.rename or {}
        if wanted.study is None:  # of several studies not each has every name
            names = {theirs: ours for theirs, ours in names.items() if theirs in found.domains}
        ours = wanted.name or name
        if not ours.strip():
            raise UsageError(f"its name is empty: give it one with --study {name!r} --name NAME")
        study, remarks = study_of(renamed(found, names), ours)
        is_new = _write(store, study)
    except StudyNotFoundError:
        raise
    except LexmoveError as error:
        return Imported(source=source, reason=str(error))
    return Imported(source=source, study=study, is_new=is_new, remarks=remarks)


def _write(store: TrialStore, study: Study) -> bool:
    """Writes a study unless it is there; one whose import was cut short is gone on with.

    Raises:
        UsageError: another study of that name is there.
    """
    name = study.spec.name
    try:
        there = store.load(name)
    except StudyNotFoundError:
        store.create(study.spec)
        there = store.load(name)
    events = study.events
    if there.spec != study.spec or not _begins_with(events, there):
        raise UsageError(_taken(there, study))
    if there.num_events == len(events):
        return False
    store.append(name, *events)
    return True


def _begins_with(events: Sequence[Event], there: Study) -> bool:
    """Compared as text, for NaN equals nothing."""
    known = [event_to_json(event) for event in there.events]
    return known == [event_to_json(event) for event in events[: len(known)]]


def _taken(there: Study, study: Study) -> str:
    """Why a study cannot come under its name, and what to do."""
    way = "give another one with --study and --name"
    if not there.trials or there.trials[0].decision.proposer != PROPOSER:
        return f"the store has another study of that name: {way}"
    return (
        f"the store has an earlier import of that name, {_difference(there, study)}: {way}, or "
        f"delete that one first (lexmove delete {study.spec.name})"
    )


def _difference(there: Study, study: Study) -> str:
    """In what an earlier import is not this one: the first thing that a user would look for."""
    if there.spec.metric != study.spec.metric or there.spec.goal != study.spec.goal:
        before, now = (f"{item.spec.goal} {item.spec.metric}" for item in (there, study))
        return f"with another objective ({before}, now {now})"
    gone, come = set(there.spec.space.names), set(study.spec.space.names)
    if gone != come:
        before, now = (", ".join(sorted(names)) or "none" for names in (gone - come, come - gone))
        return f"with other names of hyperparameters ({before}, now {now})"
    if len(there.trials) != len(study.trials):
        return f"with other trials ({len(there.trials)}, now {len(study.trials)})"
    if _begins_with(study.events, there):
        return "with other ranges"
    is_same = all(a.config == b.config for a, b in zip(there.trials, study.trials, strict=True))
    return f"with other {'values' if is_same else 'trials'}"
