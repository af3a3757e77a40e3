"""Runs a session loop in this process's main thread on descriptors of a test's own, while a script plays everybody else.

The loops take the process's own stdin, stdout and stderr and its signals: here these are exchanged for the time of one call.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_Result = TypeVar("_Result")
AGAIN_S = 0.1


@contextmanager
def standard_streams(stdin: int, stdout: int, stderr: int) -> Iterator[None]:
    """Descriptors 0, 1 and 2 are these inside."""
    saved = [os.dup(fd) for fd in (0, 1, 2)]
    try:
        for target, fd in enumerate((stdin, stdout, stderr)):
            os.dup2(fd, target)
        yield
    finally:
        for target, fd in enumerate(saved):
            os.dup2(fd, target)
            os.close(fd)


def played(session: Callable[[], _Result], script: Callable[[], None]) -> _Result:
    """The result of ``session``, which ``script`` (in a thread) must bring to its end. A script that fails ends it too."""
    failures: list[BaseException] = []
    over = threading.Event()

    def play() -> None:
        try:
            script()
        except BaseException as error:  # handed on below
            failures.append(error)
            while not over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
                over.wait(AGAIN_S)

    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    thread = threading.Thread(target=play, name="script", daemon=True)
    try:
        thread.start()
        try:
            return session()
        finally:
            over.set()
            thread.join(30)
            if failures:
                raise failures[0]
            assert not thread.is_alive(), "the session is over, and the script is not"
    finally:
        signal.signal(signal.SIGTERM, handler)
