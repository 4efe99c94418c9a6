"""How a job names code of the user's own: `package.module:name`, or `path/to/file.py:name`."""

from collections.abc import Callable


def is_own(name: str) -> bool:
    """Whether it names code of the user's own, and nothing that comes with lexmove."""
    place, _, attribute = name.rpartition(":")
    return bool(place and attribute)


def own_file(name: str) -> str | None:
    """The path of the file; None where it names a module, or nothing of the user's own."""
    place = name.rpartition(":")[0]
    return place if place.endswith(".py") and is_own(name) else None


def with_own_file(name: str, place: Callable[[str], str]) -> str:
    """The name with its file where `place` says that it is; as it is where it names none."""
    path = own_file(name)
    return name if path is None else f"{place(path)}:{name.rpartition(':')[2]}"
