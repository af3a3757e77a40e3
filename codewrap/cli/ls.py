"""`codewrap ls`: this user's running sessions on this machine."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import typer

from codewrap.cli import console, environment
from codewrap.protocol.channels import printable
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore


def ls(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
) -> None:
    """List your running sessions."""
    here = environment.current()
    records = SessionStore(files.runtime_directory(here.values)).running()
    if as_json:
        sys.stdout.write(json.dumps([record.public() for record in records], ensure_ascii=False) + "\n")
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
    for title in ("NAME", "SINCE", "MODE", "RELAY", "COMMAND"):
        table.add_column(title, overflow="fold")
    for record in records:
        age = console.duration(max(0.0, time.time() - record.started_at))
        command = escape(printable(" ".join(record.command), 60))
        table.add_row(record.name, age, record.mode, escape(record.endpoint), command)
    Console(highlight=False).print(table)
