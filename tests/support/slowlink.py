"""A slow link to a server of this machine: what goes through it arrives later, in order; or not at all while it is held."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

START_TIMEOUT_S = 10.0
_BLOCK = 65_536
_ROUNDS_TO_ACCEPT = 10  # turns of the event loop; asyncio takes three from the accepted socket to its callback


class SlowLink:
    """Listens on a port of its own and passes every connection on to ``port``, each byte ``delay_s`` late either way.

    While `hold` lasts nothing passes and nobody is told: connections stand, half open. `release` lets everything follow.
    """

    def __init__(self, port: int, delay_s: float = 0.0) -> None:
        self.port = 0
        self._target = port
        self._delay_s = delay_s
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._ending = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._joining = 0  # connections accepted here that have none onward yet
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow link", daemon=True)
        self._thread.start()
        assert self._listening.wait(START_TIMEOUT_S), "the slow link does not listen"

    def hold(self) -> None:
        """Let nothing through; when this returns, nothing more arrives."""
        self._tell(self._set_open(False))

    def release(self) -> None:
        """Let everything through again, what has waited first."""
        self._tell(self._set_open(True))

    def lead_to(self, port: int) -> None:
        """Connections that come from now on go to another server."""
        self._target = port

    def close(self) -> None:
        """Hang up; when this returns, no task and no connection of it is left."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(START_TIMEOUT_S)
        assert not self._thread.is_alive(), "the slow link does not end"

    def _tell(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(START_TIMEOUT_S)

    async def _set_open(self, is_open: bool) -> None:
        if is_open:
            self._open.set()
        else:
            self._open.clear()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._open.set()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._listening.set()
        await self._ending.wait()
        for listening in server.sockets:  # asyncio forgets a socket that it accepted just before its server closed
            self._loop.remove_reader(listening.fileno())
        for _ in range(_ROUNDS_TO_ACCEPT):  # what was being accepted has no task of ours yet
            await asyncio.sleep(0)
        while self._joining:  # asyncio forgets to close a socket whose connecting is cancelled
            await asyncio.sleep(0)
        server.close()
        while rest := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._joining += 1
        task = asyncio.create_task(self._joined(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        finally:
            self._joining -= 1
        self._writers.add(onward)
        try:
            await asyncio.gather(self._pump(reader, onward), self._pump(there, writer))
        finally:
            for each in (writer, onward):
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction: one takes what comes and says when it is due, one writes it then."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        taker = asyncio.create_task(self._take(reader, due))
        try:
            with contextlib.suppress(OSError):
                while True:
                    at_s, data = await due.get()
                    await asyncio.sleep(max(0.0, at_s - self._loop.time()))
                    await self._open.wait()
                    if not data:
                        break
                    writer.write(data)
                    await writer.drain()
        finally:
            taker.cancel()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _take(self, reader: asyncio.StreamReader, due: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"."
        while data:
            try:
                data = await reader.read(_BLOCK)
            except OSError:
                data = b""
            due.put_nowait((self._loop.time() + self._delay_s, data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
