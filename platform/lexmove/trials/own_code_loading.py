"""A function or class of the user's own: loaded from a module or file, and held to its promise."""

import importlib
import importlib.util
import math
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any

from lexmove.errors import TrialFailedError, UsageError, did_you_mean
from lexmove.job.own_code import with_own_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a job names: `setting` is what messages call it, `kind` a function or a class."""

    setting: str
    kind: str

    @property
    def forms(self) -> str:
        """How its name is written."""
        return (
            f"a {self.kind} of your own is written package.module:{self.kind} or "
            f"path/to/file.py:{self.kind}"
        )


METRIC = Wanted(setting="metric", kind="function")
PROPOSER = Wanted(setting="proposer", kind="class")


def load_own(name: str, wanted: Wanted = METRIC) -> Callable[..., Any]:
    """What `package.module:name` or `path/to/file.py:name` names; a file is read anew.

    Modules are looked for in the current folder first.

    Raises:
        UsageError: no such file, module, function or class, or one that cannot be imported.
    """
    place, _, attribute = name.rpartition(":")
    load = _file_module if place.endswith(".py") else _module
    module = load(name, place, wanted)
    found = getattr(module, attribute, None)
    said = f"{wanted.setting} {name!r}"
    if found is None:
        hint = _hint(module, attribute)
        raise UsageError(f"{said}: {place} has no {wanted.kind} {attribute!r}{hint}")
    if not callable(found) or (wanted.kind == "class" and not isinstance(found, type)):
        raise UsageError(
            f"{said}: {attribute!r} in {place} is no {wanted.kind} but {brief(repr(found))}"
        )
    chosen: Callable[..., Any] = found
    return chosen


def settled_name(name: str) -> str:
    """The name that means the same in any folder: the path of a file becomes absolute."""
    return with_own_file(name, lambda path: str(Path(path).expanduser().absolute()))


def one_number(name: str, function: Callable[..., Any], *arguments: Any) -> float:
    """What the user's function called `name` returns for these arguments.

    Raises:
        TrialFailedError: it raised, or returned something else than one finite number.
    """
    try:
        value = function(*arguments)
    except Exception as error:
        raise TrialFailedError(f"metric {name!r} failed with {told(error)}") from error
    if not isinstance(value, Real) or not math.isfinite(value):
        raise TrialFailedError(
            f"metric {name!r} returned {brief(repr(value))}, which is no finite number"
        )
    return float(value)


def told(error: BaseException) -> str:
    """What an exception says, in a line."""
    return brief(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def line_in(error: BaseException, code: object) -> str:
    """` in line N`, the last one of the trace in the file of this class; empty without one."""
    file = getattr(sys.modules.get(getattr(code, "__module__", "")), "__file__", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" in line {lines[-1]}" if lines else ""


def brief(text: str) -> str:
    """A text for a message: one line, and no longer than that."""
    return shorten(text, 200, placeholder=" …")


def _module(name: str, place: str, wanted: Wanted) -> ModuleType:
    try:
        with _current_folder():
            return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            raise UsageError(
                f"{wanted.setting} {name!r}: there is no module {error.name!r}, neither in "
                f"{Path.cwd()} nor installed; {wanted.forms}"
            ) from error
        raise _unusable(name, place, wanted, error) from error
    except Exception as error:
        raise _unusable(name, place, wanted, error) from error


def _file_module(name: str, place: str, wanted: Wanted) -> ModuleType:
    path = Path(place).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"{wanted.setting} {name!r}: there is no file {path}; {wanted.forms}")
    # Two files may have the same name, and one may be named like an installed package.
    unique = f"{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[unique] = importlib.util.module_from_spec(spec)
    try:
        with _current_folder():
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[unique]
        raise _unusable(name, place, wanted, error) from error
    return module


@contextmanager
def _current_folder() -> Iterator[None]:
    """Modules of the current folder can be imported, as in `python -m`."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _hint(module: ModuleType, attribute: str) -> str:
    known = [
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
    return did_you_mean(attribute, known) if known else "; it defines none"


def _unusable(name: str, place: str, wanted: Wanted, error: Exception) -> UsageError:
    return UsageError(f"{wanted.setting} {name!r}: {place} cannot be imported: {told(error)}")
