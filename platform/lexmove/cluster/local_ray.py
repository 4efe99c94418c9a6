"""Watches a local Ray: where its raylet or its GCS dies, this process ends at once.

Ray itself notices it after a quarter of a minute, and where it happens in Ray's start after half a
minute; this process ends then, too. Whoever resumes the study need not wait for that.
"""

import os
import sys
import threading
from pathlib import Path

from lexmove.errors import ClusterError

_VITAL = ("raylet", "gcs_server")
"""The names of the processes without which nothing goes on."""

_DEAD = ("X", "Z")
"""The states of a process that has ended; a zombie until Ray asks for its status."""

_LOOKS_S = 0.5


class RayWatch:
    """While it is not closed, the end of a vital process of Ray is this process's end.

    With exit status 4 and a sentence on stderr; no `finally` runs, since it would wait for Ray.
    Only Linux tells which processes these are; elsewhere it is left to Ray.

    Args:
        is_local: whether this process starts Ray, so that there is something to watch.

    Attributes:
        known: the vital processes found so far, by name.
    """

    def __init__(self, *, is_local: bool) -> None:
        self.known: dict[str, int] = {}
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ray-watch", daemon=True)
        if is_local:
            self._thread.start()
        else:
            self._is_closed.set()

    def close(self) -> None:
        """Lets Ray's processes end; may be called again."""
        if not self._is_closed.is_set():
            self._is_closed.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._is_closed.wait(_LOOKS_S):
            for name, pid in self.known.items():
                if not _lives(pid):
                    _end(name)
            if len(self.known) < len(_VITAL):
                self.known |= _vital_children()


def _vital_children() -> dict[str, int]:
    """Process ids by name."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        name, state, parent = _stat(folder)
        if name in _VITAL and parent == str(os.getpid()) and state not in _DEAD:
            found[name] = int(folder.name)
    return found


def _lives(pid: int) -> bool:
    return _stat(Path(f"/proc/{pid}"))[1] not in _DEAD


def _stat(folder: Path) -> tuple[str, str, str]:
    """Name, state and parent of a process; its state is "X" where it is gone."""
    try:
        head, _, rest = (folder / "stat").read_text().rpartition(") ")
    except OSError:
        return "", "X", ""
    state, parent, *_ = rest.split(maxsplit=2)
    return head.partition("(")[2], state, parent


def _end(name: str) -> None:
    cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a live table has hidden it
    sys.stderr.write(
        f"{cursor}error: the {name} of the Ray on this machine died, and Ray cannot do without it\n"
        "what was stored is kept: `lexmove resume STUDY` goes on with a study, `lexmove pretrain "
        "--out DIR --resume` with a pre-training\n"
    )
    sys.stderr.flush()
    os._exit(ClusterError.exit_code)
