"""The server's lines of the audit log: every kind of decision, written by a thread, with a loop that never waits for it."""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codewrap.protocol.roles import Act, Role
from codewrap.server.auditing import REFUSALS_PER_S, Auditor
from codewrap.store.audit import AuditLog
from codewrap.store.auditcheck import verify
from codewrap.store.auditlines import file_name, file_numbers

WRITER = ("anna", Role.WRITER)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def lines(directory: Path) -> list[dict[str, Any]]:
    """Without files' first lines and the chain."""
    assert verify(directory).problem is None
    found = [
        json.loads(line)
        for number in file_numbers(directory)
        for line in (directory / file_name(number)).read_text().splitlines()[1:]
    ]
    return [{name: line[name] for name in line if name not in {"at", "seq", "prev", "hash"}} for line in found]


def written_by(directory: Path, *calls: Callable[[Auditor], None]) -> list[dict[str, Any]]:
    async def run() -> None:
        auditor = Auditor(AuditLog(directory))
        for call in calls:
            call(auditor)
        await auditor.close()
        assert auditor.refused_writes == auditor.queued == 0

    asyncio.run(run())
    return lines(directory)


CASES: dict[str, tuple[Callable[[Auditor], None], dict[str, Any]]] = {
    "authenticated": (
        lambda to: to.authenticated(*WRITER, kind="token", token_id="t1", address="192.0.2.1"),
        {
            "event": "authentication",
            "accepted": True,
            "user": "anna",
            "role": "writer",
            "kind": "token",
            "token": "t1",
            "address": "192.0.2.1",
        },
    ),
    "authentication_refused": (
        lambda to: to.authentication_refused("expired", address="192.0.2.1", user="eve"),
        {
            "event": "authentication",
            "accepted": False,
            "why": "expired",
            "user": "eve",
            "token": "",
            "address": "192.0.2.1",
        },
    ),
    "channel": (
        lambda to: to.channel(*WRITER, session="build", channel="private-input-build", socket_id="1.2", why="role"),
        {
            "event": "channel",
            "accepted": False,
            "why": "role",
            "user": "anna",
            "role": "writer",
            "session": "build",
            "channel": "private-input-build",
            "socket": "1.2",
        },
    ),
    "act": (
        lambda to: to.act(*WRITER, Act.KILL, session="build", why="role"),
        {
            "event": "act",
            "accepted": False,
            "why": "role",
            "user": "anna",
            "role": "writer",
            "act": "kill",
            "session": "build",
        },
    ),
    "input": (
        lambda to: to.input(*WRITER, session="build", writer="anna.http", size=12, sealed=False),
        {
            "event": "http_input",
            "accepted": True,
            "user": "anna",
            "role": "writer",
            "session": "build",
            "writer": "anna.http",
            "size": 12,
            "sealed": False,
        },
    ),
    "session_opened": (
        lambda to: to.session_opened("hana", session="build", why="taken"),
        {"event": "session_opened", "accepted": False, "why": "taken", "user": "hana", "session": "build"},
    ),
    "session_closed": (
        lambda to: to.session_closed("hana", session="build", cause="ended"),
        {"event": "session_closed", "user": "hana", "session": "build", "cause": "ended"},
    ),
    "token_created": (
        lambda to: to.token_created(
            "admin", user="anna", role=Role.HOST, sessions=["a-*", "b"], kind="token", token_id="t2", expires_at=9.7
        ),
        {
            "event": "token_created",
            "by": "admin",
            "user": "anna",
            "role": "host",
            "sessions": "a-* b",
            "kind": "token",
            "token": "t2",
            "expires_at": 9,
        },
    ),
    "revoked": (
        lambda to: to.revoked("admin", subject="user:eve"),
        {"event": "revoked", "by": "admin", "subject": "user:eve"},
    ),
    "share_created": (
        lambda to: to.share_created("hana", session="build", token_id="s1", write=True, once=False, expires_at=9.7),
        {
            "event": "share_created",
            "by": "hana",
            "session": "build",
            "token": "s1",
            "write": True,
            "once": False,
            "expires_at": 9,
        },
    ),
    "share_redeemed": (
        lambda to: to.share_redeemed("guest", session="build", share_id="s1", token_id="t3", address="192.0.2.1"),
        {
            "event": "share_redeemed",
            "accepted": True,
            "user": "guest",
            "session": "build",
            "share": "s1",
            "token": "t3",
            "address": "192.0.2.1",
        },
    ),
    "answer_link_created": (
        lambda to: to.answer_link_created("hana", session="build", link="a1", epoch="e", offset=120, until=9.7),
        {
            "event": "answer_link_created",
            "by": "hana",
            "session": "build",
            "token": "a1",
            "epoch": "e",
            "offset": 120,
            "expires_at": 9,
        },
    ),
    "answered": (
        lambda to: to.answered("link:a1", session="build", size=2, address="192.0.2.1", why="gone"),
        {
            "event": "answer",
            "accepted": False,
            "why": "gone",
            "user": "link:a1",
            "session": "build",
            "size": 2,
            "address": "192.0.2.1",
        },
    ),
    "limited": (
        lambda to: to.limited("requests", user="eve", address="192.0.2.1"),
        {
            "event": "limit",
            "accepted": False,
            "why": "requests",
            "limit": "requests",
            "user": "eve",
            "address": "192.0.2.1",
        },
    ),
    "administered": (
        lambda to: to.administered("admin", "kill", session="build"),
        {"event": "administered", "by": "admin", "what": "kill", "session": "build", "user": ""},
    ),
    "started": (
        lambda to: to.started("0.1", "127.0.0.1:8080"),
        {"event": "server_started", "version": "0.1", "address": "127.0.0.1:8080"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_decision_is_a_line(directory: Path, name: str) -> None:
    call, expected = CASES[name]
    assert written_by(directory, call) == [expected]


def test_every_method_is_among_these_cases() -> None:
    methods = {name for name, _ in inspect.getmembers(Auditor, inspect.isfunction) if not name.startswith("_")}
    assert methods == {*CASES, "close"}


def test_lines_are_in_the_order_of_the_calls_and_dated_by_them(directory: Path) -> None:
    times = iter(range(1, 100))

    async def run() -> None:
        auditor = Auditor(AuditLog(directory), clock=lambda: float(next(times)))
        for number in range(50):
            auditor.revoked("admin", subject=f"token:{number}")
        await auditor.close()

    asyncio.run(run())
    assert [line["subject"] for line in lines(directory)] == [f"token:{number}" for number in range(50)]
    dates = [json.loads(line)["at"] for line in (directory / file_name(1)).read_text().splitlines()[1:]]
    assert dates == [f"1970-01-01T00:00:{second:02}.000Z" for second in range(1, 51)]


def test_a_flood_of_refusals_is_counted(directory: Path) -> None:
    def flood(auditor: Auditor) -> None:
        for _ in range(5_000):
            auditor.authentication_refused("this token is not known here", address="192.0.2.1")

    found = written_by(directory, flood)
    assert sum(line.get("count", 1) for line in found) == 5_000
    assert REFUSALS_PER_S < len(found) < 2_500


def test_a_full_queue_does_not_block_and_is_said_in_the_log(directory: Path) -> None:
    async def run() -> int:
        log = AuditLog(directory, lock_wait_s=30)
        log.open()
        held = os.open(directory, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)  # nothing can be written now
        auditor = Auditor(log, queued_lines=10)
        for number in range(100):
            auditor.revoked("admin", subject=f"token:{number}")
        dropped = auditor.refused_writes
        os.close(held)
        await auditor.close()
        assert auditor.refused_writes == dropped
        return dropped

    dropped = asyncio.run(run())
    assert 89 <= dropped <= 90  # the thread may have taken one out
    found = lines(directory)
    assert sum(line.get("lines", 0) for line in found if line["event"] == "lost") == dropped
    assert len([line for line in found if line["event"] == "revoked"]) == 100 - dropped


def test_what_comes_after_the_end_is_only_counted(directory: Path) -> None:
    async def run() -> None:
        auditor = Auditor(AuditLog(directory))
        await auditor.close()
        auditor.revoked("admin", subject="token:1")
        await auditor.close()
        assert auditor.refused_writes == 1

    asyncio.run(run())
    assert not directory.exists()
