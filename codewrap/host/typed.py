"""Keeps what is typed into a command (`run --record-input`), but never what its terminal would not show.

The terminal is asked before and after each write: where it does not echo, be it for a password or because the program draws
what is typed itself (a shell's line editor, an editor), nothing is kept. From outside the two cannot be told apart.
"""

from __future__ import annotations

import codecs
import os
import termios
import time
from collections.abc import Callable

from codewrap.store.sessionlog import LogWriter


class TypedRecord:
    """Writes to the child's terminal, and what it echoes into the timeline of ``log``."""

    def __init__(self, log: LogWriter, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, fd: int, data: memoryview) -> int:
        """As os.write."""
        was_shown = echoes(fd)
        size = os.write(fd, data)
        if not (was_shown and echoes(fd)):
            self._decoder.reset()
        elif text := self._decoder.decode(bytes(data[:size])):
            self._log.typed(text, self._clock())
        return size


def echoes(fd: int) -> bool:
    """Whether the terminal behind ``fd`` shows what is typed; False where there is none, or it does not say."""
    try:
        return bool(termios.tcgetattr(fd)[3] & termios.ECHO)
    except termios.error:
        return False
