"""Words in, words out: the command line, which loads a library only where a verb needs it."""

import sys

_MIN_PYTHON = (3, 11)


def main() -> None:
    """The entry point `lexmove`."""
    if sys.version_info < _MIN_PYTHON:
        found, needed = (".".join(map(str, v)) for v in (sys.version_info[:2], _MIN_PYTHON))
        sys.exit(
            f"error: lexmove needs Python {needed} or newer, and this is {found} "
            f"({sys.executable}): make setup PYTHON=/path/to/python{needed}"
        )
    try:
        from lexmove.cli.quiet import silence_libraries

        silence_libraries()
        from lexmove.cli.verbs import app

        app(prog_name="lexmove")
    except KeyboardInterrupt:
        sys.exit(130)
