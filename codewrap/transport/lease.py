"""A session held open at `serve-auth`: says again and again that its host is there, and keeps its credentials fresh.

In a thread of its own: publishing never waits for it, and it goes on where nothing is published because nobody watches.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from codewrap.errors import AuthError, CodewrapError, TransportError
from codewrap.transport.gateway import GatewayClient, OpenedSession

# A server takes a host for gone from which it heard nothing for 150 s (`server/registry.py`).
RENEW_S = 45.0
# A server that was away for a moment has still heard of us in time.
AGAIN_S = 5.0
# New credentials mean a new connection: they are taken up when they last so much longer than those in use.
FRESHER_S = 900.0
# Two hosts of one user with one name would take it from each other at every publish.
REOPEN_S = 10.0


class Lease:
    """One session's. ``client`` is this object's alone from now on; ``notice`` is told, once each, why it cannot be held."""

    def __init__(self, client: GatewayClient, session: str, notice: Callable[[str], None], renew_s: float = RENEW_S) -> None:
        self._client = client
        self._session = session
        self._notice = notice
        self._renew_s = renew_s
        self._lock = threading.Lock()
        self._opened: OpenedSession | None = None
        self._reopened_s = float("-inf")
        self._said = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="session-lease", daemon=True)

    def open(self) -> None:
        """Take the name, and keep it from now on. Raises AuthError or TransportError; then it may be tried again."""
        with self._lock:
            self._opened = self._client.open_session(self._session)
        self._thread.start()

    @property
    def opened(self) -> OpenedSession:
        """What to publish with now. Never waits."""
        if self._opened is None:
            raise TransportError(self._client.server, "the session was not opened yet")
        return self._opened

    def refused(self, used: OpenedSession) -> None:
        """What we publish with is refused: ask anew, unless that was done meanwhile.

        Raises AuthError or TransportError where there is nothing better, or we asked a moment ago.
        """
        with self._lock:
            if self._opened is not used:
                return
            now_s = time.monotonic()
            if now_s - self._reopened_s < REOPEN_S:
                raise AuthError(self._client.server, "another host may run a session of this name: choose another --name", 401)
            self._reopened_s = now_s
            self._opened = self._client.open_session(self._session, used.grant)

    def end(self) -> None:
        """The session is over: say so, as well as that can be done. Nothing may be asked of this object any more."""
        self._ended.set()
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is not None and opened.grant:
                with contextlib.suppress(CodewrapError):
                    self._client.end_session(self._session, opened.grant)
            self._client.close()

    def _keep(self) -> None:
        wait_s = self._renew_s
        while not self._ended.wait(wait_s):
            try:
                self._renew()
                wait_s = self._renew_s
            except CodewrapError as error:
                passing = isinstance(error, TransportError) and error.retry
                wait_s = min(AGAIN_S, self._renew_s) if passing else self._renew_s
                if not passing:
                    self._say(error)

    def _renew(self) -> None:
        with self._lock:
            current = self._opened
            if current is None:
                return
            fresh = self._client.open_session(self._session, current.grant)
            if fresh.grant != current.grant or (fresh.expires_at or 0.0) - (current.expires_at or 0.0) >= FRESHER_S:
                self._opened = fresh

    def _say(self, error: CodewrapError) -> None:
        text = f"the session cannot be watched: {error}"  # as the uplink's session says it, so that it is said once
        if text != self._said:
            self._said = text
            self._notice(text)
