"""Recordings at `serve-auth` as a client puts, lists, reads and deletes them: bytes, which whoever calls seals and opens."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from codewrap.errors import TransportError
from codewrap.protocol.channels import is_session_name
from codewrap.transport.origin import Origin
from codewrap.transport.webclient import Answer, WebClient, check_token, explain_body, refusal

TIMEOUT_S = 20.0
"""For a piece of a MiB over a slow line."""
# More than a server stores: one that sends without end shall not fill the disk.
MOST_BYTES = 1024 * 1024 * 1024
_CONFLICT, _NOT_FOUND = 409, 404
_EPOCH = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """One, as the server lists it. Times are Unix times by its clock; ``live``: a session of its name is hosted."""

    name: str
    epoch: str
    owner: str
    opened_at: float
    updated_at: float
    size_bytes: int
    ended: bool
    live: bool


class RecordingClient:
    """Calls with a bearer token, which never gets into a repr, log or error. Owned by one thread; another may `close` it."""

    def __init__(self, url: str, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._token = check_token(token)
        self._web = WebClient(Origin.parse(url), timeout_s=timeout_s, prepares=False)

    def __repr__(self) -> str:
        return f"RecordingClient({self.server!r})"

    @property
    def server(self) -> str:
        """For errors."""
        return self._web.server

    def put(self, name: str, epoch: str, at: int, data: bytes, *, last: bool) -> bool:
        """Have ``data`` stand at ``at``. False: there is less than that, so that it has to begin again at 0.

        Raises AuthError, TransportError.
        """
        query = f"?at={at}&last=true" if last else f"?at={at}"
        answer = self._ask("PUT", _path(name, epoch) + query, data, "application/octet-stream")
        code = _code(answer)
        if answer.status == _CONFLICT and code == "behind":
            return False
        if answer.status == _CONFLICT and code == "ended" and last:  # by an uplink that did not live to hear it
            return True
        if answer.status == _NOT_FOUND and code == "no_such_session":  # our opening was lost: it is made anew
            raise TransportError(self.server, "does not know the session just now", status=_NOT_FOUND)
        self._check(answer)
        return True

    def all(self, name: str | None = None) -> list[StoredRecording]:
        """Those that the token reaches, of one name or of all, the one last heard of first. Raises AuthError, TransportError."""
        answer = self._ask("GET", "/api/recordings" + (f"?session={name}" if name else ""))
        if answer.status == _NOT_FOUND:  # a server of before there were recordings
            return []
        self._check(answer)
        try:
            return [_recording(facts) for facts in json.loads(answer.body)["recordings"]]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise TransportError(self.server, "does not answer like codewrap serve-auth", retry=False) from error

    def read(self, name: str, epoch: str, at: int = 0) -> Iterator[bytes]:
        """All of it from ``at`` on, piece by piece. Raises AuthError, TransportError."""
        while True:
            answer = self._ask("GET", f"{_path(name, epoch)}?at={at}")
            self._check(answer)
            if not answer.body:
                return
            at += len(answer.body)
            if at > MOST_BYTES:
                raise TransportError(self.server, "sends a recording without end", retry=False)
            yield answer.body

    def delete(self, name: str, epoch: str) -> None:
        """Raises AuthError, TransportError."""
        self._check(self._ask("DELETE", _path(name, epoch)))

    def close(self) -> None:
        """Release the connection, and end a request under way. Never raises."""
        self._web.close()

    def _ask(self, method: str, target: str, body: bytes = b"", kind: str = "") -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Content-Type": kind} if kind else {})
        return self._web.request(method, target, body, headers)

    def _check(self, answer: Answer) -> None:
        if not 200 <= answer.status < 300:
            words = explain_body(answer.body, (self._token,))
            raise refusal(self.server, answer.status, words, answer.headers.get("retry-after"))


def _path(name: str, epoch: str) -> str:
    return f"/api/recordings/{name}/{epoch}"


def _code(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["error"]["code"]) if answer.status >= 400 else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _recording(facts: dict[str, object]) -> StoredRecording:
    name, epoch, owner, size = facts["sessionId"], facts["epoch"], facts["owner"], facts["bytes"]
    if not (isinstance(name, str) and isinstance(epoch, str) and isinstance(owner, str) and type(size) is int):
        raise TypeError("other facts than those of a recording")
    if not is_session_name(name) or not _EPOCH.fullmatch(epoch):  # they become names of files
        raise TypeError("other facts than those of a recording")
    times = [float(facts[each]) for each in ("openedAt", "updatedAt")]  # type: ignore[arg-type]
    if not all(map(math.isfinite, times)):
        raise ValueError("no time")
    return StoredRecording(name, epoch, owner, times[0], times[1], size, facts["ended"] is True, facts["live"] is True)
