"""Signs of life: while the host lives the time of one small file is set every few seconds, whoever watches.

In a thread of its own, since the session may wait for a server for long. When the host is gone it stops: the last time is when
it was seen last. It also has what the host wrote of the session brought to the disk, which the host itself does not wait for.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from codewrap.store import sessionfile

EVERY_S = 5.0


class Heartbeat:
    """Of the host ``host_pid``, which is this process's parent as long as it lives."""

    def __init__(self, directory: Path, host_pid: int, every_s: float = EVERY_S) -> None:
        self._directory = directory
        self._host_pid = host_pid
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin. It ends by itself, or by `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """No file is touched after this."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._settle()
        while self._host_lives() and not self._stopped.is_set():
            sessionfile.sign_of_life(self._directory)
            self._stopped.wait(self._every_s)

    def _host_lives(self) -> bool:
        return os.getppid() == self._host_pid

    def _settle(self) -> None:
        for path in (self._directory / sessionfile.FILE_NAME, self._directory):
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
