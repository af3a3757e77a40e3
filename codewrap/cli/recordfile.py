"""What `run --record` and `--record-input` ask for: the file is made before the command runs, and whole when `run` comes back.

The uplink writes it. Imported before the child starts, so all that takes time is imported when it is needed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codewrap.cli import console
from codewrap.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from codewrap.store.castfile import CastFile
    from codewrap.store.sessionlog import LogReader, LogWriter

# The uplink has it done in a tenth of a second, unless the disk is slow.
FINISH_WAIT_S = 5.0
_LOOK_S = 0.01
# The person's mistake, or ours to say before anything runs; a disk that refuses is neither.
_MISTAKES = {
    errno.EEXIST: "is there already",
    errno.ENOENT: "is in a directory that does not exist",
    errno.ENOTDIR: "is in a directory that does not exist",
    errno.EISDIR: "is a directory",
    errno.EACCES: "may not be written there",
    errno.EPERM: "may not be written there",
    errno.ENAMETOOLONG: "has too long a name",
}


class RecordFile:
    """``path`` None: no file is wanted. ``typing``: keep what is typed, too."""

    def __init__(self, path: Path | None = None, *, typing: bool = False) -> None:
        self._path = None if path is None else path.absolute()
        self._typing = typing

    def create(self) -> None:
        """Make the file, which must be new. Raises ConfigError; a disk that refuses costs the recording alone."""
        if self._path is None:
            return
        from codewrap.store.castfile import create

        try:
            create(self._path)
        except OSError as error:
            if error.errno in _MISTAKES:
                raise ConfigError("--record", f"{self._path} {_MISTAKES[error.errno]}") from error
            console.say(f"no recording {self._path}: {error.strerror}; the command runs all the same")
            self._path = None

    def discard(self) -> None:
        """Remove the file if nothing was ever written to it."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                if not self._path.stat().st_size:
                    self._path.unlink()

    def plan(self) -> dict[str, Any]:
        """What the uplink is told, as JSON values."""
        return {"record_file": None if self._path is None else str(self._path)}

    def writer(self, log: LogWriter, *, pty: bool) -> Callable[[int, memoryview], int]:
        """What writes input to the child."""
        if not (self._typing and pty):
            return os.write
        from codewrap.host.typed import TypedRecord

        return TypedRecord(log).write

    def finish(self, directory: Path, values: dict[str, Any]) -> str:
        """The command is over and its log complete: wait until the file is, or complete it. What went wrong, in words.

        ``values`` are those that the uplink was told.
        """
        if self._path is None:
            return ""
        from codewrap.store.sessionlog import LogReader
        from codewrap.uplink.scribe import broken_words

        try:
            reader = LogReader(directory)
        except StoreError:  # one that goes with its session: it is written then
            return ""
        deadline_s = time.monotonic() + FINISH_WAIT_S
        while True:
            try:
                cast = open_cast(values, reader)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    return ""  # it is being written
                time.sleep(_LOOK_S)
            except (StoreError, OSError) as error:
                return f"the recording has ended: {error}"
            else:
                cast.advance(final=True)
                cast.close()
                return broken_words(cast) if cast.broken else ""


def open_cast(values: dict[str, Any], reader: LogReader) -> CastFile:
    """The file of `RecordFile.plan`, for a session of which ``values`` say the rest. Raises as `CastFile`."""
    from codewrap.protocol.asciicast import Header
    from codewrap.store.castfile import CastFile
    from codewrap.store.recording import TERM, command_line, first_size
    from codewrap.store.sessionlog import LogReader

    size = first_size(LogReader(reader.directory))
    environ = values.get("environ", {})
    words = (command_line(values["command"]), values["session"], environ.get("TERM") or TERM, environ.get("SHELL") or "")
    header = Header(size, int(values["began_at"]), *words)
    return CastFile(Path(values["record_file"]), reader, header, plain=not values["pty"])
