"""`codewrap run --detach`: the session goes on in a process of its own; who called waits until it is up, and leaves.

That process is a fork of the caller, made while there is one thread: nothing is started anew, so no secret gets into an argument
or an environment. It leads a session (setsid) without a terminal and opens none as its own (O_NOCTTY), so no hang-up, no Ctrl-C
and no logout reaches it. Until the session is up it has the caller's streams, says there what `run` says, and its exit status
is the caller's; then it lets go of all of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from codewrap.cli import console
from codewrap.errors import EXIT_FAILED, NoRoom
from codewrap.store.files import create_private
from codewrap.terminal.local import flush_standard_streams

# What Python itself ignores from its start; `terminal/child.py` gives it back to commands.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_UP = b"."
_LIKELY_DESCRIPTORS = 1024  # where the system does not list them


class Caller:
    """Who started the session, as the session's process sees it: waiting, until `let_go`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def let_go(self, said_to: Path | None = None) -> None:
        """The session is up. Nothing of the caller's is held from here on.

        What is said on stderr goes into the new file ``said_to``; where that cannot be made, nowhere.
        """
        flush_standard_streams()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        error = null
        if said_to is not None:
            with contextlib.suppress(OSError):
                error = create_private(said_to, os.O_APPEND)
        for fd, instead in enumerate((null, null, error)):
            os.dup2(instead, fd)
        for fd in {null, error}:
            os.close(fd)
        with contextlib.suppress(OSError):  # it may have been killed meanwhile
            os.write(self._fd, _UP)
        os.close(self._fd)


def in_background(work: Callable[[Caller], int]) -> int:
    """Do ``work`` in a process that outlives us; it calls `Caller.let_go` when we may leave. Returns twice.

    Here: 0 when that was called, else the other process's exit status. There: what ``work`` returns. Raises NoRoom.
    """
    flush_standard_streams()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the status from us
    reads, writes = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reads)
        os.close(writes)
        raise NoRoom("the session", error) from error
    if pid == 0:
        stand_alone(writes)
        return work(Caller(writes))
    os.close(writes)
    return _status(pid, reads)


def stand_alone(kept: int) -> None:
    """Lead a session without a terminal; hold no descriptor but the standard streams and ``kept``; ignore no signal.

    The last for the command's sake: it gets a terminal of its own, on which Ctrl-C must work though a shell's `&`, or `nohup`,
    had us ignore it.
    """
    os.setsid()
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for fd in _open_descriptors():
        if fd > 2 and fd != kept:
            with contextlib.suppress(OSError):
                os.close(fd)


def tell_program(text: str) -> None:
    """A line on stdout, which is ours here: the command's output goes elsewhere."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(text)
        sys.stdout.flush()


def cooked_settings(fd: int) -> list[object] | None:
    """The settings of the terminal ``fd`` (its erase key, UTF-8); None where it is none, or where a program has it raw."""
    if not os.isatty(fd):
        return None
    with contextlib.suppress(termios.error):
        settings = termios.tcgetattr(fd)
        if settings[3] & termios.ICANON:
            return settings
    return None


def _status(pid: int, reads: int) -> int:
    """Wait until the session is up, or its process has ended before."""
    try:
        up = os.read(reads, 1)
        code = 0 if up else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)  # nobody wants it any more; from a session that is up already it gets to the command
        os.read(reads, 1)  # until then it removes what there is of it
        raise
    if code >= 0:
        return code
    console.say(f"the session was killed by signal {-code} while it began")
    return EXIT_FAILED


def _open_descriptors() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(path.name) for path in Path("/dev/fd").iterdir()]
    return list(range(_LIKELY_DESCRIPTORS))
