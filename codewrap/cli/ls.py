"""`codewrap ls`: this user's sessions on this machine, and those that the configured server knows.

Ten thousand kept sessions are listed at once: a row costs one small file, and nothing else is imported for it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codewrap.cli import console, environment
from codewrap.cli.environment import Environment
from codewrap.errors import CodewrapError
from codewrap.protocol.channels import printable
from codewrap.protocol.orders import REQUESTS, Order
from codewrap.store import files
from codewrap.store.activity import read_activity
from codewrap.store.sessions import SessionRecord, SessionStore
from codewrap.store.spent import Spent

if TYPE_CHECKING:
    from codewrap.config import Gateway
    from codewrap.store.archive import Kept, State
    from codewrap.transport.gateway import Hosted
    from codewrap.transport.recordings import StoredRecording

# A host that is stopped does not answer, and the others are not to wait for it.
ASK_WAIT_S = 0.3
ID_CHARACTERS = 8
COMMAND_CHARACTERS = 60


def ls(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also sessions that have ended or were lost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
) -> None:
    """List your sessions: those that run here, and those that the server of CODEWRAP_URL knows."""
    here = environment.current()
    records = SessionStore(files.runtime_directory(here.values)).running()
    server, hosted = _hosted(here, records)
    kept = _kept(here, {record.epoch for record in records}) if everything else []
    known = {record.epoch for record in records} | {session.epoch for session, _ in kept}
    stored = _stored(server, known) if everything and server is not None else []
    if as_json:
        sys.stdout.write(console.json_line(_public(records, kept, server, hosted, stored)))
    elif records or hosted or kept or stored:
        rows = _everything(records, kept) if everything else _running(records)
        rows += [_of_server(session, server, len(rows[0])) for session in hosted if server]
        rows += _recordings(stored, {row[0] for row in rows})
        _show(rows)
    else:
        console.say("no session runs; start one with: codewrap run -- CMD")


def _kept(here: Environment, known: set[str]) -> list[tuple[Kept, State]]:
    """Those that no record tells of, the newest first, and what became of them."""
    from codewrap.cli.kept import archive

    gc.disable()  # what is read stays until all is said, and may be much
    return [(kept, kept.state) for kept in archive(here.values).sessions() if kept.epoch not in known]


def _hosted(here: Environment, records: Sequence[SessionRecord]) -> tuple[Gateway | None, list[Hosted]]:
    """The server, and its sessions that do not run here. What it does not say is a line, and no more."""
    if not here.values.get("CODEWRAP_URL"):
        return None, []
    from codewrap.cli import hosted

    try:
        server = hosted.gateway(here)
        if server is None:
            return None, []
        ours = {record.name for record in records if record.endpoint == server.url}
        return server, [session for session in hosted.of_server(server) if session.name not in ours]
    except CodewrapError as error:
        console.say(f"sessions elsewhere are not known: {printable(str(error), 300)}")
    return None, []


def _stored(server: Gateway, known: set[str]) -> list[StoredRecording]:
    """The recordings at the server of sessions that are over and not here, the one last heard of first."""
    from codewrap.cli.stored import listed, state_of

    try:
        return [each for each in listed(server) if each.epoch not in known and state_of(each) != "running"]
    except CodewrapError as error:
        console.say(f"recordings elsewhere are not known: {printable(str(error), 300)}")
    return []


# -- for programs --------------------------------------------------------------------------------------------------


def _public(
    records: Iterable[SessionRecord],
    kept: Iterable[tuple[Kept, State]],
    server: Gateway | None,
    hosted: Iterable[Hosted],
    stored: Iterable[StoredRecording],
) -> list[dict[str, Any]]:
    now = time.time()
    shown: list[dict[str, Any]] = []
    for record in records:
        does = read_activity(Path(record.log_directory))
        beside = {"state": "running", "server": None, "spent": record.spent().public(now), "requests": _requests(record)}
        shown.append(record.public() | beside | {"activity": does.public() if does is not None else None})
    shown += [session.public(state) | {"server": None} for session, state in kept]
    if server is not None:
        from codewrap.cli.hosted import public
        from codewrap.cli.stored import public as public_recording

        shown += [public(session, server) for session in hosted]
        shown += [public_recording(each, server) for each in stored]
    return shown


# -- for people ----------------------------------------------------------------------------------------------------


def _running(records: Iterable[SessionRecord]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("NAME", "STATE", "SINCE", "MODE", "RELAY", "SHARE", "MESSAGES", "COMMAND")]
    for record in records:
        now = time.time()
        age = console.duration(max(0.0, now - record.started_at))
        asking = len(_requests(record))
        share = f"{record.share}, {asking} asking" if asking else record.share
        relay, messages = printable(record.endpoint), _messages(record.spent(), now)
        rows.append((record.name, _state(record), age, record.mode, relay, share, messages, _command(record.command)))
    return rows


def _everything(records: Iterable[SessionRecord], kept: Iterable[tuple[Kept, State]]) -> list[tuple[str, ...]]:
    """The newest of a name goes by it; the others by what tells them apart as well."""
    from codewrap.cli.kept import how
    from codewrap.store.archive import Fate

    rows: list[tuple[str, ...]] = [("NAME", "STATE", "BEGAN", "ENDED", "OUTPUT", "COMMAND")]
    seen = set()
    for record in sorted(records, key=lambda record: record.started_at, reverse=True):
        seen.add(record.name)
        rows.append((record.name, _state(record), console.moment(record.started_at), "", "", _command(record.command)))
    for session, state in kept:
        name = f"{session.name}@{session.epoch[:ID_CHARACTERS]}" if session.name in seen else session.name
        seen.add(session.name)
        began = console.moment(session.started_at) if session.started_at else "?"
        ended = "" if state.fate is Fate.RUNNING else console.moment(state.at) if state.at else "?"
        output = "" if state.output_bytes is None else console.amount(state.output_bytes)
        last = f"{ended}, seen last" if state.fate is Fate.LOST else ended
        rows.append((name, how(state), began, last, output, _command(session.command)))
    return rows


def _of_server(session: Hosted, server: Gateway, columns: int) -> tuple[str, ...]:
    began, owner = console.moment(session.opened_at), f"(of {printable(session.owner, 64)})"
    if columns == 8:
        age = console.duration(max(0.0, time.time() - session.opened_at))
        return session.name, "running", age, "gateway", server.url, "", "", owner
    return session.name, "running", began, "", "", owner


def _recordings(stored: Iterable[StoredRecording], seen: set[str]) -> list[tuple[str, ...]]:
    """What they were is sealed: only who opens one learns its command."""
    from codewrap.cli.stored import state_of

    rows: list[tuple[str, ...]] = []
    for each in stored:
        name = f"{each.name}@{each.epoch[:ID_CHARACTERS]}" if each.name in seen else each.name
        seen.add(each.name)
        last = console.moment(each.updated_at) + ("" if each.ended else ", seen last")
        rows.append((name, state_of(each), console.moment(each.opened_at), last, "", f"(of {printable(each.owner, 64)}, stored)"))
    return rows


def _show(rows: Sequence[tuple[str, ...]]) -> None:
    """In columns. On a terminal a line is cut off at its edge: the command comes last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    most = shutil.get_terminal_size().columns if os.isatty(1) else None
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()[:most] for row in rows)
    sys.stdout.write("\n".join(lines) + "\n")


def _state(record: SessionRecord) -> str:
    """What one that runs does, as far as it is known."""
    does = read_activity(Path(record.log_directory))
    return does.state if does is not None else "running"


def _command(command: Sequence[str]) -> str:
    return printable(" ".join(command), COMMAND_CHARACTERS)


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
