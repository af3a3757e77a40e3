"""`codewrap show`: all that is known of one session: one that runs or is kept here, or that only the server knows or stores."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codewrap.cli import console, environment, hosted
from codewrap.cli.environment import Environment
from codewrap.cli.kept import NOT_HERE, SESSION_HELP, complete, how, look_for
from codewrap.errors import SessionNotFound
from codewrap.protocol.channels import printable
from codewrap.store.activity import read_activity
from codewrap.store.archive import Fate, Kept
from codewrap.store.spent import read_spent

if TYPE_CHECKING:
    from codewrap.config import Gateway
    from codewrap.transport.gateway import Hosted

_VALUE_CHARACTERS = 4000
# Beside the log: what a session in the background said at its end, and what its uplink had to say.
_SAID = ("host.log", "uplink.log")


def show(
    session: Annotated[str, typer.Argument(metavar="NAME", help=SESSION_HELP, autocompletion=complete)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show all that is known of a session: what it runs, since when, how it ended, and where its log is."""
    here = environment.current()
    kept = look_for(here.values, session)
    if kept is not None:
        shown = public(kept)
        said = _said(kept, shown)
    else:
        shown, said = _at_server(here, session)
    if as_json:
        sys.stdout.write(console.json_line(shown))
        return
    facts = list(said)
    width = max(len(name) for name, _ in facts)
    sys.stdout.write("".join(f"{name:<{width}}  {printable(value, _VALUE_CHARACTERS)}\n" for name, value in facts))


def public(kept: Kept) -> dict[str, Any]:
    """For programs: as `ls --all --json` has it, and what takes longer to find out."""
    spent, state = read_spent(kept.directory), kept.state
    does = read_activity(kept.directory) if state.fate is Fate.RUNNING else None
    return kept.public(state) | {
        "activity": None if does is None else does.public(),
        "server": None,
        "disk_bytes": kept.size_bytes(),
        "spent": None if spent is None else spent.public(time.time()),
    }


def _at_server(here: Environment, session: str) -> tuple[dict[str, Any], Iterator[tuple[str, str]]]:
    """One that runs there, or else what is stored there. Raises SessionNotFound, AuthError, TransportError."""
    server = hosted.gateway(here)
    if server is None:
        raise SessionNotFound(session, NOT_HERE)
    for there in hosted.of_server(server, session):
        return hosted.public(there, server), _said_of_server(there, server)
    from codewrap.cli import stored

    kept = stored.fetch(here, server, session)
    shown = public(kept) | {"server": server.url, "stored": True, "log_directory": None}
    return shown, ((name, f"{server.url} (recording)" if name == "log" else value) for name, value in _said(kept, shown))


def _said(kept: Kept, shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    state = kept.state
    yield "name", f"{kept.name} (this one: {kept.name}@{kept.epoch})"
    yield "state", how(state)
    yield "command", " ".join(kept.command) or "?"
    yield "directory", kept.working_directory or "?"
    yield "began", _moment(kept.started_at)
    if state.fate is Fate.RUNNING:
        if (does := read_activity(kept.directory)) is not None:
            asks = f": {does.prompt}" if does.prompt else ""
            lasts = console.duration(max(0.0, time.time() - does.since))
            yield "does", f"{does.state} for {lasts} ({', '.join(does.evidence)}){asks}"
        yield "process", str(kept.pid or "?")
        yield "attach", f"codewrap attach {kept.name}"
    else:
        yield ("seen last" if state.fate is Fate.LOST else "ended"), _moment(state.at)
    if state.duration_s is not None:
        yield "lasted", console.duration(state.duration_s)
    if state.output_bytes is not None:
        yield "output", console.amount(state.output_bytes)
    if kept.pty is not None:
        yield "terminal", f"{kept.size.cols} x {kept.size.rows} at the beginning" if kept.pty and kept.size else "none (pipes)"
    sealed = "end-to-end encrypted" if kept.encrypted else "NOT encrypted"
    yield "relay", f"{kept.endpoint or '?'} ({kept.mode or '?'}); {sealed}"
    yield "share", kept.share or "?"
    if shown["spent"] and shown["spent"]["messages"]:
        yield "messages", console.count(shown["spent"]["messages"])
    yield "log", f"{kept.directory} ({console.amount(shown['disk_bytes'])}{'' if kept.kept else ', goes with the session'})"
    if said := [str(kept.directory / name) for name in _SAID if _has_text(kept.directory / name)]:
        yield "said", ", ".join(said)


def _said_of_server(session: Hosted, server: Gateway) -> Iterator[tuple[str, str]]:
    yield "name", session.name
    yield "state", "running"
    yield "server", server.url
    yield "owner", session.owner
    yield "began", _moment(session.opened_at)
    yield "seen last", _moment(session.seen_at)
    yield "attach", f"codewrap attach {session.name}"


def _has_text(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _moment(unix_s: float | None) -> str:
    return console.moment(unix_s) if unix_s else "?"
