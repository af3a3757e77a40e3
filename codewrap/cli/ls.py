"""`codewrap ls`: this user's running sessions on this machine."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from codewrap.cli import console, environment
from codewrap.protocol.channels import printable
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore
from codewrap.store.spent import Spent


def ls(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
) -> None:
    """List your running sessions."""
    here = environment.current()
    records = SessionStore(files.runtime_directory(here.values)).running()
    if as_json:
        now = time.time()
        shown = [record.public() | {"spent": record.spent().public(now)} for record in records]
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
    for title in ("NAME", "SINCE", "MODE", "RELAY", "MESSAGES", "COMMAND"):
        table.add_column(title, overflow="fold")
    for record in records:
        now = time.time()
        age = console.duration(max(0.0, now - record.started_at))
        command = escape(printable(" ".join(record.command), 60))
        table.add_row(record.name, age, record.mode, escape(record.endpoint), _messages(record.spent(), now), command)
    Console(highlight=False).print(table)


def _messages(spent: Spent, now: float) -> str:
    """So many, so many a day at this rate, and what is left of a budget."""
    if not spent.messages:
        return "0"
    left = spent.budget_left(now)
    rest = "" if left is None else f", {console.count(max(0.0, left))} left"
    return f"{console.count(spent.messages)}, {console.count(spent.per_day(now))}/day{rest}"
