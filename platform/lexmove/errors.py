"""The exception tree; every message says what, where, the rule and the way out.

LexmoveError                 anything lexmove reports to its user        exit code 1
├── InvalidFileError         every mistake of one file, file:line:col     2
├── InvalidConfigError       a config or move outside its search space    2
├── TaskError                data that cannot be used as asked            2
├── ModelError               a model that cannot be loaded as asked       2
├── UsageError               a request that makes no sense                2
│   └── NothingLeftError     to suggest: all that may be tried was asked
├── StoreError               a study that cannot be read or written       1
├── StudyNotFoundError       no study of that name in the store           2
├── StudyFailedError         a study that had to stop                     1
├── NoSuccessfulTrialError   a study without one usable measurement       3
├── HandOverError            another tool did not take what it was given  1
├── ClusterError             a cluster out of reach, or auth refused      4
│   ├── ClusterTokenError    no token, or another cluster's
│   ├── ClusterOpenError     one that asks nobody for a token
│   ├── ClusterVersionError  its Ray or Python is not what is needed
│   └── JobLostError         a submitted job that ended without a word
└── TrialError               raised inside a trial; becomes its outcome
    ├── TrialFailedError     the trial went wrong (NaN, an exception)
    ├── InfeasibleError      the config cannot work here (out of memory)
    └── StorageError         what it keeps cannot be written (disk full)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar


class LexmoveError(Exception):
    """Root of everything lexmove reports; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake in a file: where it stands and what would be right.

    `line` and `column` count from 1; 0 means that the place is unknown.
    """

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return f"{place}: {self.message}"


class InvalidFileError(LexmoveError, ValueError):
    """All mistakes of one or more files, in the order in which they stand."""

    exit_code = 2

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


class InvalidConfigError(LexmoveError, ValueError):
    """A config (or a move) that its search space does not allow."""

    exit_code = 2


class TaskError(LexmoveError, ValueError):
    """Data that is missing, broken or unfit for the task."""

    exit_code = 2


class ModelError(LexmoveError, ValueError):
    """A model that is missing, incomplete or not what was asked for."""

    exit_code = 2


class UsageError(LexmoveError, ValueError):
    """A request that cannot be carried out as it was put."""

    exit_code = 2


class NothingLeftError(UsageError):
    """A request for another config where all that may be tried was asked."""


class StoreError(LexmoveError):
    """A study store that cannot be read or written."""


class OvertakenStudyError(StoreError):
    """A study that another process writes, which a further try would only disturb."""

    exit_code = 2


class StudyNotFoundError(LexmoveError, LookupError):
    """The store holds no study of that name."""

    exit_code = 2


class StudyFailedError(LexmoveError):
    """A study that could not go on; what it had is in the store."""


class NoSuccessfulTrialError(LexmoveError):
    """A study that ended without one usable measurement."""

    exit_code = 3


class HandOverError(LexmoveError):
    """Another tool that did not take what it was given: a tracker, a hub."""


class ClusterError(LexmoveError):
    """A Ray cluster that cannot be reached or refuses the token."""

    exit_code = 4


class ClusterTokenError(ClusterError):
    """A cluster that asks for a token, where there is none or it is another cluster's."""


class ClusterOpenError(ClusterError):
    """A cluster on the network that lets in whoever comes."""


class ClusterVersionError(ClusterError):
    """A cluster whose Ray or Python is not what lexmove needs."""


class JobLostError(ClusterError):
    """A submitted job that ended and left no exit status: its node or the cluster went."""


class TrialError(LexmoveError):
    """Raised inside a trial; `reason` is the one line that its user reads."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class TrialFailedError(TrialError):
    """The trial went wrong: a NaN, a divergence, an exception, a time limit."""


class InfeasibleError(TrialError):
    """The config cannot be trained here: out of memory, sequence too long."""


class StorageError(TrialError):
    """What a trial keeps cannot be written: no fault of its own, and the next one's, too."""


class DamagedStorageError(StorageError):
    """What a trial kept is not what it wrote."""


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Returns "; did you mean 'x'?" for the nearest known name, else the known names.

    The end of every "unknown name" message.
    """
    nearest = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}"
