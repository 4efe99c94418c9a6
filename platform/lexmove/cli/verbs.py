"""The verbs: each one's words and options; what a verb does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from lexmove.cli.cluster_verbs import cluster
from lexmove.cli.conduct import conducted
from lexmove.cli.enqueue_verb import enqueue
from lexmove.cli.export_verb import export
from lexmove.cli.import_verb import import_
from lexmove.cli.options import (
    Address,
    Cluster,
    Dashboard,
    Job,
    Json,
    Profile,
    Storage,
    Store,
    Study,
)
from lexmove.cli.remote_verbs import add_remote_verbs, list_there, read_there
from lexmove.cli.report_verb import report

app = typer.Typer(
    name="lexmove",
    help="Finds good hyperparameters for classifiers of legal text: an agent proposes moves, "
    "trials try them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(value: bool) -> None:
    if value:
        from lexmove import __version__
        from lexmove.cli.console import write

        write(f"lexmove {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: lexmove init && lexmove plan job.yaml && lexmove tune job.yaml")
def lexmove(
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the version.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    """Finds good hyperparameters for classifiers of legal text.

    An agent proposes moves (raise, lower or switch hyperparameters of what was tried), trials
    fine-tune a pretrained model and report.
    """


@app.command(epilog="Example: lexmove init --data clauses.csv --text clause --label type")
@conducted
def init(
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A built-in task: license_category, license_families, license_listing, "
            "license_mc or license_role.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your own data: csv, tsv, jsonl, json or parquet. Default: what lies here.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column with the text; guessed.", show_default=False
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column with the class; guessed.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The job file to write.")] = Path(
        "job.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files.")] = False,
) -> None:
    """Write a commented job file, its schema and its space.

    What can be told from the data is not asked but said: columns, splits, what belongs together.
    """
    from lexmove.cli.commands import run_init

    run_init(task=task, data=data, text=text, label=label, out=out, force=force)


@app.command(epilog="Example: lexmove plan job.yaml --offline")
@conducted
def plan(
    job: Job,
    offline: Annotated[
        bool, typer.Option("--offline", help="Load neither data nor model; measure no time.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Say whether it fits the cluster with this dashboard, http://HOST:8265.",
            show_default=False,
        ),
    ] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Say what a job would do. Nothing is started.

    The search space, the data, the first trials, the time it would take, and whether it fits.
    """
    from lexmove.cli.commands import run_plan

    run_plan(job, offline=offline, address=address, store=store, as_json=json)


@app.command(epilog="Example: lexmove tune job.yaml --store sqlite:///studies.db")
@conducted
def tune(
    job: Job,
    store: Store = None,
    address: Address = None,
    dashboard: Dashboard = False,
    profile: Profile = False,
) -> None:
    """Run a new study to its end. Ctrl-C keeps what was measured; `resume` goes on."""
    from lexmove.cli.commands import run_tune

    run_tune(job, store=store, address=address, dashboard=dashboard, profile=profile)


@app.command(epilog="Example: lexmove resume license-category --trials +8")
@conducted
def resume(
    study: Study,
    trials: Annotated[
        int, typer.Option(metavar="+N", min=0, help="More trials than the budget had.")
    ] = 0,
    store: Store = None,
    address: Address = None,
    dashboard: Dashboard = False,
    profile: Profile = False,
    storage: Storage = None,
) -> None:
    """Go on with a study that was interrupted, or extend it."""
    from lexmove.cli.commands import run_resume

    run_resume(
        study,
        extra_trials=trials,
        storage=storage,
        store=store,
        address=address,
        dashboard=dashboard,
        profile=profile,
    )


app.command(
    epilog="Example: lexmove enqueue license-category learning_rate=3e-5 --like 12",
)(enqueue)


@app.command(epilog="Example: lexmove ls --json")
@conducted
def ls(store: Store = None, address: Cluster = None, json: Json = False) -> None:
    """List the studies of a store, or of a cluster's."""
    from lexmove.cli.commands import run_ls

    if address is not None:
        list_there(address=address, store=store, as_json=json)
        return
    run_ls(store=store, as_json=json)


@app.command(epilog="Example: lexmove show license-category 12")
@conducted
def show(
    study: Study,
    trial: Annotated[
        int | None,
        typer.Argument(metavar="[TRIAL]", help="Only this trial, in full.", show_default=False),
    ] = None,
    store: Store = None,
    address: Cluster = None,
    json: Json = False,
    profile: Profile = False,
) -> None:
    """Show the trials of a study with their moves.

    With a trial's number: that trial in full, with its curve and the runners-up of its move.
    """
    from lexmove.cli.commands import run_show

    if address is not None:
        words = ["show", study, *([] if trial is None else [str(trial)])]
        words += ["--profile"] if profile else []
        read_there(words, study=study, address=address, store=store, as_json=json)
    run_show(study, trial, store=store, as_json=json, profile=profile)


@app.command(epilog="Example: lexmove best license-category --json > best.json")
@conducted
def best(study: Study, store: Store = None, address: Cluster = None, json: Json = False) -> None:
    """Show the best config and what it is worth.

    On fresh seeds and on the test split, beside what it is compared with.
    """
    from lexmove.cli.commands import run_best

    if address is not None:
        read_there(["best", study], study=study, address=address, store=store, as_json=json)
    run_best(study, store=store, as_json=json)


@app.command(epilog="Example: lexmove delete license-category")
@conducted
def delete(
    study: Study,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store: Store = None,
) -> None:
    """Delete a study: its trials in the store, its checkpoints, logs and model.

    What other studies have learned from it stays with them. A study that runs is to be stopped
    first.
    """
    from lexmove.cli.commands import run_delete

    run_delete(study, is_sure=yes, store=store)


app.command(epilog="Example: lexmove report license-category")(report)
app.command(epilog="Example: lexmove export license-category --out best")(export)
app.command(
    "import", epilog="Example: lexmove import sqlite:///optuna.db --rename lr=learning_rate"
)(import_)


@app.command(epilog="Example: lexmove doctor job.yaml")
@conducted
def doctor(
    job: Annotated[
        Path | None,
        typer.Argument(metavar="JOB", help="Look at what it names, too.", show_default=False),
    ] = None,
    store: Store = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Ask the cluster with this dashboard, too, http://HOST:8265.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Ask the model hub for an answer, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Look for what would stop a study here, with the fix.

    The machine, the store and where studies are kept; with a job its data, model, metric, trackers
    and GPUs.
    """
    from lexmove.cli.commands import run_doctor

    run_doctor(job, store=store, address=address, network=network, as_json=json)


@app.command(epilog="Example: lexmove pretrain --out policy --steps 200000 --workers 2")
@conducted
def pretrain(
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="A new folder for weights and checkpoints.", show_default=False
        ),
    ],
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Decisions to learn from. Default: 1000000.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="S", help="Of tasks and learning. Default: 0.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Processes that play studies. Default: 1.", show_default=False
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    from_studies: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A store whose studies are learned from, too.", show_default=False
        ),
    ] = None,
) -> None:
    """Train the agent's policy ahead, on simulated studies.

    The policy starts at the classical rule (the floor) and is judged against it on kinds of tasks
    that it does not train on. Jobs name the weights: `agent: {weights: DIR/policy.safetensors}`.
    """
    from lexmove.cli.commands import run_pretrain

    run_pretrain(
        out, steps=steps, seed=seed, workers=workers, resume=resume, from_studies=from_studies
    )


@app.command(epilog="Example: lexmove demo")
@conducted
def demo() -> None:
    """Run a real study of five to ten minutes in ./demo.

    It tunes a small language model on licence texts and says plainly what that is worth.
    """
    from lexmove.cli.demo import run_demo

    run_demo()


add_remote_verbs(app)
app.add_typer(cluster)
