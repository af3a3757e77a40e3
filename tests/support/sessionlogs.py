"""A real session log on disk: a host that writes it, followed as the uplink follows it."""

from __future__ import annotations

from pathlib import Path

from codewrap.protocol.geometry import Size
from codewrap.store.sessionlog import HOLE_BYTES, LogReader, LogWriter
from codewrap.uplink.follower import LogFollower


class SessionLog:
    """Both ends of one log. ``keep_bytes`` below HOLE_BYTES loses history soon."""

    def __init__(self, directory: Path, keep_bytes: int = 256 * 1024 * 1024) -> None:
        self.writer = LogWriter(directory / "log", 0.0, keep_bytes)
        self.reader = LogReader(directory / "log", keep_bytes)
        self.follower = LogFollower(self.reader)
        self.now_s = 0.0

    def out(self, data: bytes, stream: str = "stdout") -> None:
        """The child writes."""
        self.now_s += 1.0
        self.writer.append(data, stream, self.now_s)

    def resized(self, size: Size) -> None:
        """The terminal's size changes."""
        self.writer.resized(size, self.now_s)

    def ended(self, code: int | None = 0, signal: int | None = None) -> None:
        """The child ends."""
        self.writer.ended(code, signal, self.now_s)

    def close(self) -> None:
        """Close all files."""
        self.writer.close()
        self.reader.close()


LOSES_HISTORY_AFTER_BYTES = 2 * HOLE_BYTES
