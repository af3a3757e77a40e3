"""A session until its command runs: who breaks it off before that (Ctrl-C, a hang-up, an error) leaves nothing of it behind.

Imported before the child starts.
"""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from codewrap.errors import StoreError
from codewrap.store import sessionlog
from codewrap.store.sessions import SessionRecord, SessionStore

# Those that end a process at once, unless it says otherwise. SIGINT raises KeyboardInterrupt as it is.
_BREAKS_OFF = (signal.SIGHUP, signal.SIGTERM)


class Beginning:
    """Entered before anything is written down; `made` says what was, `begun` that it is a session from now on."""

    def __init__(self) -> None:
        self._made: tuple[SessionStore, SessionRecord] | None = None
        self._old: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _BREAKS_OFF:
            if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` has them ignored
                self._old[number] = signal.signal(number, _break_off)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self.forget()

    def made(self, store: SessionStore, record: SessionRecord) -> None:
        """Its record and its log are there, or are about to be."""
        self._made = store, record

    def begun(self) -> None:
        """The command runs: what there is of the session stays."""
        self._made = None

    def forget(self) -> None:
        """Remove what there is of it."""
        if self._made is not None:
            store, record = self._made
            with contextlib.suppress(StoreError):
                store.remove(record.name, record.epoch)
            sessionlog.delete(Path(record.log_directory))
            self._made = None


def _break_off(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
