"""Servers of the distribution as children: they end with the test run, whatever ends it, and can be stopped for a while."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.support.node import missing

STOP_TIMEOUT_S = 10.0
# Some servers refuse to run as root: then as nobody, who also can hurt nothing.
AS_NOBODY = ("--reuid=nobody", "--regid=nogroup", "--clear-groups") if os.geteuid() == 0 else ()


class ServerDirectory:
    """A private directory that belongs to whom the server runs as."""

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"codewrap-{name}-"))
        if os.geteuid() == 0:
            shutil.chown(self.path, "nobody", "nogroup")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def as_child(command: Sequence[str | Path], end_with: signal.Signals) -> list[str]:
    """``command`` run with few rights, and sent ``end_with`` when the thread that started it (so: the main one) ends."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        missing("setpriv is not installed")
    return [setpriv, *AS_NOBODY, f"--pdeathsig={end_with.name.removeprefix('SIG')}", "--", *map(str, command)]


def environment() -> dict[str, str]:
    """Nothing of the caller's: `PGHOST` and the like would lead elsewhere."""
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}


@contextlib.contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """``process`` and all below it do nothing inside: connections stay, and nothing is answered."""
    top = psutil.Process(process.pid)
    top.suspend()  # first: it starts no others then
    family = [top, *top.children(recursive=True)]
    for one in family[1:]:
        one.suspend()
    try:
        yield
    finally:
        for one in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()


def end(process: subprocess.Popen[bytes], with_signal: signal.Signals) -> None:
    """Send ``with_signal``, then SIGKILL where it is not obeyed."""
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
