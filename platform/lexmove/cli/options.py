"""Options and arguments that several verbs share, and how their words are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lexmove.cli.completing import study_names
from lexmove.errors import UsageError

Store = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where studies are kept. Default: LEXMOVE_STORE, else sqlite:///studies.db here.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Job = Annotated[Path, typer.Argument(metavar="JOB", help="The job file.", show_default=False)]
Study = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="The study's name.",
        show_default=False,
        autocompletion=study_names,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Of a running Ray cluster; in-process: without Ray. Default: this machine.",
        show_default=False,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Ask the cluster with this dashboard, http://HOST:8265. Default: read the store here.",
        show_default=False,
    ),
]
Dashboard = Annotated[bool, typer.Option("--dashboard", help="Start Ray's dashboard, too.")]
Profile = Annotated[bool, typer.Option("--profile", help="Say where the time went.")]

Storage = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|URI",
        help="The storage of its job: where its store is lost, it is restored from there.",
        show_default=False,
    ),
]


def by_name(words: Sequence[str], *, form: str) -> dict[str, str]:
    """Words such as `learning_rate=3e-5` as a mapping; `form` says how they are to be written.

    Raises:
        UsageError: one has not that form, or a name comes twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name or not value:
            raise UsageError(f"{word!r} is no {form}")
        if name in found:
            raise UsageError(f"{name} is given twice: it can be one thing only")
        found[name] = value
    return found
