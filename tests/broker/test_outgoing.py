"""The outgoing side of one socket, against a server that can be made to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from codewrap.broker import outgoing
from codewrap.broker.outgoing import Message, SocketSink


class Wire:
    """An ASGI send that waits while it is blocked."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None
        self.aborted = 0
        self.slow = asyncio.Event()

    async def send(self, message: Message) -> None:
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append(message)

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.sent if message["type"] == "websocket.send"]

    def abort(self) -> None:
        self.aborted += 1
        self.failure = OSError("gone")
        self.open.set()

    def sink(self, bound_bytes: int = 100) -> SocketSink:
        return SocketSink(self.send, bound_bytes, self.abort, self.slow.set)


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_a_frame_is_written_before_send_returns() -> None:
    async def story() -> None:
        wire = Wire()
        sink = wire.sink()
        sink.send("a")
        assert wire.texts == ["a"]
        sink.close(4009, "é" * 100)
        assert wire.sent[-1]["code"] == 4009
        assert wire.sent[-1]["reason"] == "é" * 61
        sink.send("late")
        sink.close(4200, "again")
        assert len(wire.sent) == 2
        sink.release()

    in_loop(story)


def test_what_must_wait_is_sent_later_in_order_and_the_close_comes_last() -> None:
    async def story() -> None:
        wire = Wire()
        sink = wire.sink()
        wire.open.clear()
        for number in range(10):
            sink.send(str(number))
        sink.close(4200, "bye")
        assert wire.sent == []
        wire.open.set()
        await until(lambda: len(wire.sent) == 11)
        assert wire.texts == [str(number) for number in range(10)]
        assert wire.sent[-1] == {"type": "websocket.close", "code": 4200, "reason": "bye"}
        sink.release()
        assert wire.aborted == 0

    in_loop(story)


def test_after_a_wait_frames_are_written_at_once_again() -> None:
    async def story() -> None:
        wire = Wire()
        sink = wire.sink()
        wire.open.clear()
        sink.send("a")
        wire.open.set()
        await until(lambda: wire.texts == ["a"])
        await until(lambda: sink._writer is None)
        sink.send("b")
        assert wire.texts == ["a", "b"]

    in_loop(story)


def test_a_reader_that_is_too_slow_is_closed_with_4100_and_loses_nothing_in_the_middle() -> None:
    async def story() -> None:
        wire = Wire()
        sink = wire.sink(bound_bytes=10)
        sink.send("first")
        wire.open.clear()
        sink.send("under way")
        for _ in range(6):
            sink.send("é")
        await wire.slow.wait()
        wire.open.set()
        await until(lambda: wire.sent[-1]["type"] == "websocket.close")
        assert wire.texts == ["first", "under way"]
        assert wire.sent[-1]["code"] == 4100

    in_loop(story)


def test_a_socket_that_does_not_take_its_close_frame_is_dropped(monkeypatch: Any) -> None:
    monkeypatch.setattr(outgoing, "CLOSE_WITHIN_S", 0.01)

    async def story() -> None:
        wire = Wire()
        sink = wire.sink()
        wire.open.clear()
        sink.send("stuck")
        sink.close(4200, "bye")
        await until(lambda: wire.aborted == 1)
        await until(lambda: sink._writer is None)
        assert wire.sent == []

    in_loop(story)


def test_a_lost_socket_raises_nothing() -> None:
    async def story() -> None:
        wire = Wire()
        wire.failure = OSError("gone")
        sink = wire.sink()
        sink.send("a")
        wire.open.clear()
        sink.send("b")
        sink.send("c")
        wire.open.set()
        await until(lambda: sink._writer is None)
        assert wire.sent == []

    in_loop(story)


def test_releasing_ends_the_writer() -> None:
    async def story() -> None:
        wire = Wire()
        sink = wire.sink()
        wire.open.clear()
        sink.send("a")
        sink.close(4200, "bye")
        sink.release()
        await until(lambda: sink._writer is None)
        wire.open.set()
        await asyncio.sleep(0)
        assert (wire.sent, wire.aborted) == ([], 0)

    in_loop(story)
