"""The verb `enqueue`: a config of the user's is what a study tries next, here or on a cluster."""

import json as json_text
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from lexmove.cli.conduct import conducted
from lexmove.cli.options import Cluster, Json, Store, Study, by_name


@conducted
def enqueue(
    study: Study,
    values: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE...", help="Values of the config.", show_default=False),
    ],
    like: Annotated[
        int | None,
        typer.Option(
            metavar="TRIAL",
            help="Take all other values from this trial. Default: the space's defaults.",
            show_default=False,
        ),
    ] = None,
    store: Store = None,
    address: Cluster = None,
    json: Json = False,
) -> None:
    """Have a study try a config of yours next, while it runs or when it goes on.

    It is one trial more than the budget had.
    """
    words = by_name(values, form="NAME=VALUE, such as learning_rate=3e-5")
    if address is None:
        found = _enqueue(study, words, like=like, store=store)
    else:
        told = ["enqueue", study, *values, *([] if like is None else ["--like", str(like)])]
        found = _enqueue_there(told, study=study, address=address, store=store)
    _say(study, found, address=address, store=store, as_json=json)


def _enqueue(
    study: str, words: dict[str, str], *, like: int | None, store: str | None
) -> dict[str, Any]:
    from lexmove.app.enqueueing import enqueue

    done = enqueue(study, words, like=like, store=store)
    return {"study": study, "config": dict(done.config), "runner": done.runner}


def _enqueue_there(
    told: Sequence[str], *, study: str, address: str, store: str | None
) -> dict[str, Any]:
    from lexmove.cli.remote_reading import ask_there

    answer = ask_there([*told, "--json"], address=address, store=store, study=study)
    found: dict[str, Any] = json_text.loads(answer.out)
    return found


def _say(
    study: str, found: dict[str, Any], *, address: str | None, store: str | None, as_json: bool
) -> None:
    from lexmove.app.stored import store_option, store_url
    from lexmove.cli.console import SCHEMA_VERSION, say, write_json
    from lexmove.space.move import say_value

    if as_json:
        write_json({"schema_version": SCHEMA_VERSION, **found})
        return
    values = ", ".join(f"{name} {say_value(value)}" for name, value in found["config"].items())
    say(f"the next trial of {study}, one more than its budget had: {values}")
    goes_on = "resume" if address is None else "submit --resume"
    if found["runner"] is not None:
        say(f"process {found['runner']}, which runs the study, starts it in its next free slot")
        goes_on = "watch"
    place = store_option(store_url(None, store)) if address is None else f" --address {address}"
    say(f"next: lexmove {goes_on} {study}{place}")
