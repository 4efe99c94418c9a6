"""A headless Chromium for the tests, told what to do by its DevTools protocol.

It is looked for where Debian's package `chromium`, Google Chrome and Playwright put one.
"""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Self

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PLAYWRIGHT = Path.home() / ".cache" / "ms-playwright"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-port=0",
)
_PATIENCE_S = 90.0

MISSING = (
    "no Chromium here, so that no page was looked at in a browser (their HTML was): "
    "apt-get install chromium"
)


def find_chromium() -> str | None:
    """The path of one; None where there is none."""
    found = (shutil.which(name) for name in _NAMES)
    playwright = (str(path) for path in sorted(_PLAYWRIGHT.glob("chromium-*/chrome-linux*/chrome")))
    return next(filter(None, (*found, *playwright)), None)


class Tab:
    """One tab; what its page said on the console and asked the network for is kept."""

    def __init__(self, address: str, loop: asyncio.AbstractEventLoop) -> None:
        self._address, self._loop = address, loop
        self._numbers = count(1)
        self._is_loaded = False
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def connect(self) -> Self:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://{self._address}/json/list") as answer:
            targets = await answer.json()
        url = next(item["webSocketDebuggerUrl"] for item in targets if item["type"] == "page")
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._call(f"{domain}.enable")
        return self

    async def close(self) -> None:
        await self._socket.close()
        await self._session.close()

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self._message()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def _message(self) -> dict[str, Any]:
        """The next one; what happened is noted."""
        message = json.loads((await self._socket.receive(timeout=_PATIENCE_S)).data)
        if "method" in message:
            self._note(message["method"], message["params"])
        return message

    async def _load(self, url: str) -> None:
        """Navigates; nothing may be asked meanwhile, since the answer would never come."""
        self._is_loaded = False
        await self._call("Page.navigate", url=url)
        while not self._is_loaded:
            await self._message()

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("warning", "error"):
            self.complaints.append(json.dumps(params["args"])[:500])
        elif method == "Page.loadEventFired":
            self._is_loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol."""
        return self._loop.run_until_complete(self._call(method, **params))

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def visit(self, url: str) -> None:
        """Shows what a server has there; its scripts may still be at work then."""
        self._loop.run_until_complete(self._load(url))

    def open(self, path: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Shows a file and waits until all its figures are drawn."""
        is_narrow = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=is_narrow,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=is_narrow)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self._loop.run_until_complete(self._load(path.as_uri()))
        patience_s = time.monotonic() + _PATIENCE_S
        while not self.evaluate(_IS_DRAWN):
            assert time.monotonic() < patience_s, f"{path} was not drawn: {self.complaints}"
            time.sleep(0.02)

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        width, height = self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
        )
        path.write_bytes(base64.b64decode(shot["data"]))


_IS_DRAWN = """
document.documentElement.dataset.drawn !== undefined
  || document.querySelector("[data-chart]") === null
"""


@contextmanager
def chromium_tab(path: str, profile: Path) -> Iterator[Tab]:
    """A tab of a new Chromium, whose profile is an empty folder."""
    command = [path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()
    try:
        address = f"127.0.0.1:{_port(process, profile)}"
        tab = loop.run_until_complete(Tab(address, loop).connect())
        try:
            yield tab
        finally:
            loop.run_until_complete(tab.close())
    finally:
        process.terminate()
        process.wait()
        loop.close()


def _port(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Where it listens: it says so in a file."""
    patience_s = time.monotonic() + _PATIENCE_S
    path = profile / "DevToolsActivePort"
    while not (path.exists() and path.read_text().count("\n")):
        assert process.poll() is None, "Chromium ended before it listened"
        assert time.monotonic() < patience_s, "Chromium does not listen"
        time.sleep(0.02)
    return path.read_text().splitlines()[0]
