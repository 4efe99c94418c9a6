"""The verb `import`: finished studies of other tools, from which new jobs learn."""

from enum import StrEnum
from typing import Annotated

import typer

from lexmove.cli.conduct import conducted
from lexmove.cli.options import Json, Store, by_name
from lexmove.errors import UsageError


class Goal(StrEnum):
    """Which way is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


@conducted
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An Optuna storage (its URL or file), or a folder of Ray Tune's results.",
            show_default=False,
        ),
    ],
    study: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this study of the source.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it is called here.", show_default=False),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THEIRS=OURS",
            help="A hyperparameter's name there and here; may be repeated.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The objective, where it has no name there.", show_default=False
        ),
    ] = None,
    goal: Annotated[
        Goal | None,
        typer.Option(help="Which way is better, where it does not say.", show_default=False),
    ] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Bring finished studies of Optuna or Ray Tune into the store.

    New jobs that search hyperparameters of the same names then begin with what did best in them.
    A study comes in whole or not at all, and only once.
    """
    from lexmove.app.past.importing import Wanted, import_past
    from lexmove.cli.import_view import write_imported

    wanted = Wanted(
        study=study,
        name=name,
        rename=by_name(rename or [], form="THEIRS=OURS, such as lr=learning_rate"),
        metric=metric,
        goal=None if goal is None else goal.value,
    )
    done = import_past(source, wanted, store=store)
    write_imported(done, as_json=json)
    if all(item.study is None for item in done):
        raise typer.Exit(UsageError.exit_code)
