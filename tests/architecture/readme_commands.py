"""The commands that READMEs and pages show, and the one way for a test to run one of them."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from architecture.readme_tree import ROOT

READMES = (
    ROOT / "README.md",
    *sorted((ROOT / "platform").rglob("*.md")),
)
PROGRAMS = ("lexmove", "make", "best/run.sh", "optuna", "optuna-dashboard")
"""Of other programs (pip, ray, ssh), commands are not ours to test."""

_OURS = re.compile(rf"^(?:{'|'.join(map(re.escape, PROGRAMS))})(?= |$)")


@cache
def commands() -> frozenset[str]:
    """All of them, without comments and output redirections."""
    return frozenset(command for path in READMES for command in _commands(path))


def shown(command: str) -> list[str]:
    """The words of a command after its program's name; a README or a page shows just this one."""
    assert command in commands(), f"neither a README nor a page shows: {command}"
    return shlex.split(command)[1:]


def _commands(path: Path) -> Iterator[str]:
    is_code, language = False, ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("```"):
            is_code, language = not is_code, line[3:]
        elif is_code and language in ("", "sh", "bash") and _OURS.match(line):
            yield re.sub(r"\s+(#|> ).*$", "", line).strip()
