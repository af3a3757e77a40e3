"""Drives real processes as a person or a shell would: on a real PTY (`Terminal`), or on pipes and files (`Piped`).

What a process writes is collected by a thread, so that it is never held up by a test. A test waits for what it names
(a text, a picture on the screen, an exit status), always with a deadline, and never sleeps.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from codewrap.protocol.geometry import Size
from codewrap.terminal.child import get_size, set_size
from codewrap.terminal.emulator import Screen

DEADLINE_S = 30.0
POLL_S = 0.02
TAIL_BYTES = 1500
STANDARD = Size(rows=24, cols=80)
# Makes the terminal the process's own, then becomes the command; what Python ignores is as a shell would leave it.
_TAKE_TERMINAL = """
import fcntl, os, signal, sys, termios
tty = next(fd for fd in range(3) if os.isatty(fd))
fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
Redirect = int | IO[Any] | None


def eventually(condition: Callable[[], object], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Wait for something that nothing announces (a process that ends, a terminal's settings)."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        pause.wait(POLL_S)


class Collected:
    """Bytes as they come from a descriptor, and who waits for them. ``seen`` is called with each block."""

    def __init__(self, fd: int, seen: Callable[[bytes], None] = lambda _: None) -> None:
        self._fd = fd
        self._seen = seen
        self._data = bytearray()
        self._position = 0
        self._ended = False
        self.changed = threading.Condition()
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._read, name=f"collects {fd}", daemon=True)
        self._thread.start()

    @property
    def data(self) -> bytes:
        """Everything so far."""
        with self.changed:
            return bytes(self._data)

    @property
    def ended(self) -> bool:
        """Nobody writes any more."""
        return self._ended

    def expect(self, wanted: bytes | re.Pattern[bytes], timeout_s: float = DEADLINE_S) -> re.Match[bytes]:
        """Wait until ``wanted`` comes behind what was expected before."""
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, bytes) else wanted
        with self.changed:
            found = self.changed.wait_for(lambda: pattern.search(self._data, self._position) or self._ended, timeout_s)
            match = pattern.search(self._data, self._position)
            assert match is not None, f"{'ended' if found else 'no'} {wanted!r}; the end is {bytes(self._data[-TAIL_BYTES:])!r}"
            self._position = match.end()
            return match

    def wait_for(self, condition: Callable[[], object], timeout_s: float) -> bool:
        """Wait until ``condition`` holds, which can change with each block."""
        with self.changed:
            return bool(self.changed.wait_for(condition, timeout_s))

    def everything(self, timeout_s: float = DEADLINE_S) -> bytes:
        """All of it, when the last writer has closed."""
        assert self.wait_for(lambda: self._ended, timeout_s), f"somebody still writes; the end is {self.data[-TAIL_BYTES:]!r}"
        return self.data

    def close(self) -> None:
        """Stop reading; the descriptor is the caller's."""
        with contextlib.suppress(OSError):
            os.write(self._stop_write, b".")
        self._thread.join(DEADLINE_S)
        for fd in (self._stop_read, self._stop_write):
            with contextlib.suppress(OSError):
                os.close(fd)

    def _read(self) -> None:
        with selectors.PollSelector() as poller:
            poller.register(self._fd, selectors.EVENT_READ)
            poller.register(self._stop_read, selectors.EVENT_READ)
            while True:
                if any(key.fd == self._stop_read for key, _ in poller.select()):
                    break
                try:
                    data = os.read(self._fd, 65_536)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    break
                with self.changed:
                    self._data += data
                    self._seen(data)
                    self.changed.notify_all()
        with self.changed:
            self._ended = True
            self.changed.notify_all()


class Running:
    """A process and the ways to end it."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def status(self, timeout_s: float = DEADLINE_S) -> int:
        """Its exit status, 128 + n for signal n, when it has ended."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it runs on after {timeout_s:g} s: {self.shown()}") from None
        return 128 - code if code < 0 else code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would, and wait for that."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def shown(self) -> str:
        """For a failure's message."""
        raise NotImplementedError

    def close(self) -> None:
        """Kill it if it still runs, and give everything back."""
        if self.process.poll() is None:
            self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Terminal(Running):
    """``command`` on a terminal of its own. ``stdin``, ``stdout`` and ``stderr`` replace the terminal there."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        directory: Path,
        size: Size = STANDARD,
        *,
        stdin: Redirect = None,
        stdout: Redirect = None,
        stderr: Redirect = None,
    ) -> None:
        self._master, self._slave = os.openpty()
        set_size(self._slave, size)
        os.set_blocking(self._master, False)
        self.screen = Screen(size)
        self.settings_before = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command],
            env=dict(environ),
            cwd=directory,
            stdin=self._slave if stdin is None else stdin,
            stdout=self._slave if stdout is None else stdout,
            stderr=self._slave if stderr is None else stderr,
            start_new_session=True,
        )
        self.output = Collected(self._master, self.screen.feed)
        self._open = True

    # -- what the person sees ----------------------------------------------------------------------------------

    def text(self) -> str:
        """What stands on the screen."""
        with self.output.changed:
            return "\n".join(self.screen.text()).rstrip()

    def expect(self, wanted: str | bytes | re.Pattern[bytes], timeout_s: float = DEADLINE_S) -> re.Match[bytes]:
        """Wait until ``wanted`` comes in the stream, behind what was expected before."""
        return self.output.expect(wanted.encode() if isinstance(wanted, str) else wanted, timeout_s)

    def shows(self, wanted: str | re.Pattern[str], timeout_s: float = DEADLINE_S) -> re.Match[str]:
        """Wait until ``wanted`` stands on the screen."""
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, str) else wanted
        found = self.output.wait_for(lambda: pattern.search(self.text()), timeout_s)
        match = pattern.search(self.text())
        assert found and match is not None, f"not on the screen: {pattern.pattern!r}; {self.shown()}"
        return match

    def looks(self, condition: Callable[[list[str]], object], what: str, timeout_s: float = DEADLINE_S) -> None:
        """Wait until the screen's rows fulfil ``condition``."""
        assert self.output.wait_for(lambda: condition(self.screen.text()), timeout_s), f"never: {what}; {self.shown()}"

    def looks_like(self, other: Terminal, timeout_s: float = DEADLINE_S) -> None:
        """Wait until this screen shows what ``other`` shows, with the cursor at the same place."""

        def same() -> bool:
            theirs, ours = other.screen, self.screen
            return theirs.text() == ours.text() and theirs.cursor == ours.cursor

        try:
            eventually(same, "the same screen", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"not the same screen; here {self.shown()}\nthere {other.shown()}") from error

    def shown(self) -> str:
        return f"screen:\n{self.text()}\n(stream ends {self.output.data[-300:]!r})"

    # -- what the person does ----------------------------------------------------------------------------------

    def send(self, keys: str | bytes, timeout_s: float = DEADLINE_S) -> None:
        """Type or paste; waits for who reads."""
        view = memoryview(keys.encode() if isinstance(keys, str) else keys)
        deadline = time.monotonic() + timeout_s
        with selectors.PollSelector() as poller:
            poller.register(self._master, selectors.EVENT_WRITE)
            while view:
                left = deadline - time.monotonic()
                assert left > 0, f"{len(view)} bytes are not read; {self.shown()}"
                if poller.select(left):
                    with contextlib.suppress(BlockingIOError):
                        view = view[os.write(self._master, view[:1024]) :]

    def resize(self, size: Size) -> None:
        """Change the window's size."""
        with self.output.changed:
            self.screen.resize(size)
        set_size(self._master, size)

    def hang_up(self) -> None:
        """Close the window."""
        self.output.close()
        self._close_fds()

    # -- the terminal itself -----------------------------------------------------------------------------------

    @property
    def size(self) -> Size | None:
        return get_size(self._slave)

    @property
    def settings(self) -> list[Any]:
        """termios, as it is now."""
        return termios.tcgetattr(self._slave)

    @property
    def is_raw(self) -> bool:
        # A shell's own line editor leaves output processing on.
        return not (self.settings[3] & termios.ICANON or self.settings[1] & termios.OPOST)

    def becomes_raw(self) -> None:
        """Wait until somebody has put the terminal into raw mode."""
        eventually(lambda: self.is_raw, "raw mode")

    def is_as_it_was(self) -> None:
        """Wait until the settings are those of the beginning."""
        try:
            eventually(lambda: self.settings == self.settings_before, "the terminal's settings are restored", 10.0)
        except AssertionError:
            assert self.settings == self.settings_before  # shows the difference
            raise

    def close(self) -> None:
        super().close()
        if self._open:
            self.hang_up()

    def _close_fds(self) -> None:
        self._open = False
        os.close(self._master)
        os.close(self._slave)


class Piped(Running):
    """``command`` with stdin a pipe, stdout and stderr collected, where they are not sent elsewhere."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        directory: Path,
        *,
        stdin: Redirect = subprocess.PIPE,
        stdout: Redirect = subprocess.PIPE,
        stderr: Redirect = subprocess.PIPE,
    ) -> None:
        self.process = subprocess.Popen(
            list(command),
            env=dict(environ),
            cwd=directory,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        self.stdout = Collected(self.process.stdout.fileno()) if self.process.stdout else None
        self.stderr = Collected(self.process.stderr.fileno()) if self.process.stderr else None

    @property
    def out(self) -> Collected:
        assert self.stdout is not None
        return self.stdout

    @property
    def err(self) -> Collected:
        assert self.stderr is not None
        return self.stderr

    def send(self, data: bytes) -> None:
        """Write to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end_input(self) -> None:
        """Close its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def shown(self) -> str:
        parts = [f"{name} {each.data[-TAIL_BYTES:]!r}" for name, each in self._collected()]
        return ", ".join(parts)

    def close(self) -> None:
        super().close()
        for _, each in self._collected():
            each.close()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _collected(self) -> list[tuple[str, Collected]]:
        pairs = (("stdout", self.stdout), ("stderr", self.stderr))
        return [(name, each) for name, each in pairs if each is not None]
