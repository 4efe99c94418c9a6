"""How every verb ends: one message on stderr and an exit code, never a traceback for a user."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import typer

from lexmove.cli.console import say
from lexmove.errors import InvalidFileError, LexmoveError

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""

P = ParamSpec("P")


def conducted(verb: Callable[P, None]) -> Callable[P, None]:
    """The verb with its errors told in a sentence and turned into exit codes."""

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except (typer.Exit, BrokenPipeError):
            raise
        except LexmoveError as error:
            say(error_words(error), style="red")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except ModuleNotFoundError as error:
            say(_missing_words(error), style="red")
            raise typer.Exit(1) from None
        except Exception as error:  # noqa: BLE001 - the last door before the user
            _tell_bug(error)
            raise typer.Exit(1) from None

    return run


def error_words(error: LexmoveError) -> str:
    """The message; of a file with several mistakes, all of them, one per line."""
    if isinstance(error, InvalidFileError) and len(error.mistakes) > 1:
        lines = "".join(f"\n  {mistake}" for mistake in error.mistakes)
        return f"error: {len(error.mistakes)} mistakes{lines}"
    return f"error: {error}"


def _missing_words(error: ModuleNotFoundError) -> str:
    """An incomplete installation is no bug, here or on the cluster that runs this verb."""
    package = (error.name or str(error)).partition(".")[0]
    return (
        f"error: {sys.executable} has no {package}, which lexmove needs for this: install all of "
        f"its requirements (make setup), or pip install {package}"
    )


def _tell_bug(error: Exception) -> None:
    if os.environ.get("LEXMOVE_DEBUG") == "1":
        say("".join(traceback.format_exception(error)).rstrip())
    first_line = (str(error).splitlines() or [""])[0]
    say(f"error: {type(error).__name__}: {first_line}", style="red")
    say("this is a bug in lexmove; `LEXMOVE_DEBUG=1` shows the trace")


@contextmanager
def resumable(name: str, *, store: str) -> Iterator[None]:
    """Turns Ctrl-C and SIGTERM into the sentence that says how to go on with the study."""
    # While trials run it is taken between two events (`coordinator.run`); before and after, here.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        say(_way_on(name, store), style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _way_on(name: str, store: str) -> str:
    from lexmove.app.stored import store_option
    from lexmove.coordinator.store import open_store

    try:
        is_there = name in open_store(store).names()
    except LexmoveError:
        is_there = False
    if not is_there:
        return "interrupted before the study began: nothing was written"
    return (
        f"interrupted: everything measured so far is kept. To go on: "
        f"lexmove resume {name}{store_option(store)}"
    )


def say_next(name: str, *, store: str, is_timed: bool = False) -> None:
    """What to do next, on stderr; nothing on a cluster, where `submit` has said it."""
    from lexmove.app.stored import store_option
    from lexmove.coordinator.driver_process import SUPERVISOR

    if SUPERVISOR in os.environ:
        return
    option = store_option(store)
    say()
    say("next:")
    say(f"  lexmove show {name}{option}               every trial with its move")
    say(f"  lexmove best {name}{option} --json        the best config, for a program")
    say(f"  lexmove report {name}{option}             all of it with pictures, for a browser")
    if is_timed:
        say(f"  lexmove resume {name}{option} --trials 1  search for as long again")
    else:
        say(f"  lexmove resume {name}{option} --trials 8  go on with eight more trials")
