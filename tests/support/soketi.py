"""A real Soketi on this machine, for the tests: own ports, own credentials, gone with the test run."""

from __future__ import annotations

import http.client
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from types import TracebackType

from codewrap.transport.base import AppCredentials, Endpoint
from tests.support.node import SOURCE, Node

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02
ATTEMPTS = 3


class SoketiServer:
    """One Soketi process on 127.0.0.1. Ports and credentials stay the same over `kill` and `restart`.

    ``settings`` are further `SOKETI_*` variables. The credentials are never all digits, except the app id, which
    must be: Soketi reads its variables as JSON.
    """

    def __init__(self, node: Node, *, client_events: bool = True, settings: dict[str, str] | None = None) -> None:
        self._node = node
        self._client_events = client_events
        self._settings = settings or {}
        self.host = "127.0.0.1"
        self.port = 0
        self._metrics_port = 0
        self.app_id = str(100_000 + secrets.randbelow(900_000))
        self.key = "key" + secrets.token_hex(8)
        self.secret = "secret" + secrets.token_hex(12)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port, False, self.key)

    @property
    def credentials(self) -> AppCredentials:
        return AppCredentials(self.app_id, self.key, self.secret)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> SoketiServer:
        """Start and wait until it answers. Raises RuntimeError with the end of its output."""
        assert not self.is_running
        for _ in range(ATTEMPTS if self.port == 0 else 1):
            fixed = self.port != 0
            if not fixed:
                self.port, self._metrics_port = _free_ports()
            self._spawn()
            if self._answers():
                return self
            self._end(signal.SIGKILL)
            if not fixed:
                self.port = 0
        raise RuntimeError(f"Soketi did not start: {self.output()[-800:]}")

    def stop(self) -> None:
        """Ask it to end as an operator would (SIGTERM: it tells its clients 4200)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would: no word to anybody."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same port with the same credentials."""
        self.kill()
        self.start()

    def output(self) -> str:
        """All it has printed, for a failure's message."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def close(self) -> None:
        """Kill it and release everything."""
        self.kill()
        self._log.close()

    def __enter__(self) -> SoketiServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _spawn(self) -> None:
        server = self._node.modules / "@soketi" / "soketi" / "bin" / "server.js"
        self._process = subprocess.Popen(
            [str(self._node.binary), "--require", str(SOURCE / "with-parent.js"), str(server), "start"],
            env={**self._node.environment(), **self._environment()},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def _environment(self) -> dict[str, str]:
        return {
            "SOKETI_HOST": self.host,
            "SOKETI_PORT": str(self.port),
            "SOKETI_METRICS_ENABLED": "0",
            "SOKETI_METRICS_HOST": self.host,
            "SOKETI_METRICS_SERVER_PORT": str(self._metrics_port),
            "SOKETI_CLUSTER_UNICAST_ADDRESSES": "127.0.0.1",
            "SOKETI_SHUTDOWN_GRACE_PERIOD": "100",
            "SOKETI_DEFAULT_APP_ID": self.app_id,
            "SOKETI_DEFAULT_APP_KEY": self.key,
            "SOKETI_DEFAULT_APP_SECRET": self.secret,
            "SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES": "1" if self._client_events else "0",
            **self._settings,
        }

    def _answers(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._ended_within(POLL_S):
                return False
            connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
            try:
                connection.request("GET", "/")
                if connection.getresponse().status == 200:
                    return True
            except OSError:
                continue
            finally:
                connection.close()
        return False

    def _ended_within(self, timeout_s: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(with_signal)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT_S)
        if process.stdin is not None:
            process.stdin.close()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
