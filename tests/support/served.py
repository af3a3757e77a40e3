"""A real `codewrap serve-auth` process: own state, own port, gone with the block."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
REPOSITORY = Path(__file__).resolve().parent.parent.parent
_OURS = ("CODEWRAP", "SOKET", "PUSHER", "AUTH_TOKEN", "XDG_")


class Served:
    """Runs in ``directory`` (its `.env` counts), with ``settings`` as the only variables of ours.

    ``log`` is the file that its stderr goes to: a test that makes it say much must not let a pipe run full.
    """

    def __init__(self, directory: Path, *options: str, settings: dict[str, str] | None = None, log: Path | None = None) -> None:
        self.directory = directory
        self._log = log
        self._options = options
        self._settings = settings or {}
        self._process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    @property
    def token(self) -> str:
        """What clients need: AUTH_TOKEN as set, or the line of the file that the server names."""
        if "AUTH_TOKEN" in self._settings:
            return self._settings["AUTH_TOKEN"]
        return Path(self.ready["token_file"]).read_text().strip()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def start(self) -> Served:
        """Start and wait until it is ready. Raises RuntimeError with what it said."""
        self._process = self.spawn("--json")
        line = _line(self._process, START_TIMEOUT_S)
        if not line:
            self._process.kill()
            said = self._process.communicate(timeout=STOP_TIMEOUT_S)[1]
            raise RuntimeError(f"serve-auth did not start: {said if self._log is None else self._log.read_text()}")
        self.ready = json.loads(line)
        return self

    def spawn(self, *options: str) -> subprocess.Popen[str]:
        """The process, not waited for."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        environment |= {
            "XDG_STATE_HOME": str(self.directory / "state"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONWARNINGS": "error,ignore::DeprecationWarning:pusher,ignore::DeprecationWarning:pysher",
            "COLUMNS": "200",
        }
        options = (*self._options, *options)
        if "--port" not in options and "CODEWRAP_PORT" not in self._settings:
            options = ("--port", "0", *options)
        with contextlib.ExitStack() as files:
            return subprocess.Popen(
                [sys.executable, "-m", "codewrap.cli.main", "serve-auth", *options],
                cwd=self.directory,
                env=environment | self._settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=files.enter_context(self._log.open("ab")) if self._log is not None else subprocess.PIPE,
                text=True,
            )

    def fails(self) -> tuple[int, str, str]:
        """Run it where it must not start; exit status, stdout and stderr."""
        process = self.spawn()
        try:
            out, err = process.communicate(timeout=START_TIMEOUT_S)
        finally:
            process.kill()
        return process.returncode, out, err

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Ask it to end; exit status, the rest of stdout, stderr."""
        self.process.send_signal(with_signal)
        try:
            out, err = self.process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode, out, err

    def request(
        self, method: str, path: str, value: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request with the token; status, headers (names in lower case), body."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        body = None if value is None else json.dumps(value).encode()
        given = {"Content-Type": "application/json"} | (headers or {})
        if "Authorization" not in given:
            given["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def __enter__(self) -> Served:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.communicate(timeout=STOP_TIMEOUT_S)


def _line(process: subprocess.Popen[str], timeout_s: float) -> str:
    """The first line of stdout, or "" when there is none in time."""
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_s
    text = b""
    while not text.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(process.stdout.fileno(), 1) if readable else b""
        if not piece:
            return ""
        text += piece
    return text.decode()
