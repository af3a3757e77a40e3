"""What a socket is still to be sent: written at once where possible, else held in a bounded buffer.

A frame goes straight into the server's own buffer while that has room, without a task switch. A reader that lets more than
the bound pile up is closed with 4100; nothing is ever dropped from the middle, and nobody else waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
AsgiSend = Callable[[Message], Awaitable[None]]

CLOSE_WITHIN_S = 2.0
_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame has 125 bytes, two of them are the code


class SocketSink:
    """The sink of one accepted WebSocket. Owned by the event loop; never blocks and never raises.

    ``write_at_once``, where the server has it, takes a frame without ASGI and says whether it did. ``abort`` drops the socket
    when a close frame cannot be delivered in time; ``on_slow`` is told, later, that the
    reader was too slow.
    """

    def __init__(
        self,
        send: AsgiSend,
        bound_bytes: int,
        abort: Callable[[], None],
        on_slow: Callable[[], None],
        write_at_once: Callable[[str], bool] | None = None,
    ) -> None:
        self._send = send
        self._write_at_once = write_at_once
        self._bound_bytes = bound_bytes
        self._abort = abort
        self._on_slow = on_slow
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Message, int]] = deque()
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._closing = False
        self._deadline: asyncio.TimerHandle | None = None

    def send(self, text: str) -> None:
        """Queue one text frame; dropped once the socket is closing."""
        if self._closing:
            return
        if self._writer is None and self._write_at_once is not None and self._write_at_once(text):
            return
        message = {"type": "websocket.send", "text": text}
        if self._writer is None:
            self._write(message)
            return
        size = len(text.encode())
        if self._waiting_bytes + size > self._bound_bytes:
            self._give_up()
            return
        self._waiting.append((message, size))
        self._waiting_bytes += size

    def close(self, code: int, reason: str) -> None:
        """Send what is waiting, then the close frame; the socket is dropped if that takes too long."""
        if self._closing:
            return
        self._closing = True
        shown = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        message = {"type": "websocket.close", "code": code, "reason": shown}
        if self._writer is None:
            self._write(message)
        else:
            self._waiting.append((message, 0))
        if self._writer is not None:
            self._deadline = self._loop.call_later(CLOSE_WITHIN_S, self._abort)

    def release(self) -> None:
        """The socket is gone: forget what waits."""
        self._closing = True
        self._waiting.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None

    def _give_up(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        self.close(4100, "Too slow: the connection's buffer is full")
        self._loop.call_soon(self._on_slow)

    def _write(self, message: Message) -> None:
        """Run the server's send as far as it goes; only if it has to wait does it become a task."""
        sending = _Begun(self._send(message))
        if sending.waits:
            self._writer = self._loop.create_task(self._drain(sending), name="codewrap-hub-writer")

    async def _drain(self, first: _Begun) -> None:
        try:
            await first
            while self._waiting:
                message, size = self._waiting.popleft()
                self._waiting_bytes -= size
                await self._send(message)
        except Exception:  # noqa: BLE001 - whatever the server raises means that the socket is gone
            self._waiting.clear()
            self._waiting_bytes = 0
        finally:
            self._writer = None


class _Begun:
    """An awaitable that has been run up to its first wait. Awaiting it goes on from there."""

    def __init__(self, sending: Awaitable[None]) -> None:
        self._steps = sending.__await__()
        self.waits = True
        try:
            self._first = next(self._steps)
        except StopIteration:
            self.waits = False
        except Exception:  # noqa: BLE001 - the socket is gone; its reader learns it by itself
            self.waits = False

    def __await__(self) -> Generator[Any, Any, None]:
        yield self._first
        yield from self._steps
