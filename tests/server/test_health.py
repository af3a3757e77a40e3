"""Whether the broker answers, asked over real sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest

from codewrap.server import health
from codewrap.server.health import KEPT_S, Health, always, http_probe


def probe_of(answer: bytes) -> bool:
    """The verdict on a server that answers everything with ``answer``."""

    async def scenario() -> bool:
        async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(answering, "127.0.0.1", 0) as server:
            return await http_probe("127.0.0.1", server.sockets[0].getsockname()[1], tls=False)()

    return asyncio.run(scenario())


def test_any_http_answer_is_an_answer() -> None:
    assert probe_of(b"HTTP/1.1 404 Not Found\r\n\r\n")


def test_what_is_no_http_is_none() -> None:
    assert not probe_of(b"SSH-2.0-x\r\n")
    assert not probe_of(b"")


def test_a_closed_port_is_none() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not asyncio.run(http_probe("127.0.0.1", taken.getsockname()[1], tls=False)())


def test_a_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not asyncio.run(http_probe("127.0.0.1", silent.getsockname()[1], tls=False)())


def test_plain_http_where_tls_is_wanted_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.0)
        assert not asyncio.run(http_probe("127.0.0.1", silent.getsockname()[1], tls=True)())


def test_the_broker_is_asked_once_in_a_while_however_often_we_are() -> None:
    now = [0.0]
    asked: list[float] = []

    async def probe() -> bool:
        asked.append(now[0])
        return len(asked) == 1

    async def scenario() -> list[bool]:
        kept = Health(probe, lambda: now[0])
        first = await asyncio.gather(*(kept.broker_answers() for _ in range(50)))
        now[0] = KEPT_S
        return [*first, await kept.broker_answers()]

    assert asyncio.run(scenario()) == [True] * 50 + [False]
    assert asked == [0.0, KEPT_S]
    assert asyncio.run(always())
