"""`lexmove` as a process of its own: begun, and left to the test."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def begun(
    folder: Path, *words: str, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """`lexmove WORDS` in a folder, with its output in pipes.

    Args:
        folder: where it runs.
        words: the verb and its arguments.
        environment: all that it sees; None for that of the tests. One thread a process, in either.
        options: further ones of `subprocess.Popen`, or others for the same.
    """
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": _hears_ctrl_c}
    return subprocess.Popen(
        [sys.executable, "-m", "lexmove", *words],
        cwd=folder,
        env={**(os.environ if environment is None else environment), "OMP_NUM_THREADS": "1"},
        text=True,
        **{**piped, **options},
    )


def _hears_ctrl_c() -> None:
    """A suite that was started in the background ignores Ctrl-C, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
