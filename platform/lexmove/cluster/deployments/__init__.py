"""Deployment files that come with lexmove, as texts: Grafana, KubeRay, a list of hosts."""

import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Literal

from lexmove.errors import UsageError

KubeRayKind = Literal["job", "cluster"]

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")


def _text(name: str) -> str:
    return resources.files("lexmove.cluster").joinpath(name).read_text(encoding="utf-8")


def grafana_dashboard() -> str:
    """The dashboard as JSON, for Grafana's import or a folder that it is provisioned from."""
    return _text("grafana.json")


def kuberay(kind: KubeRayKind) -> str:
    """YAML for `kubectl apply`: a RayJob that runs one study, or a RayCluster that stays.

    Both have the same cluster and stand beside the same volume and network policy, so that they
    are written once: the job takes them over.
    """
    cluster = _text("deployments/raycluster.yaml")
    if kind == "cluster":
        return cluster
    _, *beside, ray_cluster = cluster.split("\n---\n")
    spec = ray_cluster.partition("\nspec:\n")[2]
    head, job = _text("deployments/rayjob.yaml").split("\n---\n")
    inner = "".join(f"  {line}" if line.strip() else line for line in spec.splitlines(True))
    return "\n---\n".join([head, *beside, job + inner])


def hosts(head: str, workers: Sequence[str], *, user: str, key: str) -> str:
    """A file for `ray up` on machines that are there.

    Args:
        head: name or address of the machine that runs Ray itself and the coordinator.
        workers: those that run trials.
        user: who logs in on all of them.
        key: path of the ssh key to log in with.

    Raises:
        UsageError: a host is no name or address, or is named twice.
    """
    named = [head, *workers]
    for host in named:
        if not _HOST.fullmatch(host):
            raise UsageError(
                f"host {host!r} is neither a name nor an address: write 10.0.0.1 or node1.lan; "
                "--user says who logs in"
            )
        if named.count(host) > 1:
            raise UsageError(
                f"host {host!r} is named twice: the head runs no trials, and a worker is one node"
            )
    filled = {
        "THE_HEAD": json.dumps(head),
        "THE_WORKERS": json.dumps(list(workers)),
        "THE_USER": json.dumps(user),
        "THE_KEY": json.dumps(key),
    }
    text = _text("deployments/hosts.yaml")
    for name, value in filled.items():
        text = text.replace(name, value)
    return text
