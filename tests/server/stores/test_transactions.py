"""Transactions on threads: answered in time or given up, never half done, and no thread is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, select, text, update

from codewrap.server.state import StateUnavailable
from codewrap.server.stores.tables import META, SCHEMA, VERSION
from codewrap.server.stores.transactions import Transactions


class Cuts:
    """Notes what is cut, and lets go what waits."""

    def __init__(self) -> None:
        self.lines: list[object] = []
        self.waits = threading.Event()

    def __call__(self, line: object) -> None:
        self.lines.append(line)
        self.waits.set()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/state", pool_size=1, max_overflow=0, connect_args={"check_same_thread": False})
    yield engine
    engine.dispose()


def play(
    engine: Engine,
    use: Callable[[Transactions], Awaitable[object]],
    cut: Callable[[Any], None] = lambda line: None,
    hidden: tuple[str, ...] = (),
) -> None:
    async def opened() -> None:
        transactions = Transactions(engine, "here", threads=1, cut=cut, hidden=hidden)
        try:
            await use(transactions)
        finally:
            await transactions.close()

    asyncio.run(opened())


def version(connection: Connection) -> int:
    return int(connection.execute(select(META.c.value).where(META.c.name == VERSION)).scalar_one())


def raise_version(connection: Connection) -> None:
    connection.execute(update(META).where(META.c.name == VERSION).values(value=META.c.value + 1))


def test_tables_are_there_when_the_first_transaction_runs_and_again_after_they_were_dropped(engine: Engine) -> None:
    async def use(transactions: Transactions) -> None:
        await transactions.run(raise_version)
        assert await transactions.run(version, reading=True) == 1
        with pytest.raises(StateUnavailable, match="no such table"):
            await transactions.run(lambda connection: [connection.execute(text("DROP TABLE codewrap_meta")), version(connection)])
        await transactions.run(lambda connection: connection.execute(text("DROP TABLE codewrap_meta")))
        with pytest.raises(StateUnavailable, match="no such table"):
            await transactions.run(version)
        assert await transactions.run(version) == 0

    play(engine, use)


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    def fail(connection: Connection) -> None:
        raise_version(connection)
        raise ZeroDivisionError

    async def use(transactions: Transactions) -> None:
        with pytest.raises(ZeroDivisionError):
            await transactions.run(fail)
        assert await transactions.run(version) == 0

    play(engine, use)


def test_tables_of_another_version_are_left_alone_and_told(engine: Engine) -> None:
    async def use(transactions: Transactions) -> None:
        await transactions.run(
            lambda connection: connection.execute(update(META).where(META.c.name == "schema").values(value=SCHEMA + 1))
        )

    async def refuse(transactions: Transactions) -> None:
        for _ in range(2):
            with pytest.raises(StateUnavailable, match=f"tables of version {SCHEMA + 1}"):
                await transactions.run(version)

    path = engine.url.database
    play(engine, use)
    later = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})
    play(later, refuse)
    later.dispose()


def test_what_does_not_come_is_cut_and_its_thread_serves_the_next(engine: Engine) -> None:
    cuts = Cuts()

    async def use(transactions: Transactions) -> None:
        with pytest.raises(StateUnavailable, match="nothing came within"):
            await transactions.run(lambda connection: cuts.waits.wait())
        assert len(cuts.lines) == 1
        assert await transactions.run(version) == 0
        assert len(cuts.lines) == 1

    play(engine, use, cuts)


def test_what_waits_for_a_thread_is_given_up_and_never_run(engine: Engine) -> None:
    cuts = Cuts()
    ran = []

    async def use(transactions: Transactions) -> None:
        answers = await asyncio.gather(
            transactions.run(lambda connection: cuts.waits.wait()),
            transactions.run(lambda connection: ran.append(1)),
            return_exceptions=True,
        )
        assert isinstance(answers[0], StateUnavailable)
        assert await transactions.run(version) == 0
        # Cutting the first makes room, at the very moment that the second is given up, or just before.
        assert ran == ([] if isinstance(answers[1], StateUnavailable) else [1])

    play(engine, use, cuts)


def test_closing_cuts_what_waits_and_leaves_no_thread(engine: Engine) -> None:
    cuts = Cuts()
    threads: list[threading.Thread] = []
    started = threading.Event()

    def wait(connection: Connection) -> None:
        threads.append(threading.current_thread())
        started.set()
        cuts.waits.wait()

    async def use(transactions: Transactions) -> None:
        asked = asyncio.create_task(transactions.run(wait))
        await asyncio.to_thread(started.wait)
        await transactions.close()
        await asked
        with pytest.raises(StateUnavailable, match="closed"):
            await transactions.run(version)

    play(engine, use, cuts)
    threads[0].join(30)
    assert not threads[0].is_alive()


def test_a_reason_is_one_line_without_what_is_hidden(engine: Engine) -> None:
    async def use(transactions: Transactions) -> None:
        with pytest.raises(StateUnavailable) as caught:
            await transactions.run(lambda connection: connection.execute(text('SELECT * FROM "secret\x07"')))
        assert "secret" not in str(caught.value)
        assert "***" in str(caught.value)
        assert str(caught.value).isprintable()

    play(engine, use, hidden=("secret",))


def dropping(engine: Engine, times: int) -> None:
    """The first ``times`` updates find that the connection has ended."""
    left = [times]

    @event.listens_for(engine, "before_cursor_execute")
    def drop(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE") and left[0]:
            left[0] -= 1
            connection.detach()
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.close()

    # What the driver of a file says when a connection is closed, taken for what a server's says.
    @event.listens_for(engine, "handle_error")
    def tell(context: Any) -> None:
        context.is_disconnect = "closed" in str(context.original_exception)


@pytest.mark.parametrize(("times", "works"), [(1, True), (2, False)])
def test_a_kept_connection_that_has_died_is_replaced_once(engine: Engine, times: int, works: bool) -> None:
    dropping(engine, times)

    async def use(transactions: Transactions) -> None:
        if works:
            await transactions.run(raise_version)
        else:
            with pytest.raises(StateUnavailable):
                await transactions.run(raise_version)
        assert await transactions.run(version) == works

    play(engine, use)
