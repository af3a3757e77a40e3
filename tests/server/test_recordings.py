"""Who may read which recording, and how much of them is kept."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from codewrap.protocol.roles import Role
from codewrap.server.identity import Identity
from codewrap.server.recordingfiles import QUIET_S, RecordingFiles
from codewrap.server.recordings import CHUNK_BYTES, Recordings, may_read
from codewrap.server.refusals import Refusal
from codewrap.server.registry import Registry
from codewrap.server.revocations import Revocations
from codewrap.server.stores.opening import open_store

RUN, OTHER = "0123456789abcdef", "fedcba9876543210"
ALICE = Identity("alice", Role.HOST, kind="token")
BOB = Identity("bob", Role.HOST, kind="token")
ADMIN = Identity("admin", Role.ADMIN)


class Kept:
    """Recordings of a server, in a directory."""

    def __init__(
        self, root: Path, age_s: float | None = None, most_bytes: int | None = None, clock_s: float | None = None
    ) -> None:
        self.files = RecordingFiles(root / "recordings", age_s, most_bytes)
        state = open_store(None, root)
        clock = time.time if clock_s is None else lambda: clock_s
        self.registry = Registry(state, Revocations(state, lambda _: None, clock), clock)
        self.recordings = Recordings(self.files, self.registry, clock)
        self._state = state

    async def host(self, name: str = "build", owner: Identity = ALICE) -> None:
        await self.registry.open(name, owner)

    async def put(
        self, who: Identity = ALICE, at: int = 0, data: bytes = b"sealed", *, run: str = RUN, last: bool = False
    ) -> None:
        await self.recordings.put(who, "build", run, at, data, last=last)


async def refused(awaited: object) -> tuple[int, str]:
    with pytest.raises(Refusal) as raised:
        await awaited  # type: ignore[misc]
    return raised.value.status, raised.value.code


def test_the_first_piece_is_taken_of_who_hosts_the_session_and_the_rest_also_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        assert await refused(kept.put()) == (404, "no_such_session")
        await kept.host()
        assert await refused(kept.put(BOB)) == (403, "forbidden")
        await kept.put()
        await kept.registry.end("build", None)
        await kept.put(at=6, data=b" more", last=True)
        stored = await kept.recordings.find(ALICE, "build", RUN)
        assert await kept.recordings.read(stored, 0) == b"sealed more"

    asyncio.run(scenario())


def test_somebody_who_hosts_the_name_later_touches_no_earlier_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        await kept.host()
        await kept.put()
        await kept.registry.end("build", None)
        await kept.host(owner=BOB)
        assert await refused(kept.put(BOB, data=b"forged")) == (403, "forbidden")
        assert await refused(kept.recordings.delete(BOB, "build", RUN)) == (403, "forbidden")
        await kept.put(BOB, run=OTHER)
        assert {(each.epoch, each.owner) for each in await kept.recordings.all(BOB)} == {(RUN, "alice"), (OTHER, "bob")}
        await kept.recordings.delete(ADMIN, "build", RUN)
        await kept.recordings.delete(BOB, "build", OTHER)
        assert await kept.recordings.all(ADMIN) == []

    asyncio.run(scenario())


def test_what_an_admin_stores_belongs_to_who_hosts_the_session(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        await kept.host()
        await kept.put(ADMIN)
        assert [each.owner for each in await kept.recordings.all(ADMIN)] == ["alice"]

    asyncio.run(scenario())


def test_nobody_learns_of_what_their_token_does_not_reach(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        await kept.host()
        await kept.put()
        other = Identity("carol", Role.VIEWER, ("deploy-*",), kind="token")
        assert await kept.recordings.all(other) == await kept.recordings.all(other, "build") == []
        assert await refused(kept.recordings.find(other, "build", RUN)) == (404, "no_such_recording")
        viewer = Identity("carol", Role.VIEWER, ("bui*",), kind="token")
        assert [each.epoch for each in await kept.recordings.all(viewer, "build")] == [RUN]
        assert await kept.recordings.all(viewer, "another") == []

    asyncio.run(scenario())


def test_a_link_leads_to_the_run_that_it_was_made_for_and_to_none_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        await kept.host()
        await kept.put()
        stored = await kept.recordings.find(ALICE, "build", RUN)
        guest = Identity("link@1", Role.VIEWER, ("build",), kind="share", issued_at=stored.updated_at - 5)
        assert may_read(guest, stored)
        assert not may_read(replace(guest, issued_at=stored.updated_at + 5), stored)
        assert may_read(replace(guest, kind="token", issued_at=stored.updated_at + 5), stored)

    asyncio.run(scenario())


def test_a_server_that_stores_nothing_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        await kept.host()
        none = Recordings(None, kept.registry, time.time)
        none.start()
        assert await refused(none.put(ALICE, "build", RUN, 0, b"x", last=False)) == (404, "not_stored")
        assert await refused(none.find(ALICE, "build", RUN)) == (404, "no_such_recording")
        assert await none.all(ADMIN) == []
        await none.close()

    asyncio.run(scenario())


def test_where_sessions_that_run_take_all_there_may_be_more_is_refused_for_now(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, most_bytes=10)
        await kept.host()
        await kept.put()
        assert await refused(kept.put(at=6, data=b"12345")) == (503, "storage_full")
        await kept.put(at=6, data=b"1234")

    asyncio.run(scenario())


def test_what_has_ended_makes_room_for_what_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        moment = time.time() + QUIET_S / 2
        kept = Kept(tmp_path, most_bytes=10, clock_s=moment)
        await kept.host()
        await kept.put(last=True)
        again = Kept(tmp_path, most_bytes=10, clock_s=moment)  # a server that was started anew has to count first
        again.recordings._counted_s = float("-inf")
        await again.put(run=OTHER)
        assert await refused(again.put(run=OTHER, at=6, data=b"12345")) == (503, "storage_full")

    asyncio.run(scenario())


def test_what_is_too_old_is_deleted_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        early = Kept(tmp_path)
        await early.host()
        await early.put(last=True)
        kept = Kept(tmp_path, age_s=100, clock_s=time.time() + 1000)
        kept.recordings.start()
        async with asyncio.timeout(30):
            while await kept.recordings.all(ADMIN):
                await asyncio.sleep(0)
        await kept.recordings.close()

    asyncio.run(scenario())


def test_a_piece_read_is_bounded(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        await kept.host()
        await kept.put(data=b"x" * CHUNK_BYTES)
        await kept.put(at=CHUNK_BYTES, data=b"rest")
        stored = await kept.recordings.find(ALICE, "build", RUN)
        assert len(await kept.recordings.read(stored, 0)) == CHUNK_BYTES
        assert await kept.recordings.read(stored, CHUNK_BYTES) == b"rest"

    asyncio.run(scenario())
