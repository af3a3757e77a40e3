"""What calls an `UplinkSession`: a poll loop of its own, or the embedded hub's event loop.

With a hub in the same process nothing ever blocks the session, so it runs in the hub's thread: a keystroke and its echo
then cross no thread at all here, which is a third of the uplink's time for them.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import Protocol

from codewrap.uplink.session import UplinkSession


class PollDriver:
    """Runs the session in the calling thread."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        self._woken = False
        for fd in (self._read_fd, self._write_fd):
            os.set_blocking(fd, False)

    def wake(self) -> None:
        """From any thread: make the session look."""
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):
                os.write(self._write_fd, b".")

    def run(self, session: UplinkSession) -> None:
        """Until the session is over."""
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        watched = -1
        while session.step():
            host = session.host
            if host is not None:
                watched = host.fileno()
                poll.register(watched, select.POLLIN | (select.POLLOUT if host.wants_to_write else 0))
            elif watched >= 0:
                poll.unregister(watched)
                watched = -1
            timeout_s = session.timeout_s()
            for fd, events in poll.poll(None if timeout_s is None else timeout_s * 1000):
                if fd == self._read_fd:
                    self._drain()
                elif host is not None:
                    if events & select.POLLOUT:
                        host.flush()
                    if events & ~select.POLLOUT:
                        session.hear_host()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 4096)
        self._woken = False


class Timer(Protocol):
    """What an event loop gives for a call that is due later."""

    def cancel(self) -> None: ...


class EventLoop(Protocol):
    """The part of asyncio's event loop that is used."""

    def add_reader(self, fd: int, callback: Callable[[], object]) -> object: ...
    def remove_reader(self, fd: int) -> object: ...
    def add_writer(self, fd: int, callback: Callable[[], object]) -> object: ...
    def remove_writer(self, fd: int) -> object: ...
    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer: ...
    def call_soon_threadsafe(self, callback: Callable[[], object]) -> object: ...


class LoopDriver:
    """Runs the session inside somebody's event loop; `run` waits for its end in the calling thread."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._session: UplinkSession | None = None
        self._timer: Timer | None = None
        self._pending = False
        self._reading = self._writing = -1
        self._done = threading.Event()

    def wake(self) -> None:
        """From any thread: make the session look, soon."""
        if not self._pending:
            self._pending = True
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._step)

    def run(self, session: UplinkSession) -> None:
        """Until the session is over."""
        self._session = session
        self.wake()
        self._done.wait()

    def _host_ready(self) -> None:
        if self._session is not None:
            self._session.hear_host()
            self._step()

    def _flush(self) -> None:
        if self._session is not None and self._session.host is not None:
            self._session.host.flush()
            self._watch(self._session)

    def _step(self) -> None:
        session = self._session
        self._pending = False
        if session is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        going_on = False
        try:
            going_on = session.step()
        finally:
            if not going_on:
                self._end()
        if going_on:
            self._watch(session)
            timeout_s = session.timeout_s()
            if timeout_s is not None:
                self._timer = self._loop.call_later(timeout_s, self._step)

    def _watch(self, session: UplinkSession) -> None:
        host = session.host
        reading = host.fileno() if host is not None else -1
        writing = reading if host is not None and host.wants_to_write else -1
        if reading != self._reading:
            if self._reading >= 0:
                self._loop.remove_reader(self._reading)
            if reading >= 0:
                self._loop.add_reader(reading, self._host_ready)
            self._reading = reading
        if writing != self._writing:
            if self._writing >= 0:
                self._loop.remove_writer(self._writing)
            if writing >= 0:
                self._loop.add_writer(writing, self._flush)
            self._writing = writing

    def _end(self) -> None:
        for fd, remove in ((self._reading, self._loop.remove_reader), (self._writing, self._loop.remove_writer)):
            if fd >= 0:
                remove(fd)
        self._session = None
        self._done.set()
