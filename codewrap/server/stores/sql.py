"""The state in a SQL database: SQLite (the default) or PostgreSQL. The same statements for both, by SQLAlchemy Core.

What two copies may race for is decided by one statement on one row, or behind a locked row of META. SQLite locks the whole file
for each transaction that writes; PostgreSQL runs in READ COMMITTED, where a statement sees what was committed when it began.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, Row, Table, case, create_engine, delete, event, func, make_url, select, update
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError
from sqlalchemy.sql.expression import ColumnElement

from codewrap.server.state import HostedSession, Revocation, StateUnavailable, TokenRecord
from codewrap.server.stores.tables import (
    CLAIMS,
    COUNTERS,
    META,
    OPENING,
    REMOVAL,
    REVOCATIONS,
    SESSIONS,
    TOKENS,
    VERSION,
    upsert,
)
from codewrap.server.stores.transactions import FLEETING, READING, Transactions

T = TypeVar("T")
PURGE_EVERY_S = 60.0  # what nobody lists (claims, counters) is removed that often
SQLITE_WAITS_S = 1.5  # for another process that writes
WAL_TRIES, WAL_AGAIN_S = 50, 0.02
POSTGRESQL_CONNECTIONS = 4
POSTGRESQL_SETTINGS = {
    "connect_timeout": 2,  # the least that libpq knows
    # Of a peer that vanished without a word, also while nothing is asked of it.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
    "prepare_threshold": None,  # so that a pooler may stand between
    "application_name": "codewrap serve-auth",
}


def sqlite_store(path: Path) -> SqlStore:
    """The file ``path``, which must be there already (`privatefile.py`)."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)), pool_size=1, max_overflow=0, connect_args={"timeout": SQLITE_WAITS_S}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    # One thread: writers wait for each other anyway, and what is asked is a row or two.
    return SqlStore(Transactions(engine, f"sqlite:///{path}", threads=1, cut=_interrupt))


class SqlUrlError(ValueError):
    """Not the URL of a database."""


def postgresql_store(text: str, where: str, hidden: tuple[str, ...]) -> SqlStore:
    """A PostgreSQL database, by psycopg. Connects at first use. Raises SqlUrlError, and ImportError without the driver."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SqlUrlError from None
    settings = {name: value for name, value in POSTGRESQL_SETTINGS.items() if name not in url.query}
    engine: Engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=POSTGRESQL_CONNECTIONS,
        max_overflow=0,
        isolation_level="READ COMMITTED",
        connect_args=settings,
        hide_parameters=True,
    )
    return SqlStore(Transactions(engine, where, threads=POSTGRESQL_CONNECTIONS, cut=_shut_down, hidden=hidden))


def _prepare_sqlite(line: DBAPIConnection, _record: object) -> None:
    line.isolation_level = None  # sqlite3 begins nothing by itself: _begin_sqlite does
    cursor = line.cursor()
    try:
        _use_wal(cursor)
    finally:
        cursor.close()


def _use_wal(cursor: DBAPICursor) -> None:
    """Of two that turn a new file to WAL at once one is refused without being made to wait, whatever its time-out says."""
    for left in reversed(range(WAL_TRIES)):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not left or "locked" not in str(error):
                raise
            time.sleep(WAL_AGAIN_S)


def _begin_sqlite(connection: Connection) -> None:
    # Without IMMEDIATE two readers that both turn writers would refuse each other at once.
    options = connection.get_execution_options()
    if not options.get(READING):  # a revocation outlives a power cut; a counter need not wait for the disk
        connection.exec_driver_sql(f"PRAGMA synchronous={'NORMAL' if options.get(FLEETING) else 'FULL'}")
    connection.exec_driver_sql("BEGIN" if options.get(READING) else "BEGIN IMMEDIATE")


def _interrupt(line: DBAPIConnection) -> None:
    line.interrupt()


def _shut_down(line: DBAPIConnection) -> None:
    """What waits for the connection sees its end; the connection is still closed by whom it belongs to."""
    try:
        with socket.socket(fileno=os.dup(line.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
    except Exception:  # noqa: BLE001, S110  (it is closed already, in whatever way: that is what is wanted)
        pass


class SqlStore:
    """A `StateStore`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self.where = transactions.where
        self._purged_at = float("-inf")

    async def version(self) -> int:
        return await self._transactions.run(
            lambda connection: int(connection.execute(select(META.c.value).where(META.c.name == VERSION)).scalar_one()),
            reading=True,
        )

    async def revoke(self, revocation: Revocation) -> None:
        def work(connection: Connection) -> None:
            connection.execute(update(META).where(META.c.name == VERSION).values(value=META.c.value + 1))
            added = upsert(connection, REVOCATIONS).values(
                subject=revocation.subject, at_s=revocation.at_s, until_s=revocation.until_s
            )
            latest = {
                column.name: case((added.excluded[column.name] > column, added.excluded[column.name]), else_=column)
                for column in (REVOCATIONS.c.at_s, REVOCATIONS.c.until_s)
            }
            connection.execute(added.on_conflict_do_update(index_elements=["subject"], set_=latest))

        await self._transactions.run(work)

    async def revocations(self, now_s: float) -> list[Revocation]:
        rows = await self._live(REVOCATIONS, REVOCATIONS.c.until_s > now_s, REVOCATIONS.c.at_s)
        return [Revocation(row.subject, row.at_s, row.until_s) for row in rows]

    async def add_token(self, record: TokenRecord) -> None:
        fields = {name: getattr(record, name) for name in TOKENS.c.keys() if name != "sessions"}  # noqa: SIM118
        fields["sessions"] = json.dumps(record.sessions)

        def work(connection: Connection) -> None:
            added = upsert(connection, TOKENS).values(**fields)
            connection.execute(added.on_conflict_do_update(index_elements=["token_id"], set_=fields))

        await self._transactions.run(work)

    async def tokens(self, now_s: float) -> list[TokenRecord]:
        rows = await self._live(TOKENS, TOKENS.c.expires_at > now_s, TOKENS.c.issued_at, TOKENS.c.token_id)
        return [TokenRecord(**{**row._mapping, "sessions": tuple(json.loads(row.sessions))}) for row in rows]

    async def claim(self, key: str, now_s: float, until_s: float) -> bool:
        def work(connection: Connection) -> bool:
            added = upsert(connection, CLAIMS).values(key=key, until_s=until_s)
            taken = added.on_conflict_do_update(
                index_elements=["key"], set_={"until_s": until_s}, where=CLAIMS.c.until_s <= now_s
            ).returning(CLAIMS.c.key)
            return connection.execute(taken).first() is not None

        first = await self._transactions.run(work)
        await self._purge(now_s)
        return first

    async def open_session(self, session: HostedSession, *, stale_s: float, most: int) -> str:
        def work(connection: Connection) -> str:
            _lock(connection, OPENING)  # how many somebody has is no single row's business
            live = SESSIONS.c.seen_at > session.opened_at - stale_s
            rows = connection.execute(select(SESSIONS.c.owner).where(SESSIONS.c.name == session.name, live)).scalars()
            if any(owner != session.owner for owner in rows):
                return "taken"
            others = select(func.count()).where(SESSIONS.c.owner == session.owner, SESSIONS.c.name != session.name, live)
            if connection.execute(others).scalar_one() >= most:
                return "too_many"
            fields = {column.name: getattr(session, column.name) for column in SESSIONS.c}
            added = upsert(connection, SESSIONS).values(**fields)
            connection.execute(added.on_conflict_do_update(index_elements=["name"], set_=fields))
            return "opened"

        return await self._transactions.run(work)

    async def seen(self, name: str, grant: str, now_s: float) -> bool:
        column = SESSIONS.c.seen_at
        statement = (
            update(SESSIONS)
            .where(SESSIONS.c.name == name, SESSIONS.c.grant == grant)
            .values(seen_at=case((column < now_s, now_s), else_=column))
        )
        return await self._transactions.run(lambda connection: connection.execute(statement).rowcount > 0)

    async def end_session(self, name: str, grant: str | None) -> bool:
        statement = delete(SESSIONS).where(SESSIONS.c.name == name)
        if grant is not None:
            statement = statement.where(SESSIONS.c.grant == grant)
        return await self._transactions.run(lambda connection: connection.execute(statement).rowcount > 0)

    async def session(self, name: str, now_s: float, *, stale_s: float) -> HostedSession | None:
        statement = select(SESSIONS).where(SESSIONS.c.name == name, SESSIONS.c.seen_at > now_s - stale_s)
        row = await self._transactions.run(lambda connection: connection.execute(statement).first(), reading=True)
        return None if row is None else HostedSession(**row._mapping)

    async def sessions(self, now_s: float, *, stale_s: float) -> list[HostedSession]:
        rows = await self._live(SESSIONS, SESSIONS.c.seen_at > now_s - stale_s)
        return sorted((HostedSession(**row._mapping) for row in rows), key=lambda session: session.name)

    async def count(self, key: str, window_s: int, amount: int, now_s: float) -> tuple[int, float]:
        def work(connection: Connection) -> tuple[int, float]:
            added = upsert(connection, COUNTERS).values(key=key, value=amount, until_s=now_s + window_s)
            over = COUNTERS.c.until_s <= now_s
            new = {
                "value": case((over, added.excluded.value), else_=COUNTERS.c.value + added.excluded.value),
                "until_s": case((over, added.excluded.until_s), else_=COUNTERS.c.until_s),
            }
            counted = added.on_conflict_do_update(index_elements=["key"], set_=new)
            row = connection.execute(counted.returning(COUNTERS.c.value, COUNTERS.c.until_s)).one()
            return row.value, row.until_s

        counted = await self._transactions.run(work, fleeting=True)
        await self._purge(now_s)
        return counted

    async def counted(self, key: str, now_s: float) -> tuple[int, float]:
        statement = select(COUNTERS.c.value, COUNTERS.c.until_s).where(COUNTERS.c.key == key, COUNTERS.c.until_s > now_s)
        row = await self._transactions.run(lambda connection: connection.execute(statement).first(), reading=True)
        return (0, now_s) if row is None else (row.value, row.until_s)

    async def forget_count(self, key: str) -> None:
        statement = delete(COUNTERS).where(COUNTERS.c.key == key)
        await self._transactions.run(lambda connection: connection.execute(statement))

    async def close(self) -> None:
        await self._transactions.close()

    async def _live(
        self, table: Table, live: ColumnElement[bool], *order: ColumnElement[object]
    ) -> list[Row[tuple[object, ...]]]:
        """The rows that are ``live``. Others are removed, where there are any: to look must not mean to write."""

        def read(connection: Connection) -> tuple[list[Row[tuple[object, ...]]], bool]:
            rows = list(connection.execute(select(table).where(live).order_by(*order)))
            return rows, connection.execute(select(func.count()).select_from(table).where(~live)).scalar_one() > 0

        rows, others = await self._transactions.run(read, reading=True)
        if others:
            await self._transactions.run(_removing(table, live))
        return rows

    async def _purge(self, now_s: float) -> None:
        """Best effort, and not every time: what is over is never believed, only in the way."""
        if now_s - self._purged_at < PURGE_EVERY_S:
            return
        self._purged_at = now_s
        for table in (CLAIMS, COUNTERS):
            try:
                await self._transactions.run(_removing(table, table.c.until_s > now_s), fleeting=True)
            except StateUnavailable:
                return


def _removing(table: Table, live: ColumnElement[bool]) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        _lock(connection, REMOVAL)  # two that remove the same rows in another order would wait for each other
        connection.execute(delete(table).where(~live))

    return work


def _lock(connection: Connection, name: str) -> None:
    """Until the end of the transaction. SQLite's transaction is alone already."""
    connection.execute(select(META.c.value).where(META.c.name == name).with_for_update())
