"""What all peers of one run share: a temporary directory, a clean environment, the programs to run, one Soketi.

Every peer is given the same program as an executable file, so that none of them parses a command line differently.
"""

import base64
import json
import os
import random
import secrets
import select
import shutil
import socket
import string
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import workload
from benchmarks.screens import Screens

READY = workload.READY
LOG_SEED = 20
MARK_CHARS = 24
SCREEN_BYTES = 64 * 1024


class Unavailable(Exception):
    """A peer cannot run here; the text is one line, free of paths, and goes into the report."""


class Workbench(AbstractContextManager["Workbench"]):
    """Owns everything temporary of one run; leaving it stops what was started and deletes the directory."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="cwb-"))
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self._soketi: dict[str, str] | Unavailable | None = None
        self.soketi_version = ""
        self._screens: Screens | None = None
        self._count = 0
        self.env = self._clean_environment()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _clean_environment(self) -> dict[str, str]:
        """Nothing of the caller's settings reaches a peer, and no peer touches the caller's files."""
        env = {"LANG": "C.UTF-8", "TERM": "xterm-256color", "SHELL": "/bin/sh", "HOME": str(self.directory)}
        env["PATH"] = os.environ.get("PATH", os.defpath)
        for name in ("RUNTIME", "STATE", "DATA", "CONFIG", "CACHE"):
            path = self.directory / name.lower()
            path.mkdir(mode=0o700)
            env[f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}"] = str(path)
        return env

    def on_close(self, callback: Any, *args: Any) -> None:
        """Call this when the run is over; the last one registered is called first."""
        self._stack.callback(callback, *args)

    def fresh_name(self) -> str:
        """A session name that was not used before in this run."""
        self._count += 1
        return f"bench-{os.getpid()}-{self._count}"

    def soketi_env(self) -> dict[str, str]:
        """The SOKETI_* variables of the run's one Soketi, which is started at the first call; raises Unavailable."""
        if isinstance(self._soketi, Unavailable):
            raise self._soketi
        if self._soketi is None:
            try:
                self._soketi = self._start_soketi()
            except Unavailable as reason:
                self._soketi = reason
                raise
        return dict(self._soketi)

    def node(self) -> Any:
        """The tests' own Node, with their packages; raises Unavailable."""
        # It reports what is missing in pytest's way.
        try:
            import pytest

            from tests.support.node import installed_node
        except ImportError as error:
            raise Unavailable(f"Node needs the test extra ({error.name} is missing)") from error
        try:
            return installed_node()
        except (OSError, RuntimeError, pytest.skip.Exception, pytest.fail.Exception) as error:
            print(f"node: {error}", file=sys.stderr)
            raise Unavailable("Node and its packages could not be installed") from None

    def screens(self) -> Screens:
        """Terminals to compare with, started at the first call; raises Unavailable."""
        if self._screens is None:
            node = self.node()
            self._screens = Screens(node.binary, node.root)
            self.on_close(self._screens.close)
        return self._screens

    def _start_soketi(self) -> dict[str, str]:
        # The tests' own server, so that both run the same one.
        node = self.node()
        from tests.support.soketi import SoketiServer

        try:
            server = self._stack.enter_context(SoketiServer(node))
        except (OSError, RuntimeError) as error:
            print(f"soketi: {error}", file=sys.stderr)
            raise Unavailable("Soketi could not be installed or started") from None
        package = json.loads((node.modules / "@soketi" / "soketi" / "package.json").read_text())
        self.soketi_version = str(package["version"])
        return {
            "SOKETI_HOST": server.host,
            "SOKETI_PORT": str(server.port),
            "SOKETI_SERVICE_USER": server.app_id,
            "SOKETI_SERVICE_KEY": server.key,
            "SOKETI_SERVICE_SECRET": server.secret,
            "SOKETI_ENCRYPTION_MASTER_KEY_BASE64": base64.b64encode(secrets.token_bytes(32)).decode(),
        }

    def program(self, *lines: str) -> Path:
        """A new executable shell script of these lines."""
        self._count += 1
        path = self.directory / f"program-{self._count}"
        path.write_text("\n".join(("#!/bin/sh", *lines, "")))
        path.chmod(0o700)
        return path

    def echo_program(self) -> Path:
        """Sends back each byte as it comes: `cat` on a raw terminal that does not echo by itself."""
        return self.program("stty raw -echo", f"printf '{READY.decode()}\\r\\n'", "exec cat")

    def log_file(self, size_bytes: int) -> Path:
        """The same log lines in every run; made once a size. Lower case only, so that no part of it equals a mark."""
        path = self.directory / f"log-{size_bytes}"
        if not path.exists():
            path.write_bytes(log_lines(size_bytes))
        return path


def log_lines(size_bytes: int) -> bytes:
    """At least `size_bytes` of plausible log lines, whole lines only, from a fixed seed."""
    rng = random.Random(LOG_SEED)
    levels = ("info ", "info ", "info ", "debug", "warn ", "error")
    parts = ("http.server", "db.pool", "worker.queue", "cache", "auth.session", "scheduler")
    verbs = ("accepted request", "finished job", "opened connection", "evicted entry", "retrying after")
    lines: list[bytes] = []
    size, when_ms = 0, 0
    while size < size_bytes:
        when_ms += rng.randrange(1, 40)
        clock = f"{when_ms // 3600000 % 24:02}:{when_ms // 60000 % 60:02}:{when_ms // 1000 % 60:02}.{when_ms % 1000:03}"
        text = (
            f"2024-05-01 {clock} {rng.choice(levels)} [{rng.choice(parts)}] {rng.choice(verbs)}"
            f" id={rng.getrandbits(48):012x} took={rng.randrange(1, 5000)}ms size={rng.randrange(1, 1 << 20)}\n"
        )
        lines.append(text.encode())
        size += len(text)
    return b"".join(lines)


def new_mark() -> str:
    """A word of upper-case letters that fits a terminal's line and is nowhere else in what a peer shows."""
    return "".join(secrets.choice(string.ascii_uppercase) for _ in range(MARK_CHARS))


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class FloodTimes:
    """When the wrapped command began to write and when all was written, in nanoseconds of the monotonic clock."""

    started_ns: int
    done_ns: int


class Flood:
    """One throughput workload: the program to wrap, and the pipes that start it and bring its times back.

    The log of `size_bytes` is written `repeats` times, by one `cat`.
    """

    def __init__(self, bench: Workbench, size_bytes: int, repeats: int = 1) -> None:
        self.log = bench.log_file(size_bytes)
        self._repeats = repeats
        self.mark = new_mark()
        directory = Path(tempfile.mkdtemp(dir=bench.directory))
        for name in ("go", "report"):
            os.mkfifo(directory / name)
        # Opened for both directions: neither end waits for the other, and the program sees the end when we close.
        self._go = os.open(directory / "go", os.O_RDWR)
        self._report = os.open(directory / "report", os.O_RDWR | os.O_NONBLOCK)
        words = (sys.executable, "-I", "-S", workload.__file__, directory / "go", directory / "report", self.mark)
        command = " ".join(f"'{word}'" for word in (*words, *[self.log] * repeats))
        self.program = bench.program(f"exec {command}")

    def output(self) -> bytes:
        """What the program writes, as its terminal makes it: a carriage return before each line's end."""
        written = b"%s\n%s\r\n%s\r\n" % (READY, self.log.read_bytes() * self._repeats, self.mark.encode())
        return written.replace(b"\n", b"\r\n")

    def screen(self) -> bytes:
        """The end of that, which leaves the same screen."""
        return self.log.read_bytes()[-SCREEN_BYTES:].replace(b"\n", b"\r\n") + b"\r\r\n%s\r\r\n" % self.mark.encode()

    def go(self) -> None:
        """Let the program begin."""
        os.write(self._go, b"g")

    def times(self, timeout_s: float, still_running: Any) -> FloodTimes | None:
        """Wait for the program's report; None when it did not come or `still_running()` became false."""
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if poll.poll(200):
                started, done = os.read(self._report, 100).split()
                return FloodTimes(int(started), int(done))
            if not still_running():
                return None
        return None

    def end(self) -> None:
        """Let the program exit."""
        os.write(self._go, b"e")

    def close(self) -> None:
        """Close the pipes."""
        os.close(self._go)
        os.close(self._report)
