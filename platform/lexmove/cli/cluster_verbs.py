"""The verbs of `lexmove cluster`: files that clusters and their monitoring need, on stdout."""

from typing import Annotated, Literal

import typer

from lexmove.cli.conduct import conducted

KubeRayKind = Literal["job", "cluster"]

cluster = typer.Typer(
    name="cluster",
    help="Files for clusters: monitoring, Kubernetes, machines of your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@cluster.command(epilog="Example: lexmove cluster grafana > lexmove.json")
@conducted
def grafana() -> None:
    """Write a Grafana dashboard of running studies.

    Import it into a Grafana whose Prometheus scrapes the metrics ports of Ray's nodes.
    """
    from lexmove.cli.console import write
    from lexmove.cluster.deployments import grafana_dashboard

    write(grafana_dashboard().rstrip())


@cluster.command(epilog="Example: lexmove cluster kuberay job > rayjob.yaml")
@conducted
def kuberay(
    kind: Annotated[
        KubeRayKind,
        typer.Argument(
            metavar="KIND", help="job: a cluster for one study; cluster: one that stays."
        ),
    ] = "job",
) -> None:
    """Write YAML for Kubernetes with KubeRay: a RayJob or a RayCluster.

    Its first lines say what to fill in and how to apply it. The token stays in a secret.
    """
    from lexmove.cli.console import write
    from lexmove.cluster import deployments

    write(deployments.kuberay(kind).rstrip())


@cluster.command(epilog="Example: lexmove cluster hosts 10.0.0.1 10.0.0.2 10.0.0.3 > hosts.yaml")
@conducted
def hosts(
    head: Annotated[
        str,
        typer.Argument(metavar="HEAD", help="Runs Ray itself and no trials.", show_default=False),
    ],
    workers: Annotated[
        list[str],
        typer.Argument(metavar="WORKER", help="Run the trials.", show_default=False),
    ],
    user: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who logs in. Default: you.", show_default=False),
    ] = None,
    key: Annotated[str, typer.Option(metavar="FILE", help="The ssh key.")] = "~/.ssh/id_ed25519",
) -> None:
    """Write a file for `ray up` on machines of your own."""
    from getpass import getuser

    from lexmove.cli.console import write
    from lexmove.cluster import deployments

    write(deployments.hosts(head, workers, user=user or getuser(), key=key).rstrip())
