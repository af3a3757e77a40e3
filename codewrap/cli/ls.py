"""`codewrap ls`: this user's running sessions on this machine."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from codewrap.cli import console, environment
from codewrap.errors import CodewrapError
from codewrap.protocol.channels import printable
from codewrap.protocol.orders import REQUESTS, Order
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore
from codewrap.store.spent import Spent

# A host that is stopped does not answer, and the others are not to wait for it.
ASK_WAIT_S = 0.3


def ls(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
) -> None:
    """List your running sessions."""
    here = environment.current()
    records = SessionStore(files.runtime_directory(here.values)).running()
    if as_json:
        now = time.time()
        shown = [record.public() | {"spent": record.spent().public(now), "requests": _requests(record)} for record in records]
        sys.stdout.write(console.json_line(shown))
    elif records:
        _show(records)
    else:
        console.say("no session runs; start one with: codewrap run -- CMD")


def _show(records: list[SessionRecord]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("NAME", "SINCE", "MODE", "RELAY", "SHARE", "MESSAGES", "COMMAND"):
        table.add_column(title, overflow="fold")
    for record in records:
        now = time.time()
        age = console.duration(max(0.0, now - record.started_at))
        command = escape(printable(" ".join(record.command), 60))
        asking = len(_requests(record))
        share = f"{record.share}, {asking} asking" if asking else record.share
        table.add_row(record.name, age, record.mode, escape(record.endpoint), share, _messages(record.spent(), now), command)
    Console(highlight=False).print(table)


def _requests(record: SessionRecord) -> list[dict[str, object]]:
    """Who asks to type; nobody where that cannot be known now."""
    if record.share != "ask":
        return []
    from codewrap.cli.orders import ask

    with contextlib.suppress(CodewrapError):
        return [asdict(request) for request in ask(record, Order(REQUESTS), ASK_WAIT_S).requests]
    return []


def _messages(spent: Spent, now: float) -> str:
    """So many, so many a day at this rate, and what is left of a budget."""
    if not spent.messages:
        return "0"
    left = spent.budget_left(now)
    rest = "" if left is None else f", {console.count(max(0.0, left))} left"
    return f"{console.count(spent.messages)}, {console.count(spent.per_day(now))}/day{rest}"
