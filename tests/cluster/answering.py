"""A server on this machine that answers as the dashboards do that no cluster here can have."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any

OWN = {"ray_version": version("ray"), "session_name": "session_1"}
AGREED = {"data": {"rayVersion": version("ray"), "pythonVersion": "3.11.7"}}
FITTING = {"/api/version": OWN, "/api/v0/cluster_metadata": AGREED}
"""What a dashboard says whose versions are right."""


def nodes(*found: Mapping[str, Any]) -> dict[str, Any]:
    """What it says of its nodes, each with `is_head_node`, `state` and `resources_total`."""
    return {"/api/v0/nodes?detail=1&limit=1000": {"data": {"result": {"result": list(found)}}}}


@contextmanager
def answering(answers: Mapping[str, Any]) -> Iterator[str]:
    """The address of a server that answers some paths with JSON, and all others with a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path)
            body = b"<html></html>" if found is None else json.dumps(found).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
