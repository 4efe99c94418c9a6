"""Names for the processes that run studies, which mean something on other machines, too."""

import os
import socket
from pathlib import Path

SUPERVISOR = "LEXMOVE_SUPERVISOR"
"""The variable by which a supervisor tells its driver who is asked to leave in its place."""


def this_process() -> str:
    """The process that is asked to leave where this one runs a study, and its machine."""
    return f"{os.environ.get(SUPERVISOR) or os.getpid()} of {_machine()}"


def is_of_this_machine(process: str) -> bool:
    """Whether the number of a process is one of this machine, or of this container of it."""
    return process.partition(" of ")[2] == _machine()


def pid_here(process: str) -> int | None:
    """Its number, where it is one of this machine."""
    pid = process.partition(" of ")[0]
    return int(pid) if pid.isdecimal() and is_of_this_machine(process) else None


def exists_here(process: str) -> bool:
    """Whether it is a process of this machine that lives."""
    pid = pid_here(process)
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def shown(process: str) -> str:
    """A process for people."""
    return process.partition(" pid:")[0]


def resume_words(name: str) -> str:
    """The command that goes on with a study, for who reads this where it was asked for."""
    return f"lexmove {'submit --resume' if os.environ.get(SUPERVISOR) else 'resume'} {name}"


def being_run(name: str, process: str) -> str:
    """The message for a study that a process runs."""
    return (
        f"study {name!r} is being run by process {shown(process)}; wait for it, or end it and "
        "resume"
    )


def _machine() -> str:
    """What the numbers of processes belong to: a host, and on Linux a container of it."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()
