"""A real Chromium without a window, driven over its DevTools protocol: pages of any origin, and what they can do from there.

Names of other hosts lead to this machine (`--host-resolver-rules`), as they do once an attacker has bound them anew.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from tests.support.node import missing
from tests.support.ptydriver import eventually

WITHIN_S = 60.0
# A browser's own protection of local servers is not what is tried here: not every browser has it, and it can be clicked away.
OFF = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessRespectPreflightResults,HttpsUpgrades"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    f"--disable-features={OFF}",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)


class Chromium:
    """The browser; gone with the block, and everything that it started."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("chromium")
        if program is None:
            missing("chromium is not installed")
        self._directory = directory
        self._command = [program, *OPTIONS, f"--user-data-dir={directory / 'profile'}", "about:blank"]
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @contextlib.contextmanager
    def page(self) -> Iterator[Page]:
        """A new tab, until the block ends."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
            url = json.load(answer)["webSocketDebuggerUrl"]
        with connect(url, proxy=None, max_size=None) as socket:
            page = Page(socket)
            yield page
            page.call("Page.close")

    def __enter__(self) -> Self:
        with (self._directory / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._directory), "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        written = self._directory / "profile" / "DevToolsActivePort"
        eventually(lambda: written.exists() and written.read_text().count("\n") > 0, "Chromium listens", WITHIN_S)
        self._port = int(written.read_text().splitlines()[0])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a group of its own
        self._process.wait(WITHIN_S)


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0
        self._events: list[dict[str, Any]] = []

    def open(self, url: str, html: str = "<!doctype html><title>page</title>") -> None:
        """Show ``html`` as the page at ``url``, whoever may be behind that name now; what it asks for then is really asked."""
        self.call("Page.enable")
        self.call("Fetch.enable", patterns=[{"urlPattern": "*", "resourceType": "Document"}])
        self._send("Page.navigate", url=url)
        paused = self._event("Fetch.requestPaused")
        body = base64.b64encode(html.encode()).decode()
        headers = [{"name": "Content-Type", "value": "text/html"}]
        self.call("Fetch.fulfillRequest", requestId=paused["requestId"], responseCode=200, responseHeaders=headers, body=body)
        self._event("Page.loadEventFired")
        self.call("Fetch.disable")

    def visit(self, url: str) -> None:
        """Show what is really there."""
        self.call("Page.enable")
        self._send("Page.navigate", url=url)
        self._event("Page.loadEventFired")

    def evaluate(self, script: str) -> Any:
        """The value of ``script``, awaited. What it throws fails the test."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = self._send(method, **parameters)
        while True:
            message = self._hear()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._events.append(message)

    def _send(self, method: str, **parameters: object) -> int:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        return self._last

    def _event(self, method: str) -> dict[str, Any]:
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            for message in self._events:
                if message.get("method") == method:
                    self._events.remove(message)
                    found: dict[str, Any] = message["params"]
                    return found
            self._events.append(self._hear())
        raise AssertionError(f"{method} did not come")

    def _hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=WITHIN_S))
        return message
