"""Webhooks are posted to a real HTTP server, which refuses, answers rubbish or hangs as the test wants."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pusher
import pytest

from codewrap.broker import delivery
from codewrap.broker.apps import Webhook
from codewrap.broker.delivery import HookDelivery, post
from tests.support.hub import APP

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """An HTTP server that gives the next of its answers to each request; None hangs."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.heads: list[str] = []
        self.bodies: list[Any] = []

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r")[0])
        body = await reader.readexactly(length)
        answer = self._answers.pop(0) if self._answers else OK
        if answer is not None:
            writer.write(answer)
        else:
            await reader.read()
        writer.close()
        self.heads.append(head)
        self.bodies.append(json.loads(body))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?x=1"

    @property
    def names(self) -> list[list[str]]:
        return [[event["name"] for event in body["events"]] for body in self.bodies]


class Waits:
    """A sleep that only remembers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def in_loop(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_events_are_posted_together_and_signed() -> None:
    async def story() -> None:
        async with Receiver() as receiver:
            hooks = HookDelivery(replace(APP, webhooks=(Webhook(receiver.url),)), time.time)
            hooks.start()
            hooks.put({"name": "channel_occupied", "channel": "a"})
            hooks.put({"name": "channel_vacated", "channel": "a"})
            await until(lambda: bool(receiver.bodies))
            await hooks.stop()
            assert receiver.names == [["channel_occupied", "channel_vacated"]]
            head = receiver.heads[0]
            assert head.startswith("POST /hook?x=1 HTTP/1.1\r\n")
            signature = head.partition("X-Pusher-Signature: ")[2].partition("\r")[0]
            official = pusher.Pusher(APP.app_id, APP.key, APP.secret)
            body = json.dumps(receiver.bodies[0], separators=(",", ":"))
            assert official.validate_webhook(APP.key, signature, body) is not None

    in_loop(story)


def test_a_refused_delivery_is_tried_again_until_it_is_taken() -> None:
    async def story() -> None:
        waits = Waits()
        async with Receiver(b"HTTP/1.1 500 No\r\n\r\n", b"rubbish\n", b"HTTP/1.1 x\r\n", b"") as receiver:
            hooks = HookDelivery(replace(APP, webhooks=(Webhook(receiver.url),)), time.time, waits)
            hooks.start()
            hooks.put({"name": "channel_occupied", "channel": "a"})
            await until(lambda: len(receiver.bodies) == 5)
            await hooks.stop()
            assert waits.seconds == [1, 2, 4, 8]
            assert receiver.names == [["channel_occupied"]] * 5

    in_loop(story)


def test_a_server_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "REQUEST_TIMEOUT_S", 0.05)

    async def story() -> None:
        async with Receiver(None) as receiver:
            hooks = HookDelivery(replace(APP, webhooks=(Webhook(receiver.url),)), time.time, Waits())
            hooks.start()
            hooks.put({"name": "channel_occupied", "channel": "a"})
            await until(lambda: len(receiver.bodies) == 2)
            await hooks.stop()

    in_loop(story)


def test_a_dead_webhook_is_given_up_after_a_while_and_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with Receiver() as receiver:
            dead = Webhook("http://127.0.0.1:1/")
            app = replace(APP, webhooks=(dead, Webhook(receiver.url, channel_prefix="b")))
            hooks = HookDelivery(app, time.time, Waits())
            hooks.start()
            hooks.put({"name": "channel_occupied", "channel": "a"})
            hooks.put({"name": "channel_occupied", "channel": "b"})
            await until(lambda: bool(receiver.bodies) and "refused" in caplog.text)
            await hooks.stop()
            assert [event["channel"] for event in receiver.bodies[0]["events"]] == ["b"]

    in_loop(story)


def test_a_full_queue_drops_and_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(delivery, "QUEUED_EVENTS", 2)

    async def story() -> None:
        hooks = HookDelivery(replace(APP, webhooks=(Webhook("http://127.0.0.1:1/"),)), time.time)
        hooks.start()
        for _ in range(3):
            hooks.put({"name": "channel_occupied", "channel": "a"})
        assert caplog.text.count("does not keep up") == 1
        await hooks.stop()
        hooks.put({"name": "channel_occupied", "channel": "a"})

    in_loop(story)


def test_https_speaks_tls_and_nothing_else() -> None:
    async def answer_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(answer_plainly, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ssl.SSLError):
                await post(f"https://127.0.0.1:{port}/", b"{}", {})

    in_loop(story)
