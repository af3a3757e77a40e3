"""Brings what the host writes to the disk, once a second while it grows, and writes `run --record`'s file. A thread of its own.

Neither waits for a server, and nothing waits for them: a disk that is slow or full delays no output, and costs the recording at
most. When the host is gone, the file is brought to its end all the same.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from codewrap.errors import StoreError
from codewrap.store.castfile import CastFile
from codewrap.store.sessionlog import LogReader

SYNC_S = 1.0
# Who runs a command with a recording wants to have it when the command is over.
WRITE_S = 0.1

OpenCast = Callable[[LogReader], CastFile]


class Scribe:
    """Of the log in ``directory``, written by ``host_pid``, our parent as long as it lives.

    ``keep``: the log outlives the session. ``open_cast`` opens the recording, and raises as `CastFile` does; ``failed`` is told
    in words when that ends before the session.
    """

    def __init__(
        self, directory: Path, host_pid: int, *, keep: bool, open_cast: OpenCast | None, failed: Callable[[str], object]
    ) -> None:
        self._directory = directory
        self._host_pid = host_pid
        self._keep = keep
        self._open_cast = open_cast
        self._failed = failed
        self._cast: CastFile | None = None
        self._synced = (0, 0)
        self._sync_at_s = 0.0
        self._over = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)

    def start(self) -> None:
        """Begin. It ends by itself with the host, or by `stop`."""
        if self._keep or self._open_cast is not None:
            self._thread.start()

    def stop(self, *, over: bool) -> None:
        """Write what there is, and let go. ``over``: the host writes no more."""
        self._over = over
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(StoreError):  # a log that is gone already
            reader = LogReader(self._directory)
            try:
                while self._turn(reader):
                    self._stopped.wait(WRITE_S if self._open_cast is not None else SYNC_S)
            finally:
                self._close()
                reader.close()

    def _turn(self, reader: LogReader) -> bool:
        """False when nothing is left to do."""
        stopped = self._stopped.is_set()
        gone = os.getppid() != self._host_pid
        if self._open_cast is not None:
            self._write(reader, final=gone or (stopped and self._over))
        now_s = time.monotonic()
        if self._keep and (now_s >= self._sync_at_s or stopped or gone):
            self._sync_at_s = now_s + SYNC_S
            self._sync(reader)
        return not (stopped or gone) and (self._keep or self._open_cast is not None)

    def _write(self, reader: LogReader, *, final: bool) -> None:
        try:
            if self._cast is None and self._open_cast is not None:
                self._cast = self._open_cast(LogReader(reader.directory))
        except BlockingIOError:  # another uplink has not let go of it yet
            return
        except (StoreError, OSError) as error:
            self._end(f"the recording has ended: {error}")
            return
        if self._cast is None:
            return
        self._cast.advance(final=final)
        if self._cast.broken:
            self._end(broken_words(self._cast))
        elif self._cast.complete:
            self._end("")

    def _end(self, words: str) -> None:
        self._close()
        self._open_cast = None
        if words:
            self._failed(words)

    def _close(self) -> None:
        if self._cast is not None:
            self._cast.sync()
            self._cast.close()
            self._cast = None

    def _sync(self, reader: LogReader) -> None:
        sizes = reader.sizes()
        if sizes != self._synced:
            with contextlib.suppress(OSError):
                reader.sync()
                self._synced = sizes
            if self._cast is not None:
                self._cast.sync()


def broken_words(cast: CastFile) -> str:
    """For the person who wanted the recording."""
    return f"the recording {cast.path} has ended, and the command went on: {cast.broken}"
