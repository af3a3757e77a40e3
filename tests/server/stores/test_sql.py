"""What is particular to SQLite and PostgreSQL; what they share with Redis is in `test_contract.py`."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from pathlib import Path

import psycopg
import pytest

from codewrap.server.state import HostedSession, Revocation, StateUnavailable
from codewrap.server.stores.privatefile import private_file
from codewrap.server.stores.sql import PURGE_EVERY_S, SqlUrlError, postgresql_store, sqlite_store
from tests.support.postgresserver import PostgresServer

NOW = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return private_file(tmp_path / "own" / "state.sqlite")


def test_every_file_of_sqlite_is_for_the_owner_only(path: Path) -> None:
    async def use() -> dict[str, int]:
        store = sqlite_store(path)
        await store.count("key", 60, 1, NOW)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        await store.close()
        return modes

    assert asyncio.run(use()) == {"state.sqlite": 0o600, "state.sqlite-wal": 0o600, "state.sqlite-shm": 0o600}


def test_a_write_waits_for_another_process_so_long_and_reading_not_at_all(path: Path) -> None:
    async def use() -> None:
        store = sqlite_store(path)
        await store.revoke(Revocation("user:a", NOW, NOW + 60))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StateUnavailable, match="locked"):
                await store.revoke(Revocation("user:b", NOW, NOW + 60))
            assert await store.version() == 1
            other.execute("ROLLBACK")
        await store.revoke(Revocation("user:b", NOW, NOW + 60))
        assert await store.version() == 2
        await store.close()

    asyncio.run(use())


def test_claims_and_counters_that_are_over_are_removed_by_and_by(path: Path) -> None:
    async def use() -> None:
        store = sqlite_store(path)
        for number in range(5):
            await store.claim(f"claim {number}", NOW, NOW + 1)
            await store.count(f"count {number}", 1, 1, NOW)
        await store.count("last", 60, 1, NOW + PURGE_EVERY_S)
        await store.close()

    asyncio.run(use())
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM codewrap_claims").fetchone() == (0,)
        assert file.execute("SELECT key FROM codewrap_counters").fetchall() == [("last",)]


def test_a_file_that_is_no_database_is_told(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)

    async def use() -> None:
        store = sqlite_store(path)
        with pytest.raises(StateUnavailable, match="not a database"):
            await store.version()
        await store.close()

    asyncio.run(use())


def test_what_is_no_url_of_a_database_is_refused() -> None:
    with pytest.raises(SqlUrlError):
        postgresql_store("postgresql:/private", "here", ())


@pytest.mark.debian
def test_a_lock_that_somebody_else_holds_on_postgresql_is_given_up_and_nothing_is_half_done(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.fresh()
    session = HostedSession("build", "alice", "grant", NOW, NOW)

    async def use() -> None:
        store = postgresql_store(url, "here", ())
        await store.version()
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE codewrap_revocations, codewrap_sessions")
            with pytest.raises(StateUnavailable):
                await store.revoke(Revocation("user:a", NOW, NOW + 60))
            with pytest.raises(StateUnavailable):
                await store.open_session(session, stale_s=30, most=1)
            assert await store.version() == 0
        await store.revoke(Revocation("user:a", NOW, NOW + 60))
        assert await store.version() == 1
        assert await store.open_session(session, stale_s=30, most=1) == "opened"
        await store.close()

    asyncio.run(use())


@pytest.mark.debian
def test_postgresql_keeps_what_it_was_told_over_a_crash(postgres_server: PostgresServer) -> None:
    async def use() -> None:
        store = postgresql_store(postgres_server.fresh(), "here", ())
        await store.revoke(Revocation("user:a", NOW, NOW + 60))
        postgres_server.kill()
        postgres_server.start()
        assert [revocation.subject for revocation in await store.revocations(NOW)] == ["user:a"]
        await store.close()

    asyncio.run(use())
