"""The way to Ray: a quiet local instance with a throw-away token, or a cluster by its address."""

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from lexmove.cluster.local_ray import RayWatch
from lexmove.errors import ClusterError, ClusterVersionError, UsageError

_PROBE_S = 5.0

IN_PROCESS = "in-process"
"""The address at which there is no Ray: trials run one by one in the process that asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What was connected to; `dashboard_url` is None where no dashboard runs."""

    address: str | None
    dashboard_url: str | None
    num_cpus: float
    num_gpus: float


@contextmanager
def connected(
    address: str | None, *, num_cpus: int | None = None, dashboard: bool = False
) -> Iterator[Connection]:
    """Connects this process to Ray, and lets go at the end.

    Args:
        address: of a running cluster; None starts an instance on this machine alone; `IN_PROCESS`
            connects to nothing.
        num_cpus: CPUs of the local instance; None takes all.
        dashboard: whether the local instance has a dashboard.

    Raises:
        ClusterError: the cluster cannot be reached or refuses the token.
    """
    if address == IN_PROCESS:
        yield Connection(address=address, dashboard_url=None, num_cpus=1.0, num_gpus=0.0)
        return
    if address is None:
        # Ray would turn token auth on by itself and leave a world-readable token at home.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    check_address(address)
    # Ray echoes its workers' deaths to stdout, which is for data; it reads this when imported.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    with closing(RayWatch(is_local=address is None)) as watch:
        try:
            context = ray.init(
                address=address or "local",
                num_cpus=None if address else num_cpus,
                include_dashboard=None if address else dashboard,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
            )
        except Exception as error:  # a node that is slow to start raises a plain one
            raise _explained(error, address) from error
        try:
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call] # ray's own
            yield Connection(
                address=address,
                dashboard_url=context.dashboard_url or None,
                num_cpus=resources.get("CPU", 0.0),
                num_gpus=resources.get("GPU", 0.0),
            )
        finally:
            watch.close()  # before Ray ends its processes
            ray.shutdown()


def check_address(address: str | None) -> None:
    """Finds a cluster that is not there; Ray itself would go on trying for minutes.

    Raises:
        ClusterError: nothing listens at HOST:PORT. `auto` names no port and is left to Ray.
        UsageError: it is a dashboard's.
    """
    if (address or "").startswith(("http://", "https://")):
        raise UsageError(
            f"{address} is the address of a dashboard: a driver on this machine takes HOST:PORT of "
            "the cluster's head (`ray status` and `ray start` name it, 6379 by default); "
            f"`lexmove submit JOB --address {address}` runs the driver there"
        )
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_PROBE_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address}: {error}.\n"
            "is it up, and is the port open to this machine?"
        ) from error


def _explained(error: Exception, address: str | None) -> ClusterError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if address is None:
        return ClusterError(
            f"Ray did not start on this machine: {first_line}; `lexmove doctor` looks for causes"
        )
    if "Version mismatch" in str(error):
        told = " ".join(str(error).split()).rstrip(".")
        return ClusterVersionError(
            f"the cluster at {address} and this process do not fit: {told}.\n"
            "use the same Ray and the same Python on both sides, or `lexmove submit`, whose driver "
            "runs on the cluster"
        )
    # With a wrong token, Ray 2.60 says no more than that it failed to connect.
    return ClusterError(
        f"the cluster at {address} does not let this process in: {first_line}.\n"
        "most often the token differs: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or "
        "RAY_AUTH_TOKEN_PATH) to the cluster's own; else its version of Ray does"
    )
