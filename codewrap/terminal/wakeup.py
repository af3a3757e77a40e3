"""Signals as something a selector can wait for: a context manager that always puts the old handlers back.

Signals that were ignored when codewrap started (`nohup`) stay ignored, for us and for the child; all but SIGCHLD.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any, Self

Handler = Any  # what signal.signal gives back: callable, Handlers member, int or None


class SignalWakeup:
    """Collects ``signals`` while entered. ``fileno()`` becomes readable when one came; `take` returns them in order."""

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self._wanted = tuple(signals)
        self._old: dict[signal.Signals, Handler] = {}
        self._read_fd = self._write_fd = self._old_wakeup_fd = -1

    def __enter__(self) -> Self:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._old_wakeup_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in self._wanted:
            # SIGCHLD always: with it ignored there would be no word of the command's end, and no status to take.
            if number == signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, _note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._old_wakeup_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._read_fd

    def take(self) -> list[int]:
        """Signal numbers that came since the last call."""
        with contextlib.suppress(BlockingIOError):
            return list(os.read(self._read_fd, 4096))
        return []


def _note(_number: int, _frame: FrameType | None) -> None:
    """Python's own part of a signal: the wake-up descriptor has the number already."""
