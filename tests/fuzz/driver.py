"""Plays inputs against a running `serve-auth`, scenario by scenario; each follows from the seed and its number.

A scenario is one connection: a talk on a socket, a row of pipelined requests, or one that is broken off. What counts as an input
is one message, one frame or one request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field

from codewrap.broker.apps import App
from tests.fuzz.httpinputs import Requests
from tests.fuzz.wsinputs import BINARY, PING, TEXT, Talk, broken, fragmented, framed

AT_ONCE = 8
ANSWER_WITHIN_S = 20.0
IN_A_ROW = 24
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LINGERING = 12
_LAST = b"GET /api/config HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
HANDSHAKE = (
    b"GET /app/%s?protocol=7&client=fuzz HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass
class Played:
    """What was tried, what was answered, what went wrong."""

    inputs: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.inputs.values())


class Fuzzer:
    """Against the server at ``port``."""

    def __init__(self, port: int, app: App, requests: Requests, seed: int) -> None:
        self._port = port
        self._app = app
        self._requests = requests
        self._seed = seed
        self._next = 0
        self.played = Played()

    async def play(self, count: int) -> None:
        """At least ``count`` inputs more."""
        until = self.played.count + count
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work(until))

    async def _work(self, until: int) -> None:
        while self.played.count < until and len(self.played.wrong) < 20:
            number, self._next = self._next, self._next + 1
            rng = random.Random(f"{self._seed} {number}")
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await self._scenario(rng)
            except TimeoutError:
                self.played.wrong.append(f"scenario {number}: no answer within {ANSWER_WITHIN_S:g} s")
            except OSError:
                self.played.inputs["cut by the server"] += 0  # it may hang up on what this is
            except AssertionError as error:
                self.played.wrong.append(f"scenario {number}: {error}")

    async def _scenario(self, rng: random.Random) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            kind = rng.random()
            if kind < 0.5:
                await self._talk(reader, writer, rng)
            elif kind < 0.85:
                await self._row(reader, writer, rng)
            else:
                await self._cut_off(reader, writer, rng)
        finally:
            if rng.random() < 0.1:
                writer.transport.abort()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        writer.write(HANDSHAKE % self._app.key.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head.splitlines()[0], head
        first = await reader.readexactly(2)
        greeting = await reader.readexactly(first[1])
        return str(json.loads(json.loads(greeting)["data"])["socket_id"])

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
        """Messages on a socket; then it must still answer, or have closed."""
        talk = Talk(self._app, await self._greeted(reader, writer), rng)
        hearing = asyncio.create_task(_until(reader, b"the last of all"))
        try:
            for _ in range(rng.randrange(1, 2 * IN_A_ROW)):
                writer.write(self._frames(talk, rng))
                await writer.drain()
                if hearing.done():
                    break
            if rng.random() < 0.3:
                self.played.inputs["broken frame"] += 1
                writer.write(broken(talk.text(), rng))
                if writer.can_write_eof():
                    writer.write_eof()
            writer.write(framed(b"the last of all", PING)) if not writer.transport.is_closing() else None
            await writer.drain()
        except (OSError, RuntimeError):
            pass  # closed by the server while we spoke, or by us for writing
        await hearing

    def _frames(self, talk: Talk, rng: random.Random) -> bytes:
        kind, text = rng.random(), talk.text()
        if kind < 0.85:
            self.played.inputs["message"] += 1
            return framed(text)
        if kind < 0.95:
            self.played.inputs["fragmented message"] += 1
            return fragmented(text, rng)
        self.played.inputs["other frame"] += 1
        return framed(text[:100], rng.choice([BINARY, PING, TEXT]))

    async def _row(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
        """Pipelined requests, of which the last closes or is broken."""
        for _ in range(rng.randrange(1, IN_A_ROW)):
            request = self._requests.make(rng)
            self.played.inputs["request" if request.framed else "broken request"] += 1
            writer.write(request.data)
            if not request.framed:
                await self._answers(reader, writer)
                return
        writer.write(_LAST)
        await self._answers(reader, writer, half_closed=False)

    async def _cut_off(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
        """A request that ends in the middle; sometimes a byte at a time."""
        data = self._requests.make(rng).data
        data = data[: rng.randrange(1, len(data) + 1)]
        self.played.inputs["request cut off"] += 1
        if rng.random() < 0.2:
            for at in range(min(len(data), 120)):
                writer.write(data[at : at + 1])
                await writer.drain()
            data = data[120:]
        writer.write(data)
        if rng.random() < 0.3:
            writer.transport.abort()
            return
        await self._answers(reader, writer)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, half_closed: bool = True) -> None:
        hearing = asyncio.create_task(_all(reader))
        with contextlib.suppress(OSError):
            await writer.drain()
            if half_closed:
                writer.write_eof()
        answers = await hearing
        for status in map(int, _STATUS.findall(answers)):
            self.played.statuses[status] += 1
            assert status < 500 or status in (503, 504), f"answered {status}: {answers[-600:]!r}"
        assert b"set-cookie" not in answers.lower(), answers[-600:]

    async def linger(self) -> list[asyncio.StreamWriter]:
        """Connections that say a part of something and then nothing: until they are closed."""
        writers = []
        for number in range(_LINGERING):
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            head = b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
            begun = [head, head + b"\r\n{", HANDSHAKE % self._app.key.encode() + b"\x81\xfe\x00"]
            writer.write(begun[number % len(begun)])
            await writer.drain()
            writers.append(writer)
        return writers


async def _until(reader: asyncio.StreamReader, mark: bytes) -> None:
    """Until ``mark`` has come, or the end."""
    heard = b""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            heard = heard[-len(mark) :] + data
            if mark in heard:
                return


async def _all(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            heard += data
    return heard
