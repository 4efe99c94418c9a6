"""The verb `report`: an offline page about a study, or about several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from lexmove.cli.completing import study_names
from lexmove.cli.conduct import conducted
from lexmove.cli.options import Cluster, Store
from lexmove.cli.remote_verbs import fetch_there


@conducted
def report(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY",
            help="The study's name; several are compared.",
            show_default=False,
            autocompletion=study_names,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "--out",
            metavar="FILE",
            help="The page to write. Default: STUDY.report.html here; of several "
            "comparison.report.html.",
            show_default=False,
        ),
    ] = None,
    store: Store = None,
    address: Cluster = None,
) -> None:
    """Write an HTML page that shows how a study went and why.

    One file that needs no network: the verdict, the agent's path, every hyperparameter, failures,
    where the time went, and how to do it again. Of several studies: side by side.
    """
    from lexmove.app.reporting import write_report
    from lexmove.cli.console import say, write

    path = output or Path(_default_name(studies))
    if address is not None:
        words = ["report", *studies]
        fetch_there(words, study=studies[0], address=address, store=store, target=path)
        return
    write_report(studies, path, store=store)
    say(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB): open it in any browser")
    write(str(path))


def _default_name(studies: list[str]) -> str:
    """Of a study whose name is no file's name, what can be one."""
    if len(studies) > 1:
        return "comparison.report.html"
    kept = "".join(c if c.isalnum() or c in "._- " else "_" for c in studies[0])
    return f"{kept.lstrip('.') or 'study'}.report.html"
