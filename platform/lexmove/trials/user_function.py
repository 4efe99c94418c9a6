"""A function of the user's own: loaded from a module or a file by name, and held to its promise."""

import importlib
import importlib.util
import math
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any

from lexmove.errors import TrialFailedError, UsageError, did_you_mean

FORMS = "a function of your own is written package.module:function or path/to/file.py:function"


def load_function(name: str) -> Callable[..., Any]:
    """The function `package.module:function` or `path/to/file.py:function`.

    Modules are looked for in the current folder first.

    Raises:
        UsageError: no such file, module or function, or one that cannot be imported.
    """
    place, _, function = name.rpartition(":")
    module = _file_module(name, place) if place.endswith(".py") else _module(name, place)
    found = getattr(module, function, None)
    if found is None:
        raise UsageError(
            f"metric {name!r}: {place} has no function {function!r}{_hint(module, function)}"
        )
    if not callable(found):
        raise UsageError(
            f"metric {name!r}: {function!r} in {place} is no function but {_brief(repr(found))}"
        )
    chosen: Callable[..., Any] = found
    return chosen


def one_number(name: str, function: Callable[..., Any], *arguments: Any) -> float:
    """What the user's function called `name` returns for these arguments.

    Raises:
        TrialFailedError: it raised, or returned something else than one finite number.
    """
    try:
        value = function(*arguments)
    except Exception as error:
        raise TrialFailedError(f"metric {name!r} failed with {_told(error)}") from error
    if not isinstance(value, Real) or not math.isfinite(value):
        raise TrialFailedError(
            f"metric {name!r} returned {_brief(repr(value))}, which is no finite number"
        )
    return float(value)


def _module(name: str, place: str) -> ModuleType:
    try:
        with _current_folder():
            return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            raise UsageError(
                f"metric {name!r}: there is no module {error.name!r}, neither in {Path.cwd()} nor "
                f"installed; {FORMS}"
            ) from error
        raise _unusable(name, place, error) from error
    except Exception as error:
        raise _unusable(name, place, error) from error


def _file_module(name: str, place: str) -> ModuleType:
    path = Path(place).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"metric {name!r}: there is no file {path}; {FORMS}")
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
        raise _unusable(name, place, error) from error
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


def _hint(module: ModuleType, function: str) -> str:
    known = [
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
    return did_you_mean(function, known) if known else "; it defines none"


def _unusable(name: str, place: str, error: Exception) -> UsageError:
    return UsageError(f"metric {name!r}: {place} cannot be imported: {_told(error)}")


def _told(error: Exception) -> str:
    return _brief(f"{type(error).__name__}: {error}")


def _brief(text: str) -> str:
    return shorten(text, 200, placeholder=" …")
