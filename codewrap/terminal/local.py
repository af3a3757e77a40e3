"""This terminal: raw mode, size, writes that never block the loop, and the promise that it is left as it was found.

A *guard* process holds the old settings while raw mode is on and restores them when we die without doing so (kill -9).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
import termios
import tty
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

# What a dead program may have left on. 1047 and not 1049: leaving with 1049 would also move the cursor of a main screen.
# Resetting margins homes it too, so it is kept meanwhile; origin mode is left, for without margins it changes nothing.
RESET_MODES = (
    b"\x1b[?2026l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2004l"
    b"\x1b[?1l\x1b>\x1b[<u\x1b[>4m\x1b[?7h\x1b[4l\x1b[?1047l\x1b7\x1b[r\x1b8\x1b[0m\x0f\x1b[?25h\x1b[0 q"
)
_REPORTING = (9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016)
MAX_PENDING_BYTES = 256 * 1024
_GUARD_DRAIN_S = 1.0
# A terminal that is read as fast as can be has room again in microseconds: to wait for that is less than to copy what is left and
# come back for it, for each 4 KiB of a flood. One that has none for PATIENCE_MS is slow; with one that takes little we are done
# after so many times.
PATIENCE_MS = 2
PATIENT_WRITES = 16
PIPE_CHUNK = 4096  # PIPE_BUF: what a pipe that select calls writable takes without blocking


class RawTerminal:
    """Raw mode on ``fd`` while entered. ``reset`` is written to it by the guard if this process dies without leaving."""

    def __init__(self, fd: int, reset: bytes = RESET_MODES) -> None:
        self._fd = fd
        self._reset = reset
        self._saved: list[Any] = []
        self._guard = Guard()

    def __enter__(self) -> Self:
        with contextlib.suppress(termios.error):  # gone already: there is nothing to make raw, nor to give back
            self._saved = termios.tcgetattr(self._fd)
            self._guard.start(self._fd, self._saved, self._reset)
            self.raw()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cooked()
        self._guard.stop()

    @property
    def attributes(self) -> list[Any]:
        """termios settings as they were found."""
        return self._saved

    def cooked(self) -> None:
        """Give the old settings back (to suspend, or at the end). A terminal that is gone is not an error."""
        if self._saved:
            restore(self._fd, self._saved)

    def raw(self) -> None:
        """Raw again, after `cooked`."""
        with contextlib.suppress(termios.error, OSError):
            tty.setraw(self._fd, termios.TCSADRAIN)


def undo_modes(output: bytes) -> bytes:
    """What takes back the modes that ``output`` (the end of a program's) has left on: for one that was killed in the midst."""
    from codewrap.terminal.modes import ModeTracker

    tracker = ModeTracker()
    tracker.feed(output)
    known = tracker.known_modes()
    off = [mode for mode in (2026, *_REPORTING, 1, 66, 2004, 1049, 1047, 47) if known.get(mode)]
    parts = [f"\x1b[?{mode}l" for mode in off]
    parts.append("\x1b[?25h" if known.get(25) is False else "")
    parts.append("\x1b[0m" if off or parts[-1] else "")
    return "".join(parts).encode()


def restore(fd: int, attributes: list[Any]) -> None:
    """tcsetattr, also from a background process group; never raises."""
    old = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(fd, termios.TCSADRAIN, attributes)
    finally:
        signal.signal(signal.SIGTTOU, old)


class Guard:
    """A small forked process that restores a terminal when its parent dies without saying goodbye."""

    def __init__(self) -> None:
        self._pid = 0
        self._pipe = -1

    def start(self, fd: int, attributes: list[Any], reset: bytes) -> None:
        """Fork the guard; call it while this process has one thread."""
        read_end, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _guard(fd, read_end, attributes, reset)
        os.close(read_end)
        self._pipe = write_end

    def stop(self) -> None:
        """All is restored: let the guard go without acting."""
        if self._pid:
            with contextlib.suppress(OSError):
                os.write(self._pipe, b".")
            os.close(self._pipe)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0


def _guard(fd: int, read_end: int, attributes: list[Any], reset: bytes) -> NoReturn:
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        tty_fd = os.dup(fd) if fd <= 2 else fd
        low, high = sorted((tty_fd, read_end))
        for first, behind in ((0, low), (low + 1, high), (high + 1, os.sysconf("SC_OPEN_MAX"))):
            os.closerange(first, behind)
        if os.read(read_end, 1) == b"":
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(tty_fd, termios.TCSANOW, attributes)
            # Not by O_NONBLOCK on `tty_fd`: the shell has the same open file, and would be left with it.
            sink = Sink(tty_fd)
            sink.write(reset)
            sink.drain(_GUARD_DRAIN_S)
    finally:
        os._exit(0)


class Sink:
    """Writes to a descriptor of ours that others share, without ever blocking the loop and without changing its flags.

    A terminal or pipe is opened anew, so that O_NONBLOCK is ours alone; where that is not possible small writes follow a
    selector's word. At most MAX_PENDING_BYTES wait; `full` tells the loop to stop reading the child (as a blocked write would).
    """

    def __init__(self, fd: int) -> None:
        self._pending: deque[memoryview] = deque()
        self._pending_bytes = 0
        self.fd, self._own, self._chunk = _open_for_writing(fd)
        self._room = select.poll()
        self._room.register(self.fd, select.POLLOUT)
        self.closed = False

    @property
    def full(self) -> bool:
        """More waits than should."""
        return self._pending_bytes > MAX_PENDING_BYTES

    @property
    def waiting(self) -> bool:
        """Something waits for the descriptor to take it."""
        return bool(self._pending)

    def write(self, data: bytes | memoryview) -> None:
        """Write now what goes; the rest, a copy, when `flush` is called. What has no reader any more is dropped."""
        if self.closed or not data:
            return
        written = 0 if self._pending or self._chunk else self._try_patiently(data)
        if written < len(data) and not self.closed:
            rest = bytes(data[written:])
            self._pending.append(memoryview(rest))
            self._pending_bytes += len(rest)

    def flush(self) -> None:
        """The descriptor is writable: write on."""
        while self._pending:
            view = self._pending[0]
            written = self._try(view[: self._chunk] if self._chunk else view)
            if self.closed:
                return
            self._pending_bytes -= written
            if written < len(view):
                self._pending[0] = view[written:]
                return  # it takes no more now, or but a piece at a time
            self._pending.popleft()
            if self._chunk:
                return

    def drain(self, timeout_s: float) -> None:
        """At the end: wait until all is written, but not for ever on one who does not read."""
        import time

        deadline = time.monotonic() + timeout_s
        while self._pending and not self.closed:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([], [self.fd], [], left)[1]:
                return
            self.flush()

    def close(self) -> None:
        """Give back what was opened anew; the shared descriptor stays."""
        if self._own and self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)
            self.fd = -1

    def _try_patiently(self, data: bytes | memoryview) -> int:
        written = self._try(data)
        for _ in range(PATIENT_WRITES):
            if written == len(data) or self.closed or not self._room.poll(PATIENCE_MS):
                break
            written += self._try(data[written:])
        return written

    def _try(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError:  # EPIPE, EIO: nobody will ever read this
            self.closed = True
            self._pending.clear()
            self._pending_bytes = 0
            return 0


def in_foreground(fd: int) -> bool:
    """Whether we may read from the terminal ``fd`` without being stopped."""
    with contextlib.suppress(OSError):
        return os.tcgetpgrp(fd) == os.getpgrp()
    return False


def flush_standard_streams() -> None:
    """What Python still holds must come before what the child writes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _open_for_writing(fd: int) -> tuple[int, bool, int]:
    """A descriptor to write to, whether it is ours, and the most to write at once (0: no limit)."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        status = os.fstat(fd)
        kind = status.st_mode
        if stat.S_ISREG(kind) or (stat.S_ISCHR(kind) and status.st_rdev == Path(os.devnull).stat().st_rdev):
            return fd, False, 0
        if os.isatty(fd):
            return os.open(os.ttyname(fd), flags), True, 0
        if stat.S_ISFIFO(kind):
            return os.open(f"/proc/self/fd/{fd}", flags), True, 0
    return fd, False, PIPE_CHUNK
