"""A model hub on this machine: as much of its protocol as an upload needs."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_" + "very" + "secret" * 4


class Hub:
    """What was created and committed; whoever has not the token is refused."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.repositories: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.url = ""

    def answer(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON for a request."""
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"error": f"bad token {headers.get('authorization')}"}
        if path.endswith("/repos/create"):
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.repositories[name] = asked
            return 200, {"url": f"{self.url}/{name}"}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            mode = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            return 200, {"files": [{"path": item["path"], **mode} for item in files]}
        if "/commit/" in path:
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    value = item["value"]
                    self.files[value["path"]] = base64.b64decode(value["content"])
            (name,) = self.repositories
            return 200, {"commitUrl": f"{self.url}/{name}/commit/1", "commitOid": "1" * 40}
        return 200, {"sha": "1" * 40, "siblings": [], "id": "x/y", "errors": [], "warnings": []}


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at its `url` while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, found = hub.answer(self.path.partition("?")[0], self.headers, body)
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _do  # noqa: N815 - the names that the server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
