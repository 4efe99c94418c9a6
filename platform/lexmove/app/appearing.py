"""A file or folder that is there as a whole, or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from lexmove.errors import UsageError

MADE = "made"
"""What it is called while it is made, in a hidden folder beside its place."""


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Gives the path at which to make it; it becomes `target` when the body ends well.

    The path is in a folder of its own, which goes with all else that was left in it. Where nothing
    was made, nothing appears. A file at `target` is replaced, an empty folder too.

    Raises:
        UsageError: `target` cannot be written.
    """
    aside = target.with_name(f".{target.name}.{uuid4().hex}")
    made = aside / MADE
    try:
        aside.mkdir(parents=True)
        yield made
        if made.is_dir() and target.is_dir():
            target.rmdir()
        if made.exists():
            made.replace(target)
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror or error}; give another place with --out"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
