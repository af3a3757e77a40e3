"""The host's part of the audit log: a line for each input frame, who sent it and what became of it. Never what was typed.

Called in the host's loop at every frame, so it does no more than append a line; a log that cannot be written stops nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from codewrap.store.audit import AuditLog
from codewrap.store.auditlines import Value
from codewrap.store.audittally import RefusalTally


class InputAudit:
    """Owned by the host's loop. ``writer`` is a stream's id; ``user`` and ``role`` are "" where they are not known."""

    def __init__(self, log: AuditLog, session: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._session = session
        self._monotonic = monotonic
        self._tally = RefusalTally(log.append)

    @property
    def refused_writes(self) -> int:
        """Lines that the disk did not take."""
        return self._log.refused_writes

    def accepted(self, *, writer: str, user: str, role: str, offset: int, size: int) -> None:
        """So many bytes at ``offset`` of that stream go to the command."""
        self._log.append(
            "input",
            {
                "accepted": True,
                "writer": writer,
                "user": user,
                "role": role,
                "session": self._session,
                "offset": offset,
                "size": size,
            },
        )

    def refused(self, *, writer: str, user: str, role: str, offset: int, size: int, why: str) -> None:
        """The frame does not reach the command. Beyond 200 a second they are counted, by user and ``why``."""
        fields: dict[str, Value] = {
            "accepted": False,
            "writer": writer,
            "user": user,
            "role": role,
            "session": self._session,
            "offset": offset,
            "size": size,
            "why": why,
        }
        self._tally.refused("input", fields, self._monotonic())

    def decided(self, what: str, *, user: str, by: str, writer: str = "") -> None:
        """``what`` was decided on who may type (`asked`, `approved`, `denied`, `revoked`), or done (`kill`); ``by`` whom."""
        self._log.append("decision", {"what": what, "user": user, "by": by, "writer": writer, "session": self._session})

    def tick(self) -> None:
        """Now and then, when the loop has time: a count of refusals is written soon after they end."""
        self._tally.tick(self._monotonic())

    def close(self) -> None:
        """Write what was only counted, and close the log. Never raises."""
        self._tally.flush()
        self._log.close()
