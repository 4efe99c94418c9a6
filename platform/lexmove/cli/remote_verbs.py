"""The verbs about studies that run elsewhere or on their own: submit, watch, logs, stop."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lexmove.cli.completing import study_names
from lexmove.cli.conduct import conducted
from lexmove.cli.options import Cluster, Storage, Store, Study

_Dashboard = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Of the cluster's dashboard, http://HOST:8265, or whatever Ray takes. Default: "
        "RAY_API_SERVER_ADDRESS, else RAY_ADDRESS.",
        show_default=False,
    ),
]


def read_there(
    words: Sequence[str],
    *,
    address: str,
    store: str | None,
    study: str | None = None,
    as_json: bool = False,
) -> NoReturn:
    """Has a cluster run a reading verb, says what it said, and exits as it did."""
    from lexmove.cli.remote_reading import read_remotely

    more = ["--json"] if as_json else []
    read_remotely([*words, *more], address=address, store=store, study=study)


def list_there(*, address: str, store: str | None, as_json: bool) -> None:
    """Lists the studies of all stores that a cluster's jobs write."""
    from lexmove.cli.remote_reading import list_remotely

    list_remotely(address=address, store=store, as_json=as_json)


def fetch_there(
    words: Sequence[str], *, address: str, store: str | None, study: str, target: Path
) -> None:
    """Has a cluster run a verb that makes a file or folder, and brings that here."""
    from lexmove.cli.remote_reading import fetch_remotely

    fetch_remotely(words, address=address, store=store, study=study, target=target)


@conducted
def submit(
    job: Annotated[
        Path | None,
        typer.Argument(metavar="JOB", help="The job file.", show_default=False),
    ] = None,
    address: _Dashboard = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where studies are kept, as the cluster reaches it. Default: the job's own, "
            "LEXMOVE_STORE if that is a server, else a file below ~/lexmove on the head.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the study, and exit as it does.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY", help="Go on with a study instead of a new one.", show_default=False
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(metavar="+N", min=0, help="With --resume: more trials than it had.")
    ] = 0,
    storage: Storage = None,
    shared: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="All nodes have it under the same path: nothing below it is sent along.",
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Even where the cluster asks nobody for a token.")
    ] = False,
) -> None:
    """Run a study on a cluster, supervised, without this machine.

    The job file and the files that it names are sent along. The driver runs on the head; where it
    dies, another one goes on. Ctrl-C while waiting leaves the study running.
    """
    from lexmove.cli.remote import run_submit

    run_submit(
        job,
        address=address,
        store=store,
        wait=wait,
        resume=resume,
        extra_trials=trials,
        storage=storage,
        shared=shared or (),
        insecure=insecure,
    )


@conducted
def watch(study: Study, store: Store = None, address: Cluster = None) -> None:
    """Follow a study until it ends: a live table, or lines in a pipe. Ctrl-C leaves it running."""
    from lexmove.cli.remote import run_watch

    run_watch(study, store=store, address=address)


@conducted
def logs(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="The study's name. Default: the last one.",
            show_default=False,
            autocompletion=study_names,
        ),
    ] = None,
    trial: Annotated[
        int | None,
        typer.Argument(metavar="TRIAL", help="What this trial printed.", show_default=False),
    ] = None,
    store: Store = None,
    address: Cluster = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the study ends.")
    ] = False,
) -> None:
    """Print what the driver of a study said, or one of its trials."""
    from lexmove.cli.remote import run_logs

    run_logs(study, trial, store=store, address=address, follow=follow)


@conducted
def stop(study: Study, store: Store = None, address: Cluster = None) -> None:
    """Ask a running study to leave. Nothing measured is lost; `resume` goes on."""
    from lexmove.cli.remote import run_stop

    run_stop(study, store=store, address=address)


@conducted
def supervise(
    store: Annotated[str, typer.Option()],
    job: Annotated[Path | None, typer.Option()] = None,
    resume: Annotated[str | None, typer.Option()] = None,
    trials: Annotated[int, typer.Option()] = 0,
    storage: Annotated[str | None, typer.Option()] = None,
) -> None:
    """What a submitted job runs on the head."""
    from lexmove.cli.remote import run_supervise

    run_supervise(job, resume=resume, extra_trials=trials, store=store, storage=storage)


@conducted
def answer(context: typer.Context, words: Annotated[list[str], typer.Argument()]) -> None:
    """Runs a reading verb for who asks from elsewhere."""
    from lexmove.cli.remote import run_answer

    run_answer(words, _verb_of(context))


@conducted
def send(context: typer.Context, words: Annotated[list[str], typer.Argument()]) -> None:
    """Runs a verb that makes a file or folder for who fetches it from elsewhere."""
    from lexmove.cli.remote import run_send

    run_send(words, _verb_of(context))


def _verb_of(context: typer.Context) -> Callable[[Sequence[str]], int | None]:
    verbs = context.find_root().command
    return lambda words: verbs.main(list(words), prog_name="lexmove", standalone_mode=False)


@conducted
def stream(study: Study, store: Annotated[str, typer.Option()]) -> None:
    """Sends a study's events to who watches it from elsewhere."""
    from lexmove.cli.remote import run_stream

    run_stream(study, store=store)


def add_remote_verbs(app: typer.Typer) -> None:
    """Makes them verbs of `app`; the last four are for jobs on a cluster, and not for people."""
    address = "--address http://127.0.0.1:8265"
    app.command(epilog=f"Example: lexmove submit job.yaml {address}")(submit)
    app.command(epilog=f"Example: lexmove watch contracts {address}")(watch)
    app.command(epilog="Example: lexmove logs contracts 12")(logs)
    app.command(epilog=f"Example: lexmove stop contracts {address}")(stop)
    for verb in (supervise, answer, send, stream):
        app.command(hidden=True)(verb)
