"""What `serve-auth` decides, for the audit log: one method for each kind of decision. Never tokens, keys or typed text.

The event loop only puts lines into a bounded queue (QUEUED_LINES; beyond it they are counted, and the log says how many); one
thread owns the log and writes. Refusals beyond REFUSALS_PER_S are counted, as `RefusalTally` says: whoever floods the server with
them shall take hours to push anything out of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from codewrap.protocol.roles import Act, Role
from codewrap.store.audit import AuditLog
from codewrap.store.auditlines import Value
from codewrap.store.audittally import RefusalTally

QUEUED_LINES = 10_000
REFUSALS_PER_S = 20
CLOSE_S = 5.0
_TICK_S = 0.5


class _Line(NamedTuple):
    at_s: float
    event: str
    fields: dict[str, Value]
    is_refusal: bool


class Auditor:
    """Methods are for the event loop and never block. ``why`` is "" where something was accepted, else a short reason of ours."""

    def __init__(
        self,
        log: AuditLog,
        queued_lines: int = QUEUED_LINES,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._clock = clock
        self._monotonic = monotonic
        self._queue: queue.Queue[_Line | None] = queue.Queue(queued_lines)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._dropped = 0
        self._told = 0

    @property
    def refused_writes(self) -> int:
        """Lines that the disk or the full queue did not take, since the start."""
        return self._log.refused_writes + self._dropped - self._told

    @property
    def queued(self) -> int:
        """Lines that wait to be written."""
        return self._queue.qsize()

    def authenticated(self, user: str, role: Role, *, kind: str, token_id: str, address: str) -> None:
        """A token was right. ``kind``: what sort of token."""
        fields: dict[str, Value] = {"user": user, "role": role.value, "kind": kind, "token": token_id, "address": address}
        self._decided("authentication", fields, "")

    def authentication_refused(self, why: str, *, address: str, user: str = "", token_id: str = "") -> None:
        """No token, a wrong one, or one that is not good any more; ``user`` where its signature is right."""
        self._decided("authentication", {"user": user, "token": token_id, "address": address}, why)

    def channel(self, user: str, role: Role, *, session: str, channel: str, socket_id: str, why: str = "") -> None:
        """Somebody asked to subscribe."""
        fields: dict[str, Value] = {"user": user, "role": role.value, "session": session, "channel": channel}
        self._decided("channel", {**fields, "socket": socket_id}, why)

    def act(self, user: str, role: Role, act: Act, *, session: str = "", why: str = "") -> None:
        """Somebody asked for an act of the table of roles."""
        self._decided("act", {"user": user, "role": role.value, "act": act.name.lower(), "session": session}, why)

    def input(self, user: str, role: Role, *, session: str, writer: str, size: int, sealed: bool, why: str = "") -> None:
        """Input over HTTP, so many bytes. What comes through the broker is in the host's log."""
        fields: dict[str, Value] = {"user": user, "role": role.value, "session": session, "writer": writer, "size": size}
        self._decided("http_input", {**fields, "sealed": sealed}, why)

    def session_opened(self, user: str, *, session: str, why: str = "") -> None:
        """A host registered its session; ``why`` it could not."""
        self._decided("session_opened", {"user": user, "session": session}, why)

    def session_closed(self, user: str, *, session: str, cause: str) -> None:
        """It ended or was ended: ``cause``."""
        self._put("session_closed", {"user": user, "session": session, "cause": cause})

    def token_created(
        self, by: str, *, user: str, role: Role, sessions: Sequence[str], kind: str, token_id: str, expires_at: float
    ) -> None:
        """``by`` issued a token to ``user``."""
        fields: dict[str, Value] = {"by": by, "user": user, "role": role.value, "sessions": " ".join(sessions), "kind": kind}
        self._put("token_created", {**fields, "token": token_id, "expires_at": int(expires_at)})

    def revoked(self, by: str, *, subject: str) -> None:
        """``by`` revoked a token (`token:ID`) or all of a user's (`user:ID`)."""
        self._put("revoked", {"by": by, "subject": subject})

    def share_created(self, by: str, *, session: str, token_id: str, write: bool, once: bool, expires_at: float) -> None:
        """``by`` made a link to a session."""
        fields: dict[str, Value] = {"by": by, "session": session, "token": token_id, "write": write, "once": once}
        self._put("share_created", {**fields, "expires_at": int(expires_at)})

    def share_redeemed(self, user: str, *, session: str, share_id: str, token_id: str, address: str, why: str = "") -> None:
        """Somebody came with a link; got the token ``token_id``."""
        fields: dict[str, Value] = {"user": user, "session": session, "share": share_id, "token": token_id}
        self._decided("share_redeemed", {**fields, "address": address}, why)

    def answer_link_created(self, by: str, *, session: str, link: str, epoch: str, offset: int, until: float) -> None:
        """``by`` had a link made to answer the prompt that stands there."""
        fields: dict[str, Value] = {"by": by, "session": session, "token": link, "epoch": epoch, "offset": offset}
        self._put("answer_link_created", {**fields, "expires_at": int(until)})

    def answered(self, user: str, *, session: str, size: int, address: str, why: str = "") -> None:
        """Somebody answered by a link (``user``: `link:ID`), with so many bytes; ``why`` it was not typed, as far as is known."""
        self._decided("answer", {"user": user, "session": session, "size": size, "address": address}, why)

    def limited(self, limit: str, *, user: str, address: str) -> None:
        """Somebody was told to wait, or that there are too many."""
        self._decided("limit", {"limit": limit, "user": user, "address": address}, limit)

    def administered(self, by: str, what: str, *, session: str = "", user: str = "") -> None:
        """``by`` did ``what`` (`kill`, `approve`, `deny`, `key_rotation` ...) to a session or user."""
        self._put("administered", {"by": by, "what": what, "session": session, "user": user})

    def started(self, version: str, address: str) -> None:
        """The server serves, at ``address``."""
        self._put("server_started", {"version": version, "address": address})

    async def close(self) -> None:
        """Write what waits, for some seconds at most, and close the log. Later lines are only counted."""
        self._closing.set()
        if self._thread is None:
            self._log.close()
            return
        with contextlib.suppress(queue.Full):  # then the thread has something to wake up for
            self._queue.put_nowait(None)
        await asyncio.to_thread(self._thread.join, CLOSE_S)

    def _decided(self, event: str, fields: dict[str, Value], why: str) -> None:
        fields["accepted"] = not why
        if why:
            fields["why"] = why
        self._put(event, fields, is_refusal=bool(why))

    def _put(self, event: str, fields: dict[str, Value], *, is_refusal: bool = False) -> None:
        if self._closing.is_set():
            self._dropped += 1
            return
        if self._thread is None:
            self._start()
        try:
            self._queue.put_nowait(_Line(self._clock(), event, fields, is_refusal))
        except queue.Full:
            self._dropped += 1

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._write_lines, name="codewrap-audit", daemon=True)
        self._thread.start()

    def _write_lines(self) -> None:
        tally = RefusalTally(self._log.append, REFUSALS_PER_S)
        while True:
            try:
                line = self._queue.get(timeout=_TICK_S)
            except queue.Empty:
                line = None
            self._tell_dropped()
            if line is not None:
                self._write(line, tally)
            else:
                tally.tick(self._monotonic())
                if self._closing.is_set() and self._queue.empty():
                    break
        tally.flush()
        self._tell_dropped()
        self._log.close()

    def _write(self, line: _Line, tally: RefusalTally) -> None:
        if line.is_refusal:
            tally.refused(line.event, line.fields, self._monotonic(), line.at_s)
        else:
            self._log.append(line.event, line.fields, line.at_s)

    def _tell_dropped(self) -> None:
        """Let the log say how many the full queue did not take. ``_dropped`` is the event loop's, ``_told`` this thread's."""
        more = self._dropped - self._told
        if more:
            self._told += more
            self._log.count_lost(more)
