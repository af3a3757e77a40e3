"""A real PostgreSQL for the tests: own cluster, own port, own password, gone with the test run.

Not the cluster that the distribution may have started: that one is neither used nor touched.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

import psycopg

from tests.support import children
from tests.support.node import missing

START_TIMEOUT_S = 60.0
POLL_S = 0.05
_SCHEMAS = itertools.count(1)


def postgres_binaries() -> Path | None:
    """The newest version's: the distribution puts them into no directory of PATH."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max((path.parent for path in found), key=lambda path: int(path.parent.name), default=None)


class PostgresServer:
    """One cluster on 127.0.0.1. Port, password and data stay the same over `kill` and `start`."""

    def __init__(self) -> None:
        binaries = postgres_binaries()
        if binaries is None:
            missing("postgresql is not installed")
        self._binaries = binaries
        self.port = children.free_port()
        self.user = "codewrap"
        self.password = "postgres/" + secrets.token_urlsafe(12)
        self._directory = children.ServerDirectory("postgres")
        self._data = self._directory.path / "data"
        self._log = (self._directory.path / "log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{self.password.replace('/', '%2F')}@127.0.0.1:{self.port}/postgres"

    @property
    def where(self) -> str:
        """The URL as it may be shown."""
        return f"postgresql://127.0.0.1:{self.port}/postgres"

    def start(self) -> PostgresServer:
        if not self._data.exists():
            self._make_cluster()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._directory.path),
            "fsync": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # SIGQUIT: at once, and its own children with it.
        command = children.as_child([self._binaries / "postgres", "-D", self._data, *options], signal.SIGQUIT)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=self._data, env=children.environment()
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self._process.poll() is None, f"postgres ended: {self._output()}"
            assert time.monotonic() < deadline, f"postgres does not answer: {self._output()}"
            time.sleep(POLL_S)
        return self

    def fresh(self) -> str:
        """A URL by which nothing is seen of others' tables."""
        name = f"test_{next(_SCHEMAS)}"  # a schema: a database is some hundred files
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]
        return f"{self.url}?options=-csearch_path%3D{name}"

    def stopped(self) -> contextlib.AbstractContextManager[None]:
        """It does nothing inside."""
        assert self._process is not None
        return children.stopped(self._process)

    def kill(self) -> None:
        """As a crash would."""
        process, self._process = self._process, None
        if process is not None:
            children.end(process, signal.SIGQUIT)

    def __enter__(self) -> PostgresServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        self._log.close()
        self._directory.remove()

    def _make_cluster(self) -> None:
        secret = self._directory.path / "password"
        secret.write_text(self.password)
        initdb = [self._binaries / "initdb", "-D", self._data, "-U", self.user, f"--pwfile={secret}", "--auth=scram-sha-256"]
        command = children.as_child([*initdb, "--no-sync", "--encoding=UTF8"], signal.SIGKILL)
        done = subprocess.run(
            command,
            capture_output=True,
            cwd=self._directory.path,
            env=children.environment(),
            timeout=START_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"initdb: {done.stderr.decode(errors='replace')[-800:]}"
        secret.unlink()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _output(self) -> str:
        return (self._directory.path / "log").read_text(errors="replace")[-800:]
