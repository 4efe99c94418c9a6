"""A file or folder that is there as a whole, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from lexmove.errors import UsageError

MADE = "made"
"""What it is called while it is made, in a hidden folder beside its place."""

_WAY_OUT = "give another place with --out"


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Gives the path at which to make it; it becomes `target` when the body ends well.

    The path is in a folder of its own, which goes with all else that was left in it. Where nothing
    was made, nothing appears. A file at `target` is replaced, an empty folder too.

    Raises:
        UsageError: `target` cannot be written, or is the current folder.
    """
    place = _place(target)
    aside = place.with_name(f".{place.name}.{uuid4().hex}")
    made = aside / MADE
    try:
        aside.mkdir(parents=True)
        yield made
        if made.is_dir() and place.is_dir():
            place.rmdir()
        if made.exists():
            made.replace(place)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}; {_WAY_OUT}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _place(target: Path) -> Path:
    """Where it is in full, which has a name even where `target` has none."""
    place = Path(os.path.realpath(target))
    if place == Path.cwd():  # replaced, it would be gone under whoever stands in it
        raise UsageError(f"cannot write {target}: it is the current folder; {_WAY_OUT}")
    if not place.name:
        raise UsageError(f"cannot write {target}: it is the root of all folders; {_WAY_OUT}")
    return place
