"""The panels of the Grafana dashboard and their queries, as Grafana would send them."""

import json
import re
from typing import Any

from lexmove.cluster.deployments import grafana_dashboard

METRIC = re.compile(r"\bray_lexmove_\w+")


def panels() -> list[dict[str, Any]]:
    return json.loads(grafana_dashboard())["panels"]


def expressions() -> list[str]:
    """The queries of all panels as they are written."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def filled(expression: str, *, study: str, rate_interval: str) -> str:
    """The query with the page's variables in it."""
    query = expression.replace("$study", study).replace("$__rate_interval", rate_interval)
    assert "$" not in query, query
    return query
