"""A clock that can be moved under real processes, also while they run: Debian's libfaketime, which is loaded into each of them.

What is moved is the time of day. The monotonic clock goes on, as it does on a machine whose clock is set, and times of files stay
those of the machine: `file_times` moves them, where they count.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.support.sessions import program

# libfaketime 0.9.10 takes a time of the monotonic clock to sleep until, which is how Python sleeps, for one of the moved clock.
_SLEEP = """
import select, time
time.sleep = lambda seconds: select.select((), (), (), seconds) and None
"""
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


class MovedClock:
    """Of every process that has ``environ``. ``place`` is a directory for its one file."""

    def __init__(self, place: Path) -> None:
        self._path = place / "clock"
        self.offset_s = 0.0
        self.move(0.0)
        sleep = place / "sleep"
        sleep.mkdir()
        (sleep / "sitecustomize.py").write_text(_SLEEP)
        # The program itself knows where its library is, in the words of the dynamic linker.
        said = subprocess.run([program("faketime"), "-m", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, check=True)
        self.environ = {
            "LD_PRELOAD": said.stdout.decode().strip(),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(sleep),
        }

    def move(self, offset_s: float) -> None:
        """Away from the machine's, from now on."""
        self.offset_s = offset_s
        new = self._path.with_suffix(".new")
        new.write_text(f"{offset_s:+.0f}\n")
        new.rename(self._path)

    def set(self, at: float) -> None:
        """To a time (Unix)."""
        self.move(at - time.time())

    def now(self) -> float:
        """What it shows."""
        return time.time() + self.offset_s

    def file_times(self, directory: Path) -> None:
        """What has been written there was written by this clock."""
        for path in (directory, *directory.iterdir()):
            at = path.lstat().st_mtime + self.offset_s
            os.utime(path, (at, at))
