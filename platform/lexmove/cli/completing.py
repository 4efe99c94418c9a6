"""What a shell offers at a Tab where a study is named."""

from contextlib import suppress

import typer

from lexmove.errors import LexmoveError


def study_names(context: typer.Context, incomplete: str) -> list[str]:
    """The studies of the store that the line names so far; none where it cannot be read.

    A cluster is not asked: that takes seconds.
    """
    if context.params.get("address"):
        return []
    from lexmove.app.stored import REPETITIONS, store_url
    from lexmove.coordinator.store import open_reader

    with suppress(LexmoveError, OSError):
        names = open_reader(store_url(None, context.params.get("store"))).names()
        return [name for name in names if name.startswith(incomplete) and REPETITIONS not in name]
    return []
