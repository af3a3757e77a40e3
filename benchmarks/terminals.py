"""A terminal that the harness plays: one program on a PTY of its own, and two ways to read it.

`Terminal.read` with `wait` is for latency: one thread, one poll, no hand-over between threads. `Drain` is for floods:
a thread per terminal that takes what comes and notes when a mark went by. Nothing here knows about peers.
"""

import errno
import fcntl
import os
import select
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROWS, COLS = 24, 80
READ_BYTES = 65536
EXIT_WITHIN_S = 5.0
TERMINATE_WITHIN_S = 2.0
DRAIN_POLL_MS = 100


class Terminal:
    """A program that runs with a new PTY as its controlling terminal; the harness holds the other end.

    `launched_ns` is the monotonic time just before the program was started.
    """

    def __init__(self, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        self.fd, inner = os.openpty()
        termios.tcsetwinsize(inner, (ROWS, COLS))
        os.set_blocking(self.fd, False)
        self.ended = False
        self.tail = b""
        self.launched_ns = time.monotonic_ns()
        try:
            self.process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=inner,
                stdout=inner,
                stderr=inner,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0),
            )
        except BaseException:
            os.close(self.fd)
            raise
        finally:
            os.close(inner)

    def write(self, data: bytes) -> None:
        """Type `data` (a few bytes: it must fit the PTY's buffer)."""
        os.write(self.fd, data)

    def read(self) -> bytes:
        """What has arrived; b"" when nothing has, and from then on when `ended` is true."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self.ended = True
        else:
            self.tail = (self.tail + data)[-400:]
        return data

    def close(self) -> None:
        """Hang up and wait for the program to go; it is terminated, then killed, when it does not."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        for patience_s, number in ((TERMINATE_WITHIN_S, signal.SIGTERM), (TERMINATE_WITHIN_S, signal.SIGKILL)):
            try:
                self.process.wait(patience_s)
                return
            except subprocess.TimeoutExpired:
                self.process.send_signal(number)
        self.process.wait()


class Poll:
    """Waits for any of several terminals; the first one given is looked at first."""

    def __init__(self, terminals: Sequence[Terminal]) -> None:
        self._by_fd = {terminal.fd: terminal for terminal in terminals}
        self._poll = select.poll()
        for fd in self._by_fd:
            self._poll.register(fd, select.POLLIN)

    def wait(self, timeout_s: float) -> list[Terminal]:
        """Terminals that have something to read, or have ended since the last call; empty after `timeout_s`."""
        ready = self._poll.poll(max(0.0, timeout_s * 1000))
        terminals = [self._by_fd[fd] for fd, _ in ready]
        return [terminal for terminal in terminals if not terminal.ended or self._forget(terminal)]

    def _forget(self, terminal: Terminal) -> bool:
        self._poll.unregister(terminal.fd)
        return False


def read_until(watched: Terminal, others: Sequence[Terminal], mark: bytes, timeout_s: float) -> int | None:
    """Read all the terminals until `mark` shows at `watched`: the monotonic time of that, or None."""
    poll = Poll([watched, *others])
    deadline = time.monotonic() + timeout_s
    seen = b""
    while (left_s := deadline - time.monotonic()) > 0 and not watched.ended:
        for terminal in poll.wait(left_s):
            data = terminal.read()
            if terminal is not watched:
                continue
            now_ns = time.monotonic_ns()
            if mark in seen + data:
                return now_ns
            seen = (seen + data)[-len(mark) :]
    return None


def settle(terminals: Sequence[Terminal], quiet_s: float, at_most_s: float = 5.0) -> None:
    """Read and discard until nothing has come for `quiet_s`."""
    poll = Poll(terminals)
    deadline = time.monotonic() + at_most_s
    while time.monotonic() < deadline:
        ready = poll.wait(quiet_s)
        if not ready:
            return
        for terminal in ready:
            terminal.read()


def wait_exit(terminal: Terminal, others: Sequence[Terminal] = (), timeout_s: float = EXIT_WITHIN_S) -> int | None:
    """Read until the program has exited: the monotonic time when that was noticed (to 2 ms), or None."""
    poll = Poll([terminal, *others])
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if terminal.process.poll() is not None:
            return time.monotonic_ns()
        ready = poll.wait(0.002)
        for each in ready:
            each.read()
        if terminal.ended:
            time.sleep(0.001)
    return None


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one read brought, and when."""

    at_ns: int
    data: bytes


class Drain(threading.Thread):
    """Reads one terminal as fast as it can and notes when `mark` went by.

    `found_ns` is set once the mark was read; `size_bytes` counts everything; `chunks` are all that came where `keep` is true.
    Stop it before closing the terminal.
    """

    def __init__(self, terminal: Terminal, mark: bytes, name: str, *, keep: bool = False) -> None:
        super().__init__(name=f"drain-{name}", daemon=True)
        self._keep = keep
        self.chunks: list[Chunk] = []
        self._terminal = terminal
        self._mark = mark
        self._found = threading.Event()
        self._stop_asked = threading.Event()
        self.found_ns: int | None = None
        self.size_bytes = 0
        self.start()

    def run(self) -> None:
        """Read until the end or `stop`; waits in poll only when the terminal is empty."""
        fd, mark, overlap = self._terminal.fd, self._mark, len(self._mark) - 1
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        end = b""
        while not self._stop_asked.is_set():
            data = self._terminal.read()
            if not data:
                if self._terminal.ended:
                    return
                poll.poll(DRAIN_POLL_MS)
                continue
            self.size_bytes += len(data)
            if self._keep:
                self.chunks.append(Chunk(time.monotonic_ns(), data))
            if self.found_ns is None and mark in end + data:
                self.found_ns = time.monotonic_ns()
                self._found.set()
            end = data[-overlap:] if len(data) >= overlap else (end + data)[-overlap:]

    def wait_found(self, timeout_s: float) -> bool:
        """Whether the mark was read within `timeout_s`; gives up early when the terminal ends."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._found.wait(0.1):
                return True
            if not self.is_alive():
                break
        return self._found.is_set()

    def wait_quiet(self, quiet_s: float, at_most_s: float) -> None:
        """Until nothing has come for `quiet_s`, or `at_most_s` are over."""
        deadline = time.monotonic() + at_most_s
        while (now := time.monotonic()) < deadline and self.is_alive():
            size_bytes = self.size_bytes
            time.sleep(min(quiet_s, deadline - now))
            if self.size_bytes == size_bytes:
                return

    def stop(self) -> None:
        """Stop reading; the terminal may be closed when this returns."""
        self._stop_asked.set()
        self.join()
