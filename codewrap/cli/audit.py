"""`codewrap audit verify` and `codewrap audit show`: whether an audit log is as it was written, and what it says."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from codewrap import config
from codewrap.cli import console, environment
from codewrap.cli.kept import complete, find, running
from codewrap.errors import ConfigError
from codewrap.protocol.channels import check_session_name, printable
from codewrap.store import files
from codewrap.store.audit import Head, server_log, session_log
from codewrap.store.auditcheck import AuditReader, Verdict
from codewrap.store.auditcheck import verify as verify_log
from codewrap.store.auditlines import utc

_FOLLOW_S = 0.25
_CHAIN = frozenset({"at", "event", "accepted", "seq", "prev", "hash"})
_BARE = re.compile(r"[\w.:@=,;*/+-]+")

FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="PATH", help="Another log: its directory, or one of its files.")
]
SessionOption = Annotated[
    str | None,
    typer.Option("--session", metavar="NAME", help="The log of a session that runs or is kept here.", autocompletion=complete),
]


def verify(
    file: FileOption = None,
    session: SessionOption = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="SEQ:HASH", help="A head that was noted before: finds what was cut off at the end since."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check that an audit log is as it was written; by default that of this machine's serve-auth.

    Exit status: 0 whole, 1 broken (the line says where and why), 125 it cannot be read.
    """
    verdict = verify_log(_place(file, session), _head(head))
    if as_json:
        sys.stdout.write(console.json_line(_public(verdict)))
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _said(verdict, with_head=head is not None)))
    if verdict.problem is not None:
        raise typer.Exit(1)


def show(
    file: FileOption = None,
    session: SessionOption = None,
    user: Annotated[str | None, typer.Option(help="Only lines about this user, or by them.")] = None,
    event: Annotated[str | None, typer.Option(help="Only events of this kind, such as input.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DURATION", help="Only the last 90s, 30min, 8h or 7d.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with lines as they come, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they stand in the log.")] = False,
) -> None:
    """Show an audit log; by default that of this machine's serve-auth. Does not check it: `codewrap audit verify` does."""
    begin = "" if since is None else utc(time.time() - config.parse_duration("--since", since))
    reader = AuditReader(_place(file, session))
    try:
        while True:
            for members in _chosen(reader.read(), user, event, begin):
                sys.stdout.write(console.json_line(members) if as_json else _line(members))
            sys.stdout.flush()
            if not follow:
                return
            time.sleep(_FOLLOW_S)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _place(file: Path | None, session: str | None) -> Path:
    if file is not None and session is not None:
        raise ConfigError("--file", "cannot go with --session", "give one of them")
    if file is not None:
        return file
    values = environment.current().values
    if session is None:
        return server_log(files.state_directory(values))
    check_session_name(session.partition("@")[0])
    record = running(values, session)  # its log may be anywhere, by the settings it was started with
    return session_log(Path(record.log_directory) if record is not None else find(values, session).directory)


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,15}):([0-9a-f]{64})", text)
    if found is None:
        raise ConfigError("--head", "is not a head", "a number, a colon and 64 hexadecimal digits, as verify shows it")
    return Head(int(found[1]), found[2])


def _said(verdict: Verdict, *, with_head: bool) -> Iterator[str]:
    if verdict.problem is not None:
        yield f"broken: {printable(str(verdict.problem), 500)}"
        return
    yield f"whole: {_lines(verdict.lines)} in {_files(verdict.files)}; head {verdict.head}"
    if verdict.first_seq > 1:
        yield f"lines 1 to {verdict.first_seq - 1} are no longer kept"
    if verdict.torn:
        yield f"{_lines(verdict.torn)} {'was' if verdict.torn == 1 else 'were'} left unfinished by a process that was killed"
    if verdict.lost:
        yield f"{_lines(verdict.lost)} could not be written at the time, as the log itself says"
    if verdict.unfinished_bytes:
        yield f"{verdict.unfinished_bytes} bytes at the end are no whole line: being written, or a process was killed"
    if not with_head:
        yield "lines cut off at the end are only found with a --head that was noted before"


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _public(verdict: Verdict) -> dict[str, Any]:
    problem = verdict.problem
    return {
        "whole": problem is None,
        "files": verdict.files,
        "lines": verdict.lines,
        "first": verdict.first_seq,
        "head": str(verdict.head),
        "torn": verdict.torn,
        "lost": verdict.lost,
        "unfinished_bytes": verdict.unfinished_bytes,
        "problem": None if problem is None else {"file": problem.file, "line": problem.line, "why": problem.why},
    }


def _chosen(lines: Iterator[dict[str, Any]], user: str | None, event: str | None, begin: str) -> Iterator[dict[str, Any]]:
    for members in lines:
        if event is not None and members.get("event") != event:
            continue
        if user is not None and user not in (members.get("user"), members.get("by")):
            continue
        if str(members.get("at", "")) >= begin:
            yield members


def _line(members: Mapping[str, Any]) -> str:
    """For people: when, what, whether, and the rest. Whoever wrote the file, nothing in it acts on a terminal."""
    verdict = {True: "accepted", False: "refused"}.get(members["accepted"]) if _is_decision(members) else None
    parts = [_value(members.get("at", "?")), _value(members.get("event", "?")), *([verdict] if verdict else [])]
    parts += [f"{_value(name)}={_value(value)}" for name, value in members.items() if name not in _CHAIN]
    return " ".join(parts) + "\n"


def _is_decision(members: Mapping[str, Any]) -> bool:
    return isinstance(members.get("accepted"), bool)


def _value(value: object) -> str:
    text = value if isinstance(value, str) and _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return printable(text, 300)
