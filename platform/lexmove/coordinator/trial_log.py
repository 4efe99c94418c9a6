"""The log of a trial: what its process prints while one of its segments runs, in a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OUTPUTS = (1, 2)
"""stdout and stderr, also as C libraries know them."""


def log_file(trial_dir: Path) -> Path:
    """Where it lies."""
    return trial_dir / "log.txt"


@contextmanager
def logged(trial_dir: Path, *, title: str, link: Path | None = None) -> Iterator[None]:
    """Sends what is printed in the body to the trial's log, below a line with `title`.

    Args:
        trial_dir: the trial's folder.
        title: what the body does.
        link: is made to lead to the log, if it can be.

    Raises:
        OSError: the log cannot be opened.
    """
    path = log_file(trial_dir)
    with path.open("ab", buffering=0) as file:
        if link is not None:
            with suppress(OSError):  # without it, the log is still there
                link.unlink(missing_ok=True)
                link.symlink_to(path)
        _flush()
        kept = [os.dup(output) for output in _OUTPUTS]
        for output in _OUTPUTS:
            os.dup2(file.fileno(), output)
        try:
            file.write(f"-- {title}\n".encode())
            yield
        finally:
            _flush()
            for before, output in zip(kept, _OUTPUTS, strict=True):
                os.dup2(before, output)
                os.close(before)


def _flush() -> None:
    with suppress(OSError, ValueError):  # a full disk, a stream that was closed
        sys.stdout.flush()
        sys.stderr.flush()
