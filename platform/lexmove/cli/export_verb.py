"""The verb `export`: the winner as a folder that needs no lexmove, or handed on to other tools."""

import json as json_module
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lexmove.cli.conduct import conducted
from lexmove.cli.options import Cluster, Json, Store, Study
from lexmove.cli.remote_verbs import fetch_there


class Format(StrEnum):
    """Tools whose config files are plain YAML."""

    HYDRA = "hydra"
    WANDB = "wandb"


class Receiver(StrEnum):
    """Tools that take a whole export."""

    MLFLOW = "mlflow"


@conducted
def export(
    study: Study,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="A new folder.", show_default=False),
    ],
    store: Store = None,
    address: Cluster = None,
    without_data: Annotated[
        bool, typer.Option("--without-data", help="Leave the examples out.")
    ] = False,
    merge_lora: Annotated[
        bool,
        typer.Option("--merge-lora", help="Merge adapters into the weights, as is always done."),
    ] = False,
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            help="Write the config for this tool, too, as YAML; may be repeated.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Receiver | None,
        typer.Option(help="Log all of it to MLFLOW_TRACKING_URI, too.", show_default=False),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="USER/NAME",
            help="Upload it, without the examples, to a private repository with HF_TOKEN.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write the winner as a folder that needs no lexmove.

    Its config, a script that trains it anew, the checkpoint for plain transformers (LoRA adapters
    are merged into the weights), a model card, and where all of it comes from. Everything is read
    back after it was written.
    """
    from lexmove.app.exporting import check_free
    from lexmove.app.exporting import export as exported
    from lexmove.app.outlets.hub import check_hub
    from lexmove.app.outlets.mlflow_door import check_mlflow
    from lexmove.cli.console import say, write, write_json

    if to is not None:
        check_mlflow()
    if push_to_hub is not None:
        check_hub(push_to_hub)
    check_free(out)
    names = [item.value for item in dict.fromkeys(formats or ())]
    if address is not None:
        words = ["export", study, *(["--without-data"] if without_data else [])]
        words += [word for name in names for word in ("--format", name)]
        words += ["--json"] if json else []
        fetch_there(words, study=study, address=address, store=store, target=out)
        _hand_over(out, to_mlflow=to is not None, repository=push_to_hub)
        return
    provenance = exported(
        study, out, store=store, with_data=not without_data, formats=names, say=say
    )
    if json:
        write_json(provenance)
    else:
        write(str(out))
    num = len(provenance["files"]) + 1
    say(f"wrote {num} files to {out}")
    if merge_lora:
        say("no adapters are left in it: a study's checkpoint has them merged")
    _hand_over(out, to_mlflow=to is not None, repository=push_to_hub)
    say("next:")
    say(f"  pip install -r {out}/requirements.txt   # in any environment, without lexmove")
    say(f"  {out}/run.sh                            # trains it anew and scores it")


def _hand_over(out: Path, *, to_mlflow: bool, repository: str | None) -> None:
    """Gives an exported folder to whom it is meant for."""
    from lexmove.app.outlets.hub import push_to_hub
    from lexmove.app.outlets.mlflow_export import to_mlflow as logged
    from lexmove.cli.console import say

    provenance = json_module.loads((out / "provenance.json").read_text(encoding="utf-8"))
    if to_mlflow:
        best = json_module.loads((out / "best.json").read_text(encoding="utf-8"))
        say(f"logged it to MLflow as run {logged(out, best, provenance)}")
    if repository is not None:
        url = push_to_hub(out, repository, study=provenance["study"])
        say(f"pushed it to {url}; the examples (data/) stay here")
