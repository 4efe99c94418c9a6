"""A cluster's dashboard: its address, its token and its versions, checked before anything is sent.

Asked with the standard library and a time limit: Ray's own client has none, and loading it takes
longer than it takes to find that nobody answers.
"""

import http.client
import ipaddress
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lexmove.errors import (
    ClusterError,
    ClusterOpenError,
    ClusterTokenError,
    ClusterVersionError,
)

_PATIENCE_S = 5.0
"""Of one request; a check makes three at most."""

_VERSION = "/api/version"
_METADATA = "/api/v0/cluster_metadata"
_NODES = "/api/v0/nodes?detail=1&limit=1000"

_ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where Ray's own tools look for an address, in their order."""

MIN_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A living node of a cluster and what it offers."""

    is_head: bool
    num_cpus: float
    num_gpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A dashboard that answers and lets this process in; `token` is None where it asks for none."""

    url: str
    token: str | None = field(default=None, repr=False)
    session: str = ""

    def get(self, path: str) -> Any:
        """The JSON at a path.

        Raises:
            ClusterError: it does not answer, or not with JSON.
        """
        status, body = _get(self.url, path, token=self.token)
        if status != http.HTTPStatus.OK:
            raise ClusterError(f"the dashboard at {self.url} answers {path} with status {status}")
        return _json(self.url, body)

    def nodes(self) -> tuple[Node, ...]:
        """The living nodes.

        Raises:
            ClusterError: it does not say.
        """
        try:
            rows = self.get(_NODES)["data"]["result"]["result"]
            return tuple(
                Node(
                    is_head=bool(row.get("is_head_node")),
                    num_cpus=float(row.get("resources_total", {}).get("CPU", 0.0)),
                    num_gpus=float(row.get("resources_total", {}).get("GPU", 0.0)),
                )
                for row in rows
                if row.get("state") == "ALIVE"
            )
        except (KeyError, TypeError) as error:
            raise ClusterError(f"the dashboard at {self.url} does not list its nodes") from error


def find_dashboard(address: str | None = None, *, insecure: bool = True) -> Dashboard:
    """The dashboard of a cluster, after its token and its versions were checked.

    Args:
        address: http://HOST:PORT of the dashboard, or whatever Ray takes for one: HOST:PORT of
            either the dashboard or the cluster, `auto`, ray://HOST:PORT. None takes
            RAY_API_SERVER_ADDRESS, RAY_ADDRESS or http://127.0.0.1:8265.
        insecure: whether one that asks for no token may be anywhere, not just on this machine.

    Raises:
        ClusterError: nobody answers there, or not a dashboard.
        ClusterTokenError: it asks for a token, and there is none or it is another one.
        ClusterOpenError: it lets in whoever comes.
        ClusterVersionError: its Ray or its Python is not what lexmove needs.
    """
    url = _dashboard_url(address)
    status, body = _get(url, _VERSION)
    token = None
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        token = _own_token(url)
        status, body = _get(url, _VERSION, token=token)
        if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            raise ClusterTokenError(
                f"the cluster at {url} refuses this token: it is another cluster's.\n"
                "set RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the one that its nodes were "
                "started with"
            )
    elif status == http.HTTPStatus.OK and not insecure and not _is_here(url):
        raise ClusterOpenError(
            f"the cluster at {url} asks for no token: whoever reaches it may run code there.\n"
            "start its nodes with RAY_AUTH_MODE=token and a RAY_AUTH_TOKEN, come in through a "
            "tunnel to 127.0.0.1, or say --insecure"
        )
    found = _json(url, body) if status == http.HTTPStatus.OK else {}
    if "ray_version" not in found:
        raise ClusterError(
            f"what answers at {url} is no Ray dashboard (status {status}).\n"
            "give the address of the dashboard: http://HOST:8265 unless it was started otherwise"
        )
    dashboard = Dashboard(url=url, token=token, session=str(found.get("session_name") or ""))
    _check_versions(dashboard, str(found["ray_version"]))
    return dashboard


def _check_versions(dashboard: Dashboard, ray: str) -> None:
    own = version("ray")
    if ray != own:
        raise ClusterVersionError(
            f"the cluster at {dashboard.url} runs Ray {ray}, and lexmove here runs {own}.\n"
            f"install ray=={own} on the cluster, or use the lexmove that goes with Ray {ray}"
        )
    try:
        told = dashboard.get(_METADATA)["data"]
        python = str(told.get("pythonVersion") or told.get("python_version") or "")
    except (ClusterError, KeyError, TypeError, AttributeError):
        return  # an older or trimmed dashboard does not say; the job will
    parts = tuple(int(part) for part in python.split(".")[:2] if part.isdecimal())
    if len(parts) == len(MIN_PYTHON) and parts < MIN_PYTHON:
        needed = ".".join(map(str, MIN_PYTHON))
        raise ClusterVersionError(
            f"the cluster at {dashboard.url} runs Python {python}, and lexmove needs {needed}.\n"
            f"start its nodes with Python {needed} or newer"
        )


def _dashboard_url(address: str | None) -> str:
    named = address or next((os.environ[name] for name in _ADDRESSES if os.environ.get(name)), None)
    if named is None:
        return "http://127.0.0.1:8265"
    if named.startswith(("http://", "https://")):
        return named.rstrip("/")
    if "://" not in named and named != "auto" and _speaks_http(f"http://{named}"):
        return f"http://{named}"
    return _asked_ray(named)


def _speaks_http(url: str) -> bool:
    """Whether a dashboard listens there, and not the cluster's own service.

    Raises:
        ClusterError: nobody listens there.
    """
    parts = urlsplit(url)
    try:
        where = (parts.hostname or "", parts.port or 80)
        socket.create_connection(where, timeout=_PATIENCE_S).close()
        _get(url, _VERSION)
    except (OSError, ValueError, OverflowError) as error:
        raise _unreachable(url, error) from error
    except ClusterError:
        return False
    return True


def _asked_ray(address: str) -> str:
    """The dashboard's address as the cluster knows it."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # without a token it fails by itself
    with without_ray_addresses():
        from ray.dashboard.utils import get_address_for_submission_client

        try:
            url = get_address_for_submission_client(address)
        except Exception as error:  # Ray raises what it likes, plain ones included
            raise _unreachable(address, error) from error
    return url if "://" in url else f"http://{url}"


class without_ray_addresses:  # noqa: N801 - a context manager reads like a word
    """Hides the variables that would have Ray take another address than the one it is given."""

    def __enter__(self) -> None:
        self._hidden = {name: os.environ.pop(name) for name in _ADDRESSES if name in os.environ}

    def __exit__(self, *_: object) -> None:
        os.environ.update(self._hidden)


def _unreachable(where: str, error: Exception) -> ClusterError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    first_line = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    return ClusterError(
        f"no Ray cluster answers at {where}: {first_line}.\n"
        "is it up, and is the dashboard's port open to this machine? A tunnel: "
        "ssh -L 8265:127.0.0.1:8265 HEAD, then --address http://127.0.0.1:8265"
    )


def _own_token(url: str) -> str:
    """The token of this process, looked for as Ray does.

    Raises:
        ClusterTokenError: there is none.
    """
    token = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        token = token or path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token:
        raise ClusterTokenError(
            f"the cluster at {url} asks for a token, and there is none here.\n"
            "set RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the one that its nodes were started "
            "with"
        )
    return token


def _get(url: str, path: str, *, token: str | None = None) -> tuple[int, bytes]:
    """Status and body of an answer.

    Raises:
        ClusterError: nobody answers in time.
    """
    if _is_here(url):
        _keep_off_proxies(urlsplit(url).hostname or "")
    headers: Mapping[str, str] = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        request = urllib.request.Request(url + path, headers=dict(headers))  # noqa: S310 - `_dashboard_url` gives http alone
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310 - `_dashboard_url` gives http alone
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(url, error) from error


def _json(url: str, body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise ClusterError(
            f"what answers at {url} is no Ray dashboard.\n"
            "give the address of the dashboard: http://HOST:8265 unless it was started otherwise"
        ) from error


def _keep_off_proxies(host: str) -> None:
    """Sends nothing for a host to a proxy that the environment names, here and in Ray's client.

    A proxy knows another machine by that name, and would read the token.
    """
    for name in ("no_proxy", "NO_PROXY"):
        known = os.environ.get(name, "")
        if known.strip() != "*" and host not in known.split(","):
            os.environ[name] = ",".join(filter(None, (known, host)))


def _is_here(url: str) -> bool:
    """Whether an address is this machine's own, which no other can reach."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
