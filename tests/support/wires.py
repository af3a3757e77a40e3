"""Wires in memory: the test plays the broker of each connection that a kept subscriber opens."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable

from codewrap.errors import CodewrapError
from codewrap.transport.base import Authorization, OnClose, OnText

WAIT_S = 10.0


class MemoryWire:
    """One connection, seen from the broker: `says` speaks, `heard` is what the client wrote."""

    def __init__(self, on_text: OnText, on_close: OnClose) -> None:
        self._on_text = on_text
        self._on_close = on_close
        self.heard: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()
        self.closed = threading.Event()
        self.is_writable = True
        self.heard_at_s = time.monotonic()

    def send(self, text: str) -> bool:
        if self.is_writable and not self.closed.is_set():
            self.heard.put(json.loads(text))
            return True
        return False

    def close(self) -> None:
        self.closed.set()

    def says(self, event: str, data: object = None, channel: str | None = None) -> None:
        self.heard_at_s = time.monotonic()
        said = {"event": event, "data": data} | ({"channel": channel} if channel else {})
        self._on_text(json.dumps(said))

    def greets(self, socket_id: str = "1.1", activity_timeout: int = 120) -> None:
        self.says("pusher:connection_established", json.dumps({"socket_id": socket_id, "activity_timeout": activity_timeout}))

    def ends(self, code: int | None = None, reason: str = "gone") -> None:
        self._on_close(code, reason)

    def hears(self, event: str) -> dict[str, object]:
        """The next frame, which must be ``event``."""
        heard = self.heard.get(timeout=WAIT_S)
        assert heard["event"] == event, heard
        return heard


class Wires:
    """An ``open_wire``; `next` waits for the next connection."""

    def __init__(self, on_open: Callable[[MemoryWire], None] = lambda _: None) -> None:
        self._on_open = on_open
        self._opened: queue.SimpleQueue[MemoryWire] = queue.SimpleQueue()

    def __call__(self, on_text: OnText, on_close: OnClose) -> MemoryWire:
        wire = MemoryWire(on_text, on_close)
        self._on_open(wire)
        self._opened.put(wire)
        return wire

    def next(self) -> MemoryWire:
        return self._opened.get(timeout=WAIT_S)


class ScriptedAuthorizer:
    """Signs with a counter. ``answers`` come first: exceptions to raise, or authorizations."""

    def __init__(self, *answers: CodewrapError | Exception | Authorization, user: str | None = None) -> None:
        self._answers = list(answers)
        self._user = user
        self.asked: list[tuple[str, str]] = []
        self.threads: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def authorize(self, channel: str, socket_id: str) -> Authorization:
        self.asked.append((channel, socket_id))
        self.threads.append(threading.current_thread().name)
        self.may_answer.wait(WAIT_S)
        answer = self._answers.pop(0) if self._answers else Authorization(f"k:{socket_id}")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sign_in(self, socket_id: str) -> tuple[str, str] | None:
        return (f"k:{socket_id}", json.dumps({"id": self._user})) if self._user else None
