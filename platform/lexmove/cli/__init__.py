"""Words in, words out: the command line, which loads a library only where a verb needs it."""

import sys


def main() -> None:
    """The entry point `lexmove`."""
    try:
        from lexmove.cli.quiet import silence_libraries

        silence_libraries()
        from lexmove.cli.verbs import app

        app(prog_name="lexmove")
    except KeyboardInterrupt:
        sys.exit(130)
