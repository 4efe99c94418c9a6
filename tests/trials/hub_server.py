"""A hub of our own on loopback: datasets from folders, and every way in which a hub says no."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""The one commit that every dataset has unless told otherwise."""

GATED = "small/gated"
SLOW = "small/slow"
BROKEN = "small/broken"


@contextmanager
def serve_hub(folders: dict[str, Path], *, commit: str = COMMIT) -> Iterator[str]:
    """A hub that serves these folders as datasets by id; gives its address.

    `GATED` lets nobody read its files, `SLOW` never answers, `BROKEN` always answers 500.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.folders = folders
    server.commit = commit
    server.closing = Event()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """The few routes that `datasets` asks: info, tree, paths-info and resolve."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]
        is_api = parts[0] == "api"
        parts = parts[1:] if is_api else parts
        repo, rest = "/".join(parts[1:3]), parts[3:]
        if repo == SLOW:
            self.server.closing.wait(60)
            return
        if repo == BROKEN:
            self._refuse(500, "InternalError")
        elif repo not in self.server.folders:
            self._refuse(401, "RepoNotFound")
        elif len(rest) > 1 and rest[1] not in ("main", self.server.commit):
            self._refuse(404, "RevisionNotFound")
        elif is_api:
            self._api(self.server.folders[repo], repo, rest, body)
        elif repo == GATED:
            self._refuse(401, "GatedRepo")
        else:
            self._file(self.server.folders[repo] / "/".join(rest[2:]))

    def _api(self, folder: Path, repo: str, rest: list[str], body: bytes) -> None:
        entries = _entries(folder)
        kind = rest[0] if rest else "revision"
        if kind == "revision":
            self._json(
                {"id": repo, "sha": self.server.commit, "siblings": [], "gated": repo == GATED}
            )
        elif kind == "paths-info":
            paths = json.loads(body)["paths"]
            self._json([entry for entry in entries if entry["path"] in paths])
        else:
            below = "/".join(rest[2:])
            self._json([entry for entry in entries if _is_below(entry["path"], below, self.path)])

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._refuse(404, "EntryNotFound")
            return
        data = path.read_bytes()
        self._send(200, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "X-Repo-Commit": self.server.commit}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _entries(folder: Path) -> list[dict[str, object]]:
    """Files and folders as the hub lists them."""
    entries = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        oid = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
        size = path.stat().st_size if path.is_file() else 0
        kind = "file" if path.is_file() else "directory"
        entries.append({"type": kind, "oid": oid, "size": size, "path": name})
    return entries


def _is_below(path: object, folder: str, url: str) -> bool:
    inside = str(path).removeprefix(f"{folder}/") if folder else str(path)
    is_inside = not folder or str(path).startswith(f"{folder}/")
    return is_inside and ("recursive=True" in url or "/" not in inside)
