"""Real sessions of the installed `codewrap` script: machines (isolated homes) and the relays between them.

A `Machine` is one user's account on one computer: its own home, runtime and state directories, and only those settings that a
test gives it. A `Relay` joins the machine of a host with the machine of a viewer over one kind of server.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sysconfig
import textwrap
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from codewrap.protocol.geometry import Size
from codewrap.store.archive import Archive, Kept
from tests.support.node import missing
from tests.support.ptydriver import DEADLINE_S, STANDARD, Piped, Redirect, Running, Terminal, eventually
from tests.support.served import Served
from tests.support.soketi import SoketiServer

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
TOKEN = "a-token-that-is-long-enough"
SCRIPTS = Path(sysconfig.get_path("scripts"))
CODEWRAP = str(SCRIPTS / "codewrap")
PROMPT = "ready$ "
BASH = ("bash", "--norc", "--noprofile")
_NAMES = itertools.count(1)


def session_name() -> str:
    """One that no other test of this run has: servers are shared."""
    return f"e2e-{os.getpid()}-{next(_NAMES)}"


def program(name: str) -> str:
    """The path of a program of the distribution: skipped where it is missing, a failure in CI."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not installed")
    return path


def soketi_settings(server: SoketiServer) -> dict[str, str]:
    """How a machine is told of a Soketi."""
    return {
        "SOKETI_HOST": server.host,
        "SOKETI_PORT": str(server.port),
        "SOKETI_SERVICE_USER": server.app_id,
        "SOKETI_SERVICE_KEY": server.key,
        "SOKETI_SERVICE_SECRET": server.secret,
        "SOKET_ENCRYPTION_MASTER_KEY_BASE64": MASTER_KEY,
    }


def cloud_settings(served: Served) -> dict[str, str]:
    """How a machine is told of a hub with the hosted service's limits: as if it were that service."""
    keys = json.loads((served.directory / "state/codewrap/serve-auth/keys.json").read_text())
    return {
        "PUSHER_HOST": "127.0.0.1",
        "PUSHER_PORT": str(served.port),
        "PUSHER_APP_ID": keys["app_id"],
        "PUSHER_KEY": keys["key"],
        "PUSHER_SECRET": keys["secret"],
        "PUSHER_ENCRYPTION_MASTER_KEY_BASE64": keys["master_key"],
    }


class Machine:
    """One account. Everything started on it is gone when it is closed."""

    def __init__(self, root: Path, settings: dict[str, str] | None = None) -> None:
        self.root = root
        self.settings = dict(settings or {})
        self._running: list[Running] = []
        for name in ("home", "run", "state"):
            (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def environ(self) -> dict[str, str]:
        """Nothing of the test run's own environment but PATH."""
        return {
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "USER": "somebody",
            "SHELL": "/bin/sh",
            "PS1": PROMPT,
            "PYTHONWARNINGS": "error,ignore::DeprecationWarning:pusher,ignore::DeprecationWarning:pysher",
            "CODEWRAP_RUNTIME_DIR": str(self.root / "run"),
            "CODEWRAP_STATE_DIR": str(self.root / "state"),
            **self.settings,
        }

    def script(self, text: str) -> tuple[str, str]:
        """A command that runs a Python program."""
        path = self.home / f"program-{next(_NAMES)}.py"
        path.write_text(textwrap.dedent(text))
        return "python3", str(path)

    # -- starting ----------------------------------------------------------------------------------------------

    def terminal(
        self,
        command: Sequence[str],
        size: Size = STANDARD,
        *,
        environ: dict[str, str] | None = None,
        stdin: Redirect = None,
        stdout: Redirect = None,
        stderr: Redirect = None,
    ) -> Terminal:
        """``command`` on a terminal."""
        terminal = Terminal(command, self.environ | (environ or {}), self.home, size, stdin=stdin, stdout=stdout, stderr=stderr)
        self._running.append(terminal)
        return terminal

    def piped(
        self,
        command: Sequence[str],
        *,
        environ: dict[str, str] | None = None,
        stdin: Redirect = subprocess.PIPE,
        stdout: Redirect = subprocess.PIPE,
        stderr: Redirect = subprocess.PIPE,
    ) -> Piped:
        """``command`` on pipes."""
        piped = Piped(command, self.environ | (environ or {}), self.home, stdin=stdin, stdout=stdout, stderr=stderr)
        self._running.append(piped)
        return piped

    def run(self, *arguments: str, **how: Any) -> Terminal:
        """`codewrap run ARGUMENTS` on a terminal."""
        return self.terminal([CODEWRAP, "run", *arguments], **how)

    def run_piped(self, *arguments: str, **how: Any) -> Piped:
        """`codewrap run ARGUMENTS` on pipes."""
        return self.piped([CODEWRAP, "run", *arguments], **how)

    def attach(self, *arguments: str, **how: Any) -> Terminal:
        """`codewrap attach ARGUMENTS` on a terminal."""
        return self.terminal([CODEWRAP, "attach", *arguments], **how)

    def attach_piped(self, *arguments: str, **how: Any) -> Piped:
        """`codewrap attach ARGUMENTS` on pipes."""
        return self.piped([CODEWRAP, "attach", *arguments], **how)

    def finished(self, *arguments: str, **how: Any) -> tuple[int, bytes, bytes]:
        """`codewrap ARGUMENTS` on pipes, with nothing on stdin: status, stdout and stderr when it has ended."""
        process = self.piped([CODEWRAP, *arguments], stdin=subprocess.DEVNULL, **how)
        status = process.status()
        return status, process.out.everything(), process.err.everything()

    # -- looking around ----------------------------------------------------------------------------------------

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to this account: whatever was started here, and what that started."""
        mine = str(self.root / "run")
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and process.environ().get("CODEWRAP_RUNTIME_DIR") == mine:
                    found.append(process)
        return found

    def uplinks(self) -> list[psutil.Process]:
        """The second processes of its sessions."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if "codewrap.cli.uplink" in process.cmdline():
                    found.append(process)
        return found

    def uplink(self) -> psutil.Process:
        """The only one; waits for it."""
        eventually(lambda: len(self.uplinks()) == 1, "one uplink runs")
        return self.uplinks()[0]

    def records(self) -> list[Path]:
        """Records of sessions."""
        return sorted((self.root / "run").glob("*.json"))

    def logs(self) -> list[Path]:
        """Directories of session logs."""
        directory = self.root / "state" / "sessions"
        return sorted(path for path in directory.iterdir() if path.is_dir()) if directory.exists() else []

    def kept(self) -> list[Kept]:
        """The sessions of those logs, the newest first."""
        return Archive(self.root / "state" / "sessions").sessions()

    def session(self, name: str) -> dict[str, Any]:
        """The record of a session; waits until it stands."""
        path = self.root / "run" / f"{name}.json"
        eventually(path.exists, f"a record of {name}")
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    def is_over(self) -> bool:
        """No process and no record is left; logs may be."""
        return not self.processes() and not self.records()

    def is_empty(self) -> bool:
        """No process, no record, no log is left."""
        return self.is_over() and not self.logs()

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything that was started here."""
        for running in reversed(self._running):
            running.close()
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass
class Relay:
    """``host`` and ``viewer`` can reach one another over ``kind`` (they are one machine for the embedded hub)."""

    kind: str
    host: Machine
    viewer: Machine
    name: str = field(default_factory=session_name)

    @property
    def mode(self) -> str:
        """How host and viewer go."""
        return {"hub": "embedded", "soketi": "direct", "cloud": "direct"}.get(self.kind, "gateway")

    def run(self, *command: str, options: Sequence[str] = (), **how: Any) -> Terminal:
        """The session, on a terminal."""
        return self.host.run("--name", self.name, *options, "--", *command, **how)

    def run_piped(self, *command: str, options: Sequence[str] = (), **how: Any) -> Piped:
        """The session, on pipes."""
        return self.host.run_piped("--name", self.name, *options, "--", *command, **how)

    def attach(self, *options: str, **how: Any) -> Terminal:
        """A viewer, on a terminal, as soon as the session has begun."""
        self.host.session(self.name)
        return self.viewer.attach(self.name, *options, **how)

    def attach_piped(self, *options: str, **how: Any) -> Piped:
        """A viewer, on pipes, as soon as the session has begun."""
        self.host.session(self.name)
        return self.viewer.attach_piped(self.name, *options, **how)

    def attached(self, *options: str, **how: Any) -> Terminal:
        """A viewer on a terminal, when it shows the session: from here on what is typed is the session's."""
        viewer = self.attach(*options, **how)
        viewer.expect(JOINED)
        return viewer

    def shell(self, options: Sequence[str] = (), **how: Any) -> Terminal:
        """A session of bash, at its prompt; no line of ours stands above it."""
        host = self.run(*BASH, options=("--quiet", *options), **how)
        host.shows(PROMPT.strip())
        return host


# What only a screen of the session begins with: the terminal is taken over by it.
JOINED = re.compile(rb"(\r\n){10,}.*\x1b\[", re.DOTALL)


@contextlib.contextmanager
def direct(root: Path, server: SoketiServer) -> Iterator[Relay]:
    """Both machines know the Soketi and its secret."""
    settings = soketi_settings(server)
    with Machine(root / "host", settings) as host, Machine(root / "viewer", settings) as viewer:
        yield Relay("soketi", host, viewer)


@contextlib.contextmanager
def cloud(root: Path, served: Served) -> Iterator[Relay]:
    """Both machines take the hub of ``served`` for the hosted service, and know its secret."""
    settings = cloud_settings(served)
    with Machine(root / "host", settings) as host, Machine(root / "viewer", settings) as viewer:
        yield Relay("cloud", host, viewer)


@contextlib.contextmanager
def embedded(root: Path) -> Iterator[Relay]:
    """Nothing is configured."""
    with Machine(root / "machine") as machine:
        yield Relay("hub", machine, machine)


@contextlib.contextmanager
def through(root: Path, served: Served, kind: str) -> Iterator[Relay]:
    """Both machines know a URL and a token, and nothing else."""
    settings = {"CODEWRAP_URL": served.url, "CODEWRAP_TOKEN": served.token}
    with Machine(root / "host", settings) as host, Machine(root / "viewer", settings) as viewer:
        yield Relay(kind, host, viewer)


class SilentServer:
    """Accepts connections and never says a word."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepted: list[socket.socket] = []
        self.called = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="silent server", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE_S)
        for each in self._accepted:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._accepted.append(self._listener.accept()[0])
                self.called.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def closed_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
