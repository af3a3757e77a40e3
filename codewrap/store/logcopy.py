"""A session's log as bytes that go elsewhere, and a log made of bytes that came from there. Not for the host.

What each file is: `sessionlog.py`. A copy is a session's directory like others (`archive.py`), but for a process that is here.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from codewrap.errors import StoreError
from codewrap.store import sessionfile
from codewrap.store.files import create_private, private_directory, write_private
from codewrap.store.sessionlog import LogReader

# Of the machine only its host has use for these; the rest says what was run, when, where and how.
_OURS: Final = ("pid", "pid_started", "machine", "kept", "v")
_LONG: Final = 4096


class LogBytes:
    """The log of a session that may still be written to."""

    def __init__(self, directory: Path) -> None:
        """Raises StoreError."""
        self._directory = directory
        self._reader = LogReader(directory)
        try:
            self._timeline = os.open(directory / "timeline", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            self._reader.close()
            raise StoreError(str(directory), f"the session log cannot be read: {error.strerror}") from error

    def next(self, output_at: int, timeline_at: int, most_bytes: int) -> tuple[int, bytes, bytes]:
        """What follows, of each at most so much: where the output begins (later, if it is not held any more), output, timeline.

        The timeline ends with a whole line.
        """
        end = self._reader.end()  # before the timeline: see sessionlog.py
        timeline = os.pread(self._timeline, most_bytes, timeline_at)
        timeline = timeline[: timeline.rfind(b"\n") + 1]
        while True:
            output_at = max(output_at, self._reader.start(end))
            output = self._reader.read(output_at, min(most_bytes, max(0, end - output_at)))
            end = max(end, self._reader.end())
            if self._reader.start(end) <= output_at:  # else: given back while it was read
                return output_at, output, timeline

    def is_at_end(self, output_at: int, timeline_at: int) -> bool:
        """Nothing is behind these."""
        return output_at >= self._reader.end() and timeline_at >= os.fstat(self._timeline).st_size

    def facts(self, most_bytes: int) -> dict[str, Any]:
        """What `session.json` says, but for what is of this machine alone. A command that is too long is cut."""
        facts = {name: value for name, value in sessionfile.read(str(self._directory)).items() if name not in _OURS}
        if len(json.dumps(facts)) > most_bytes:
            command = facts.get("command")
            facts["command"] = [str(word)[:_LONG] for word in command[:4]] if isinstance(command, list) else []
        return facts if len(json.dumps(facts)) <= most_bytes else {}

    def close(self) -> None:
        """Release the files."""
        self._reader.close()
        with contextlib.suppress(OSError):
            os.close(self._timeline)


class LogCopy:
    """Makes a session's directory below ``directory``, which is private already."""

    def __init__(self, directory: Path, name: str, epoch: str) -> None:
        """Raises StoreError."""
        self.directory = private_directory(directory / f"{name}-{epoch}")
        try:
            self._output = create_private(self.directory / "output")
            self._timeline = create_private(self.directory / "timeline", os.O_APPEND)
        except OSError as error:
            raise StoreError(str(self.directory), f"cannot be made: {error.strerror}") from error

    def write(self, output_at: int, output: bytes, timeline: bytes) -> None:
        """More of both. Raises StoreError."""
        try:
            _write(self._output, output, output_at)
            _write(self._timeline, timeline, os.fstat(self._timeline).st_size)
        except OSError as error:
            raise StoreError(str(self.directory), f"cannot be written: {error.strerror}") from error

    def note(self, facts: Mapping[str, Any], seen_at: float, *, runs: bool) -> None:
        """Write down what is known, and that it was last heard of at ``seen_at``. ``runs``: elsewhere. Raises StoreError.

        More may be written after that, and noted again.
        """
        for fd in (self._output, self._timeline):
            with contextlib.suppress(OSError):
                os.utime(fd, (seen_at, seen_at))
        known = {name: value for name, value in facts.items() if name not in _OURS}
        # Never taken for a process of this machine, whatever has its number here.
        written = {"v": sessionfile.VERSION, **known, "pid": None, "pid_started": "elsewhere", "machine": ""}
        write_private(self.directory / sessionfile.FILE_NAME, json.dumps(written).encode())
        if runs:
            write_private(self.directory / sessionfile.HEARTBEAT, b"")
        else:
            (self.directory / sessionfile.HEARTBEAT).unlink(missing_ok=True)

    def close(self) -> None:
        """No more is written."""
        for fd in (self._output, self._timeline):
            with contextlib.suppress(OSError):
                os.close(fd)


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
