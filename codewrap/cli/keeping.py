"""Whether a session's log is kept, and for how long; and what its host writes beside it, at its start and at its end.

Imported before the child starts. A disk that refuses costs what would have stood there, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codewrap import config
from codewrap.cli import sweep
from codewrap.errors import StoreError
from codewrap.protocol.geometry import Size
from codewrap.store import sessionfile, sessionlog
from codewrap.store.sessions import SessionRecord
from codewrap.terminal.child import Exited

ENVIRON = ("SHELL", "TERM")
"""What a recording says of its surroundings: that which asciicast has a place for."""
_LONGEST = 200


class Keeping:
    """One session's. ``kept``: its log outlives it. ``stored``: its server gets it too."""

    def __init__(self, values: Mapping[str, str], *, record: bool, store: bool = False) -> None:
        """``record`` is what the flags say; ``store``, that the server may have what is kept. Raises ConfigError."""
        self._age_s, self._most_bytes = config.recordings_kept(values)
        self.kept = record and self._age_s != 0
        self.stored = self.kept and store
        self._environ = {name: values[name][:_LONGEST] for name in ENVIRON if values.get(name)}
        self._directory = Path()
        self._written: dict[str, Any] | None = None

    def begin(self, record: SessionRecord, *, pty: bool, size: Size) -> None:
        """Write down what is known of the session, in its log's directory."""
        self._directory = Path(record.log_directory)
        if pty:
            self._environ.setdefault("TERM", "xterm-256color")  # as `run` has it for the command
        facts = {
            "name": record.name,
            "epoch": record.epoch,
            "pid": record.pid,
            "pid_started": record.pid_started,
            "command": record.command,
            "directory": _working_directory(),
            "started_at": record.started_at,
            "mode": record.mode,
            "endpoint": record.endpoint,
            "encrypted": record.encrypted,
            "share": record.share,
            "pty": pty,
            "size": [size.rows, size.cols],
            "environ": self._environ,
            "kept": self.kept,
        }
        with contextlib.suppress(StoreError):
            self._written = sessionfile.write_start(self._directory, facts)

    def end(self, exited: Exited, duration_s: float, output_bytes: int) -> None:
        """Write down how it ended; for a log that goes with its session, which may be gone already, nothing."""
        if self.kept and self._written is not None:
            with contextlib.suppress(StoreError):
                sessionfile.write_end(
                    self._directory,
                    self._written,
                    code=exited.code,
                    signal=exited.signal,
                    duration_s=duration_s,
                    output_bytes=output_bytes,
                )

    def plan(self) -> dict[str, Any]:
        """What the uplink is told, as JSON values: it tidies up."""
        return {
            "host": os.getpid(),
            "kept": self.kept,
            "stored": self.stored,
            "keep_s": self._age_s,
            "keep_bytes": self._most_bytes,
            "environ": self._environ,
        }

    def clean_up(self, environ: Mapping[str, str]) -> None:
        """Where no uplink ever ran, which would have done this. ``environ``: without secrets."""
        if not self.kept:
            sessionlog.delete(self._directory)
        sweep.start_if_due(self._directory.parent, self._age_s or None, self._most_bytes, environ)


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was deleted, or is not to be seen from here
        return ""
