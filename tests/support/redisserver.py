"""A real Redis for the tests: own port, own password, nothing on disk, gone with the test run."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import subprocess
import time
from types import TracebackType

import redis

from tests.support import children
from tests.support.node import missing

START_TIMEOUT_S = 30.0
POLL_S = 0.02


class RedisServer:
    """One `redis-server` on 127.0.0.1. Port and password stay the same over `kill` and `start`; what it held does not."""

    def __init__(self) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            missing("redis-server is not installed")
        self._binary = binary
        self.port = children.free_port()
        self.password = "redis/" + secrets.token_urlsafe(12)
        self._directory = children.ServerDirectory("redis")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password.replace('/', '%2F')}@127.0.0.1:{self.port}/0"

    @property
    def where(self) -> str:
        """The URL as it may be shown."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        settings = f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\nsave ''\nappendonly no\n"
        command = children.as_child([self._binary, "-"], signal.SIGKILL)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=self._directory.path, env=children.environment()
        )
        assert self._process.stdin is not None
        self._process.stdin.write(settings.encode())
        self._process.stdin.close()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(POLL_S)
        return self

    def fresh(self) -> str:
        """Its URL, and it holds nothing."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
        return self.url

    def stopped(self) -> contextlib.AbstractContextManager[None]:
        """It does nothing inside."""
        assert self._process is not None
        return children.stopped(self._process)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            children.end(process, signal.SIGKILL)

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        self._directory.remove()

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
