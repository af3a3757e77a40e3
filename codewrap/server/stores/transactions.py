"""Runs transactions of a SQL database for an event loop: on threads of its own, each answered within a time limit.

A database that hangs (a stopped process, a network that drops packets) costs the caller ANSWERS_WITHIN_S and no thread: the
connection that waits is cut. Nothing is kept of the outage: the next transaction connects again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from codewrap.server.state import ANSWERS_WITHIN_S, StateUnavailable
from codewrap.server.stores.tables import SCHEMA, make_tables

T = TypeVar("T")
READING, FLEETING = "codewrap_reading", "codewrap_fleeting"  # options of a connection, for who begins its transaction
_CLOSES_WITHIN_S = 1.0


class _Call:
    """One transaction: where it waits, so that it can be cut from another thread."""

    def __init__(self, cut: Callable[[DBAPIConnection], None]) -> None:
        self._cut = cut
        self._lock = threading.Lock()
        self._line: DBAPIConnection | None = None
        self.abandoned = False

    def uses(self, line: DBAPIConnection | None) -> None:
        """It waits on ``line`` from now on; None: on no connection."""
        with self._lock:
            self._line = line
            if line is not None and self.abandoned:
                self._cut(line)

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self.abandoned = True
            if self._line is not None:
                self._cut(self._line)


class Transactions:
    """Over ``engine``, at most ``threads`` at a time. ``cut`` makes a connection in use fail; ``hidden`` is never shown."""

    def __init__(
        self, engine: Engine, where: str, *, threads: int, cut: Callable[[DBAPIConnection], None], hidden: tuple[str, ...] = ()
    ) -> None:
        self.where = where
        self._engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="state")
        self._cut = cut
        self._hidden = hidden
        self._calls: set[_Call] = set()
        self._of_thread = threading.local()
        self._made = False
        self._closed = False
        event.listen(engine, "do_connect", self._connect)

    async def run(self, work: Callable[[Connection], T], *, reading: bool = False, fleeting: bool = False) -> T:
        """What ``work`` returns, run in one transaction, in another thread. Raises StateUnavailable.

        ``reading``: it changes nothing. ``fleeting``: what it changes may be lost with the machine's power.
        """
        if self._closed:
            raise StateUnavailable(self.where, "it is closed")
        call = _Call(self._cut)
        options = {READING: reading, FLEETING: fleeting}
        self._calls.add(call)
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, call, work, options)
        except TimeoutError:
            call.abandon()
            raise StateUnavailable(self.where, f"nothing came within {ANSWERS_WITHIN_S} s") from None
        except SQLAlchemyError as error:
            raise StateUnavailable(self.where, self._reason(error)) from error
        finally:
            self._calls.discard(call)

    async def close(self) -> None:
        """Give up what still waits, and close every connection. Never raises."""
        self._closed = True
        for call in list(self._calls):
            call.abandon()
        with contextlib.suppress(Exception):  # whatever a driver makes of a connection that is gone
            async with asyncio.timeout(_CLOSES_WITHIN_S):
                # In a thread of the pool: SQLite's connections belong to the one that made them.
                await asyncio.get_running_loop().run_in_executor(self._threads, self._engine.dispose)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _connect(self, dialect: Dialect, _record: object, arguments: tuple[object, ...], named: dict[str, object]) -> object:
        """As SQLAlchemy would; but the questions that it asks a new connection can be cut."""
        line = dialect.connect(*arguments, **named)
        self._of_thread.call.uses(line)
        return line

    def _run(self, call: _Call, work: Callable[[Connection], T], options: dict[str, bool]) -> T:
        self._of_thread.call = call
        try:
            try:
                return self._attempt(call, work, options, last=False)
            except _Unsent:
                return self._attempt(call, work, options, last=True)
        except DBAPIError as error:
            if _lacks_table(error):
                self._made = False  # a database that was emptied meanwhile gets them again
            raise
        finally:
            call.uses(None)

    def _attempt(self, call: _Call, work: Callable[[Connection], T], options: dict[str, bool], *, last: bool) -> T:
        """One try; if not the ``last``, raises _Unsent where a kept connection had died before anything was committed."""
        committing = False
        with self._engine.connect() as connection:
            call.uses(connection.connection.dbapi_connection)
            try:
                if not self._made:
                    with connection.begin():
                        schema = make_tables(connection)
                    if schema != SCHEMA:
                        raise StateUnavailable(self.where, f"it has tables of version {schema}, and this codewrap knows {SCHEMA}")
                    self._made = True
                connection.execution_options(**options)
                with connection.begin():
                    result = work(connection)
                    committing = True
                return result
            except DBAPIError as error:
                if error.connection_invalidated and not (committing or call.abandoned or last):
                    raise _Unsent from error
                raise
            finally:
                call.uses(None)

    def _reason(self, error: SQLAlchemyError) -> str:
        original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        lines = [line.strip() for line in str(original).splitlines() if line.strip()]
        text = "".join(character if character.isprintable() else "?" for character in (lines or [type(original).__name__])[0])
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text[:300]


def _lacks_table(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "42P01" or str(error.orig).startswith("no such table")


class _Unsent(Exception):
    """Nothing of the transaction can have come to stay: it can be tried again."""
