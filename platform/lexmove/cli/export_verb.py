"""The verb `export`: the winner as a folder that needs no lexmove, or handed on to other tools."""

from pathlib import Path
from typing import Annotated

import typer

from lexmove.cli.conduct import conducted
from lexmove.cli.options import Json, Store, Study


@conducted
def export(
    study: Study,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="A new folder.", show_default=False),
    ],
    store: Store = None,
    without_data: Annotated[
        bool, typer.Option("--without-data", help="Leave the examples out.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the winner as a folder that needs no lexmove.

    Its config, a script that trains it anew, the checkpoint for plain transformers, a model card,
    and where all of it comes from. Everything is read back after it was written.
    """
    from lexmove.app.exporting import export as exported
    from lexmove.cli.console import say, write, write_json

    provenance = exported(study, out, store=store, with_data=not without_data, say=say)
    if json:
        write_json(provenance)
    else:
        write(str(out))
    num = len(provenance["files"]) + 1
    say(f"wrote {num} files to {out}")
    say("next:")
    say(f"  pip install -r {out}/requirements.txt   # in any environment, without lexmove")
    say(f"  {out}/run.sh                            # trains it anew and scores it")
