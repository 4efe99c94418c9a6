"""The rules that every trial store keeps, and the words in which it refuses."""

import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from lexmove.coordinator.driver_process import resume_words
from lexmove.errors import OvertakenStudyError, StoreError, UsageError, did_you_mean
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event, Started, event_from_json, event_to_json

SPEC, JOB, EVENT = "lexmove_spec", "job", "event_"
"""User attributes of an Optuna study: its spec and job; of an Optuna trial: events, by number."""

DIGEST = "lexmove_digest"
"""The system attribute of an Optuna study that says what the study comes to."""

HEARTBEAT = "lexmove_heartbeat"
"""The one that says who runs the study, and since when nothing was heard of them."""

REQUEST = "lexmove_request_"
"""Those of starts that were requested; when, and a random number, follow."""


_WITHIN_A_STUDY = ".repetitions."
"""In the names of studies that lexmove makes within others; nobody asks for them by name."""


def event_key(seq: int) -> str:
    """Under which name an event is stored."""
    return f"{EVENT}{seq:06d}"


def is_new(study: Study, event: Event) -> bool:
    """Whether an event is the study's next one; False if the study has it already.

    Raises:
        OvertakenStudyError: another event is in its place.
        StoreError: events before this one are missing, or its trial is unknown or has ended.
    """
    name = study.spec.name
    if event.seq < study.num_events:
        if not _holds(study, event):
            raise OvertakenStudyError(
                f"event {event.seq} of study {name!r} is stored already and is another one: "
                "another process is writing the study; end it, then resume"
            )
        return False
    if event.seq > study.num_events:
        raise StoreError(
            f"event {event.seq} of study {name!r} does not follow event {study.num_events - 1}, "
            "the last one stored; another process may have the study: load it again"
        )
    if isinstance(event, Started):
        is_due = event.trial_id == len(study.trials)
    else:
        is_due = (
            event.trial_id < len(study.trials) and not study.trials[event.trial_id].status.is_final
        )
    if not is_due:
        raise StoreError(
            f"event {event.seq} of study {name!r} is about trial {event.trial_id}, which has ended "
            "or is out of turn; another process may have the study: load it again"
        )
    return True


def _holds(study: Study, event: Event) -> bool:
    """Whether just this event is in a study; as text, for NaN equals nothing."""
    trials = study.trials[event.trial_id : event.trial_id + 1]
    stored = (item for trial in trials for item in trial.events if item.seq == event.seq)
    return any(event_to_json(item) == event_to_json(event) for item in stored)


def extended(spec: StudySpec, num_trials: int, starts: Sequence[PlannedStart] = ()) -> StudySpec:
    """The spec with another budget and more planned starts.

    Raises:
        UsageError: a budget below one trial.
    """
    if num_trials < 1:
        raise UsageError(f"a study of {num_trials} trials is none: set its budget to 1 or more")
    return replace(spec, num_trials=num_trials, starts=(*spec.starts, *starts))


def request_key() -> str:
    """Under which name a request is stored: no other has it, and they sort by time."""
    return f"{REQUEST}{time.time_ns():020d}_{secrets.token_hex(4)}"


def requested(study: Study, starts: Sequence[PlannedStart]) -> StudySpec | None:
    """The spec with starts that were requested meanwhile; None where the study has all of them."""
    known = [trial.config for trial in study.trials]
    known += [start.config for start in study.spec.starts if start.is_asked]
    new: list[PlannedStart] = []
    for start in starts:
        if start.config not in known:
            new.append(replace(start, after=len(study.trials)))
            known.append(start.config)
    return extended(study.spec, study.spec.num_trials + len(new), new) if new else None


def read_spec(name: str, *, spec: str, job: str) -> StudySpec:
    """The spec of a study from what is stored of it.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return StudySpec.from_json({**json.loads(spec), "job": job})
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"study {name!r} cannot be read: its spec was damaged or written by another version "
            "of lexmove; use that version, or start a study of another name"
        ) from error


def read_event(name: str, key: str, number: int, text: str) -> Event:
    """One event; `number` is its trial's in Optuna.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return event_from_json(text)
    except ValueError as error:
        raise StoreError(
            f"study {name!r} cannot be read: {key} of trial {number} was damaged or written by "
            "another version of lexmove; use that version, or start a study of another name"
        ) from error


def without_password(url: str) -> str:
    """A store's URL as it may be shown: the password, if it has one, is left out."""
    hidden = re.sub(r"(://[^/:@]*):.*@", r"\1:…@", url)
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1…", hidden)


def study_exists(name: str, place: str) -> str:
    """The message for a study that is there already."""
    return (
        f"study {name!r} is already in {place}: go on with `lexmove resume {name}`, "
        "or give the new one another name"
    )


def stopped(name: str, reason: str) -> str:
    """The message for a study that cannot go on for a reason that is no trial's fault."""
    own = name.partition(_WITHIN_A_STUDY)[0]
    # Mostly a full disk; else the reason says what to do.
    first = "make room there, then" if "cannot be written" in reason else "once that is mended,"
    return f"study {own!r} had to stop: {reason}; {first} `{resume_words(own)}` goes on with it"


def no_such_study(name: str, known: tuple[str, ...] | None, place: str) -> str:
    """The message for a study that is not there; `known` is None where there is no store."""
    if known is None:
        return f"no study {name!r}: {place} does not exist: check the folder you are in, or --store"
    shown = [item for item in known if _WITHIN_A_STUDY not in item]
    hint = did_you_mean(name, shown) if shown else "; there is none in it yet"
    return f"no study {name!r} in {place}{hint}"
