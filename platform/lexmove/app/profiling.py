"""Profiles of a stored study: of its search, and of its repetitions."""

from lexmove.app.stored import repetitions_of, store_url
from lexmove.coordinator.store import open_store
from lexmove.results.profile import Profile, profile_of


def profiles(name: str, *, store: str | None = None) -> dict[str, Profile]:
    """By part of the study, `search` first.

    Raises:
        StudyNotFoundError: no study of that name.
    """
    opened = open_store(store_url(None, store))
    study = opened.load(name)
    repetitions = repetitions_of(opened, study)
    parts = {"search": profile_of(study)}
    if repetitions is not None:
        parts["repetitions"] = profile_of(repetitions)
    return parts
