"""A relay between real processes and a real broker that mistreats what passes through it, by a plan that a seed makes.

It speaks just enough HTTP and WebSocket to know an event from the protocol's own frames. Events are dropped, repeated,
reordered and delayed one by one; connections are cut, refused, slowed down, and left standing without a word in one direction or
both. What a Pusher-compatible broker never loses by itself (handshake, subscriptions, presence) is not dropped, but is cut and
delayed with its connection. Nothing happens before `begin`, nothing any more after the plan's `calm_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from tests.support.chaosplan import Outage, Rates, SidePlan
from tests.support.lies import Liar

START_TIMEOUT_S = 10.0
MAX_BODY_BYTES = 32 * 1024 * 1024
# What waits in one direction of one connection before its source is left unread.
MAX_WAITING_BYTES = 256 * 1024
# Throttled, this much is written at a time.
SLICE_BYTES = 2048
# An event that waits for others to overtake it goes by itself after this.
HELD_AT_MOST_S = 0.4
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PUBLISHES = re.compile(rb"POST (/apps/|/api/commands/)")


@dataclass
class _State:
    """What all connections of a relay have in common; touched by its thread alone."""

    plan: SidePlan
    liar: Liar | None = None
    active: bool = False
    outages: set[Outage] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    forgotten: int = 0  # connections up to this number are dead, and nobody tells
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def happens(self, generator: random.Random, what: str, probability: float) -> bool:
        # The number is drawn in any case: what becomes of later events must not depend on when this one came.
        happens = generator.random() < probability and self.active
        if happens:
            self.done[what] += 1
        return happens

    def blocked(self, direction: str, number: int) -> bool:
        return number <= self.forgotten or any(
            outage.what.startswith(("stall", "half")) and outage.concerns(direction) for outage in self.outages
        )

    @property
    def away(self) -> bool:
        return any(outage.what == "away" for outage in self.outages)

    @property
    def bytes_per_s(self) -> int:
        return min((outage.bytes_per_s for outage in self.outages if outage.what == "throttle"), default=0)

    async def until_open(self, direction: str, number: int) -> None:
        while self.blocked(direction, number):
            await self.changed.wait()

    def announce(self) -> None:
        before, self.changed = self.changed, asyncio.Event()
        before.set()


class ChaosRelay:
    """Listens on a port of its own (`port`) and passes everything on to ``upstream``, more or less."""

    def __init__(self, upstream: tuple[str, int], plan: SidePlan | None = None, liar: Liar | None = None) -> None:
        self._upstream = upstream
        self._plan = plan or SidePlan()
        lies = self._plan.lies > 0
        self.liar = liar if liar is not None else Liar(self._plan.seed, self._plan.lies) if lies else None
        self.port = 0
        self.log: list[str] = []
        self.calm = threading.Event()
        self._begun_s = 0.0
        self._last_number = 0
        self._connections: set[asyncio.StreamWriter] = set()
        self._down: set[_Lane] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="chaos relay", daemon=True)

    # -- from the test's thread ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """The faults of the plan begin, and cease by themselves: `calm` is set then."""
        self._call(self._begin)

    def impose(self, what: str, bytes_per_s: int = 0) -> None:
        """An outage that lasts until `relieve`, whatever the plan says."""
        self._call(lambda: self._outage_begins(Outage(0.0, 0.0, what, bytes_per_s)))

    def forget(self) -> None:
        """Whoever is connected now hears nothing any more and is heard by nobody, for good; new connections are welcome."""
        self._call(self._forget)

    def say(self, texts: list[bytes]) -> None:
        """Send these events to whoever is connected by WebSocket now, as if the broker did."""
        self._call(lambda: [lane.say(text) for lane in self._down for text in texts])

    def relieve(self) -> None:
        """End every outage."""
        self._call(self._all_outages_end)

    def report(self) -> str:
        """What was done, for a failure's message."""
        lies = f"; lies: {self.liar.told}" if self.liar is not None else ""
        return f"{dict(self._state.done)}; {'; '.join(self.log)}{lies}"

    @property
    def done(self) -> Counter[str]:
        """How often what was done."""
        return Counter(self._state.done)

    def close(self) -> None:
        if self._thread.is_alive():
            self._call(self._stop.set)
            self._thread.join(START_TIMEOUT_S)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(START_TIMEOUT_S), "the relay did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _call(self, what: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(what)

    # -- the plan ------------------------------------------------------------------------------------------------

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._state = _State(self._plan, self.liar)
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=MAX_BODY_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        self._abort_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self) -> None:
        self._begun_s = time.monotonic()
        self._state.active = True
        for outage in self._plan.outages:
            self._loop.call_later(outage.at_s, self._outage_begins, outage)
            self._loop.call_later(outage.at_s + outage.lasts_s, self._outage_ends, outage)
        self._loop.call_later(self._plan.calm_s, self._becomes_calm)

    def _becomes_calm(self) -> None:
        self._state.active = False
        if self.liar is not None:
            self._abort_all()  # who is there is asked anew, of one that tells the truth now
        self._all_outages_end()
        self._note("calm")
        self.calm.set()

    def _forget(self) -> None:
        self._state.forgotten = self._last_number
        self._state.done["forget"] += 1
        self._note(f"forgets {len(self._connections)} sockets")

    def _all_outages_end(self) -> None:
        for outage in list(self._state.outages):
            self._outage_ends(outage)

    def _outage_begins(self, outage: Outage) -> None:
        self._note(f"{outage.what} begins ({len(self._connections)} sockets)")
        self._state.done[outage.what] += 1
        if outage.what in ("cut", "away"):
            self._abort_all()
        elif outage.what == "hang up":
            for writer in list(self._connections):
                writer.close()
        if outage.what not in ("cut", "hang up"):
            self._state.outages.add(outage)
        self._state.announce()

    def _outage_ends(self, outage: Outage) -> None:
        if outage not in self._state.outages:
            return
        self._state.outages.discard(outage)
        if outage.what.startswith("half"):
            self._abort_all()  # as whoever is in between does, once it hears of a connection that it has forgotten
        self._note(f"{outage.what} ends")
        self._state.announce()

    def _abort_all(self) -> None:
        for writer in list(self._connections):
            writer.transport.abort()

    def _note(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self._begun_s:.2f} s {text}")

    # -- connections ---------------------------------------------------------------------------------------------

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._last_number += 1
        self._spawn(self._serve(reader, writer, self._last_number))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        with self._held(writer), contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
            if self._state.away:
                writer.transport.abort()
                return
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower():
                await self._websocket(head, reader, writer, number)
            else:
                await _Posts(self._state, self._open, number).serve(head, reader, writer)

    @contextlib.contextmanager
    def _held(self, writer: asyncio.StreamWriter) -> Generator[None]:
        self._connections.add(writer)
        try:
            yield
        finally:
            self._connections.discard(writer)
            writer.close()

    @contextlib.asynccontextmanager
    async def _open(self) -> Any:
        reader, writer = await asyncio.open_connection(*self._upstream, limit=MAX_BODY_BYTES)
        with self._held(writer):
            yield reader, writer

    async def _websocket(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._state.done["websocket"] += 1
        async with self._open() as (up_reader, up_writer):
            # Without extensions, so that frames can be read.
            up_writer.write(re.sub(rb"\r\nsec-websocket-extensions:[^\r]*", b"", head, flags=re.IGNORECASE))
            await self._state.until_open("down", number)
            writer.write(await up_reader.readuntil(b"\r\n\r\n"))
            up = _Lane(self._state, "up", number, self._plan.up, up_writer)
            down = _Lane(self._state, "down", number, self._plan.down, writer)
            works = [up.pump(reader), up.write(), down.pump(up_reader), down.write()]
            tasks = [self._spawn(work) for work in works]
            self._down.add(down)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._down.discard(down)
                for task in tasks:
                    task.cancel()


class _Lane:
    """One direction of one WebSocket connection."""

    def __init__(self, state: _State, direction: str, number: int, rates: Rates, writer: asyncio.StreamWriter) -> None:
        self._state = state
        self._direction = direction
        self._number = number
        self._random = random.Random(f"{state.plan.seed} {number} {direction}")
        self._rates = rates
        self._writer = writer
        self._masked = direction == "up"
        self._bytes = StreamReader()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._moved = asyncio.Event()
        self._held: list[tuple[int, Frame]] = []

    async def pump(self, reader: asyncio.StreamReader) -> None:
        """Read frames and decide what becomes of each. Ends with the connection."""
        parsing = self._parse()
        next(parsing)
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self._bytes.feed_data(data)
                next(parsing)
                await self._until_waiting_is(MAX_WAITING_BYTES)
            await self._until_waiting_is(0)  # whoever hangs up has been heard out before

    async def _until_waiting_is(self, most_bytes: int) -> None:
        while self._waiting_bytes > most_bytes:
            self._moved.clear()
            await self._moved.wait()

    async def write(self) -> None:
        """Write what has been decided, as fast as outages allow."""
        with contextlib.suppress(OSError):
            while True:
                while not self._waiting:
                    self._moved.clear()
                    await self._moved.wait()
                await self._state.until_open(self._direction, self._number)
                await self._write_one(self._waiting.pop(0))

    async def _write_one(self, data: bytes) -> None:
        for at in range(0, len(data), SLICE_BYTES):
            if self._state.bytes_per_s == 0:
                self._writer.write(data[at:])
                break
            piece = data[at : at + SLICE_BYTES]
            self._writer.write(piece)
            await asyncio.sleep(len(piece) / self._state.bytes_per_s)
        await self._writer.drain()
        self._waiting_bytes -= len(data)
        self._moved.set()

    def _parse(self) -> Generator[None]:
        while True:
            parsing = Frame.parse(self._bytes.read_exact, mask=self._masked)
            while True:
                try:
                    next(parsing)
                except StopIteration as done:
                    self._decide(done.value)
                    break
                yield

    def _decide(self, frame: Frame) -> None:
        if not _is_event(frame):
            self._pass(frame)
            return
        if self._state.liar is not None:
            self._lie(frame, self._state.liar)
            return
        fates = {
            name: self._state.happens(self._random, f"{name} {self._direction}", getattr(self._rates, name))
            for name in ("drop", "repeat", "reorder", "delay")
        }
        later_s = self._random.uniform(0.0, self._rates.delay_most_s)
        overtaken_by = self._random.randint(1, 4)
        if fates["drop"]:
            return
        if fates["delay"]:
            asyncio.get_running_loop().call_later(later_s, self._pass, frame)
        elif fates["reorder"]:
            self._hold(overtaken_by, frame)
        else:
            self._pass(frame)
            self._overtake()
        if fates["repeat"]:
            asyncio.get_running_loop().call_later(later_s, self._pass, frame)

    def say(self, text: bytes) -> None:
        """One more event."""
        self._pass(Frame(Opcode.TEXT, text))

    def _lie(self, frame: Frame, liar: Liar) -> None:
        """Past calm it only listens."""
        text = bytes(frame.data)
        if not self._state.active:
            liar.hear(text)
            self._pass(frame)
            return
        for told in liar.tell(text):
            self._pass(Frame(Opcode.TEXT, told))

    def _hold(self, count: int, frame: Frame) -> None:
        held = (count, frame)
        self._held.append(held)
        asyncio.get_running_loop().call_later(HELD_AT_MOST_S, self._release, held)

    def _release(self, held: tuple[int, Frame]) -> None:
        left = [each for each in self._held if each[1] is held[1]]
        self._held = [each for each in self._held if each[1] is not held[1]]
        for _, frame in left:
            self._pass(frame)

    def _overtake(self) -> None:
        self._held = [(count - 1, frame) for count, frame in self._held]
        for held in [held for held in self._held if held[0] <= 0]:
            self._release(held)

    def _pass(self, frame: Frame) -> None:
        data = frame.serialize(mask=self._masked)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._moved.set()


def _is_event(frame: Frame) -> bool:
    """Whether ``frame`` is somebody's event, not a word of the protocol's."""
    if frame.opcode is not Opcode.TEXT:
        return False
    with contextlib.suppress(ValueError):
        name = json.loads(bytes(frame.data)).get("event", "")
        return not name.startswith(("pusher:", "pusher_internal:"))
    return False


Open = Callable[[], contextlib.AbstractAsyncContextManager[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class _Posts:
    """The requests of one HTTP connection, one after the other; each goes upstream on a connection of its own."""

    def __init__(self, state: _State, open_upstream: Open, number: int) -> None:
        self._state = state
        self._open = open_upstream
        self._number = number
        self._random = random.Random(f"{state.plan.seed} {number} posts")

    async def serve(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the client closes, or the connection is cut."""
        while True:
            length = _LENGTH.search(head)
            request = _closing(head) + (await reader.readexactly(int(length[1])) if length else b"")
            await self._state.until_open("up", self._number)
            answer = await self._answer(request)
            await self._state.until_open("down", self._number)
            if answer is None:
                writer.transport.abort()
                return
            writer.write(answer)
            await writer.drain()
            if b"\r\nconnection: close" in answer[: answer.find(b"\r\n\r\n")].lower():
                return
            head = await reader.readuntil(b"\r\n\r\n")

    async def _answer(self, request: bytes) -> bytes | None:
        """None: the connection breaks."""
        rates = self._state.plan.posts
        names = ("delay", "drop", "refuse", "fail", "cut", "repeat")
        chosen = {name: self._random.random() < getattr(rates, name) and self._state.active for name in names}
        later_s, first = self._random.uniform(0.0, rates.delay_most_s), self._random.random() < 0.5
        publishes = _PUBLISHES.match(request) is not None
        # What the server never got is said to have failed; what it lost is not said. Questions are never lost silently.
        fates = {name for name, is_so in chosen.items() if is_so and (publishes or name in ("delay", "refuse", "cut"))}
        self._state.done.update(f"{name} post" for name in fates)
        if "delay" in fates:
            await asyncio.sleep(later_s)
        if "drop" in fates:
            return _http(202, '{"status":"accepted"}') if request.startswith(b"POST /api/") else _http(200, "{}")
        if "refuse" in fates:
            return _http(503 if first else 429, '{"error":{"code":"broker_unavailable","message":"chaos"}}')
        if "cut" in fates and first:
            return None
        answer = await self._forward(request)
        if "repeat" in fates:
            answer = await self._forward(request)
        if "cut" in fates:
            return None
        return _http(503, '{"error":{"code":"broker_unavailable","message":"chaos"}}') if "fail" in fates else answer

    async def _forward(self, request: bytes) -> bytes | None:
        try:
            async with self._open() as (reader, writer):
                writer.write(request)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(answer)
                return bytes(answer + (await reader.readexactly(int(length[1])) if length else await reader.read()))
        except (OSError, EOFError):
            return None


def _closing(head: bytes) -> bytes:
    """The head of a request after which the server closes: so the end of any answer is known."""
    return re.sub(rb"\r\nconnection:[^\r]*", b"", head, flags=re.IGNORECASE)[:-2] + b"Connection: close\r\n\r\n"


def _http(status: int, body: str) -> bytes:
    head = f"HTTP/1.1 {status} Chaos\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n{body}".encode()
