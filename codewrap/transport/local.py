"""The subscriber on a hub of this process: the same keeper, over a pair of callables instead of a socket."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol

from codewrap.transport.base import Authorizer, Deliver, OnClose, OnText, Wire
from codewrap.transport.keeper import KeptSubscriber, Timing


class LocalConnection(Protocol):
    """What a hub gives: one client's connection. Frames for the client go to the ``on_text`` it was opened with."""

    def send(self, text: str) -> object:
        """Take one frame from the client, from any thread, without blocking."""

    def close(self) -> None:
        """The client leaves. Nothing is told to it after."""


OpenLocal = Callable[[OnText, Callable[[int, str], None]], LocalConnection]


class LocalSubscriber(KeptSubscriber):
    """A `Subscriber` on ``open_local(on_text, on_close)``, which may call both from any thread, also before it returns."""

    def __init__(
        self,
        open_local: OpenLocal,
        authorizer: Authorizer,
        deliver: Deliver,
        *,
        sign_in: bool = False,
        timing: Timing | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._open_local = open_local
        super().__init__(self._connect, authorizer, deliver, sign_in=sign_in, timing=timing, random=random)

    def _connect(self, on_text: OnText, on_close: OnClose) -> Wire:
        return _LocalWire(self._open_local, on_text, on_close)


class _LocalWire:
    """A `LocalConnection` as a `Wire`."""

    def __init__(self, open_local: OpenLocal, on_text: OnText, on_close: OnClose) -> None:
        self._on_close = on_close
        self._is_open = True
        self._connection = open_local(on_text, self._closed)

    @property
    def heard_at_s(self) -> float:
        """Always now: there is no link that could die unnoticed."""
        return time.monotonic()

    def send(self, text: str) -> bool:
        """Hand the frame to the hub."""
        if self._is_open:
            self._connection.send(text)
        return self._is_open

    def close(self) -> None:
        """Leave the hub, once."""
        if self._is_open:
            self._is_open = False
            self._connection.close()

    def _closed(self, code: int, reason: str) -> None:
        self._is_open = False
        self._on_close(code, reason)
