"""`codewrap search`: which sessions wrote something, and when."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from codewrap.cli import console, environment
from codewrap.cli.logs import parse_since
from codewrap.errors import ConfigError
from codewrap.protocol.channels import printable
from codewrap.protocol.wanted import Wanted
from codewrap.store import files
from codewrap.store.archive import Archive
from codewrap.store.catalog import Catalog
from codewrap.store.retrieval import Found, Hit, Retrieval, Scope, begun

_HIGHLIGHT, _DIM, _PLAIN = "\x1b[1;31m", "\x1b[2m", "\x1b[0m"
# Of a line that is longer, what is round the first place in it. A terminal has room for less.
MOST_CHARACTERS: Final = 1000
_LEAST_CHARACTERS: Final = 40
_BEFORE: Final = 0.3
_MANY_LOGS: Final = 200
_NO_LIMIT: Final = sys.maxsize


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for in what sessions wrote, within a line.")],
    regex: Annotated[bool, typer.Option("--regex", "-e", help="TEXT is a regular expression (Python's).")] = False,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", "-i", help="Upper and lower case are the same.")] = False,
    name: Annotated[str, typer.Option(metavar="GLOB", help="Only sessions of such names, for example 'build-*'.")] = "*",
    since: Annotated[
        str | None, typer.Option(metavar="7d|TIME", help="Only what was written in the last 8h or 7d, or from 2026-11-23 on.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many sessions, the newest; 0: all.")] = 50,
    lines: Annotated[int, typer.Option(min=0, help="At most so many lines of each, the first; 0: all.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
) -> None:
    """Find text in all that your sessions on this machine wrote, running ones too.

    The newest session comes first. Exit status 0 when something was found, 1 when nothing was.
    """
    scope = Scope(name, None if since is None else parse_since(since, time.time()), limit or _NO_LIMIT, lines or _NO_LIMIT)
    wanted = _wanted(text, regex=regex, ignore_case=ignore_case)
    sessions = files.state_directory(environment.current().values) / "sessions"
    retrieval = Retrieval(Archive(sessions), Catalog(sessions), wanted, scope, _say_reads)
    found = retrieval.run()
    with contextlib.suppress(BrokenPipeError):
        _show(found, as_json=as_json)
        sys.stdout.flush()
        _say_what_is_missing(found, retrieval, limit)
    raise typer.Exit(0 if found else 1)


def _wanted(text: str, *, regex: bool, ignore_case: bool) -> Wanted:
    if not text:
        raise ConfigError("TEXT", "is empty", "say what to look for")
    if "\n" in text:
        raise ConfigError("TEXT", "has more than one line", "what is looked for stands within one")
    try:
        return Wanted(text, regex=regex, ignore_case=ignore_case)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError("TEXT", f"is not a regular expression: {error}") from error


def _show(found: list[Found], *, as_json: bool) -> None:
    try:
        if as_json:
            sys.stdout.write(console.json_line([public(each) for each in found]))
            return
        painter = Painter.of_stdout()
        for each in found:
            for hit in each.hits:
                sys.stdout.write(painter.line(each, hit))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say_reads(logs: int) -> None:
    if logs >= _MANY_LOGS and os.isatty(2):
        console.say(f"reading {logs} sessions that were not searched before ...")


def _say_what_is_missing(found: list[Found], retrieval: Retrieval, limit: int) -> None:
    if not found:
        console.say("found nothing")
    if more := sum(each.count - len(each.hits) for each in found):
        console.say(f"{more} more lines in these sessions (--lines 0 shows all)")
    if limit and len(found) >= limit:
        console.say(f"the newest {limit} sessions; there may be more (--limit 0 looks for all)")
    if retrieval.cut:
        names = sorted(retrieval.cut)
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        console.say(f"not searched: the middle of very long output (of {shown}); codewrap logs --text NAME has it")


def label(found: Found) -> str:
    """As `logs` and the others take it: of an earlier session the name alone would be another's."""
    return found.kept.name if found.is_newest else f"{found.kept.name}@{found.kept.epoch[:8]}"


def public(found: Found) -> dict[str, Any]:
    """For programs."""
    kept = found.kept
    state = kept.state
    return {
        "name": kept.name,
        "epoch": kept.epoch,
        "session": label(found),
        "state": state.fate.value,
        "status": state.status,
        "command": list(kept.command),
        "directory": kept.working_directory,
        "started_at": kept.started_at or None,
        "count": found.count,
        "left_out_bytes": found.left_out,
        "lines": [_public_hit(found, hit) for hit in found.hits],
    }


def _public_hit(found: Found, hit: Hit) -> dict[str, Any]:
    start, end = window(hit, MOST_CHARACTERS)
    return {
        "time_s": hit.time_s,
        "at": round(found.kept.started_at + hit.time_s, 2) if found.kept.started_at else None,
        "line": hit.line[start:end],
        "matches": [[at - start, min(to, end) - start] for at, to in hit.spans if start <= at < end],
        "cut": end - start < len(hit.line),
    }


class Painter:
    """Lines as they are shown: on a terminal of ``columns``, or (0) whole; ``styled``: what was found stands out."""

    def __init__(self, *, styled: bool, columns: int = 0) -> None:
        self._styled = styled
        self._columns = columns
        self._today = time.localtime()[:3]

    @classmethod
    def of_stdout(cls) -> Painter:
        """As fits where stdout goes."""
        if not os.isatty(1):
            return cls(styled=False)
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return cls(styled=not plain, columns=shutil.get_terminal_size().columns)

    def line(self, found: Found, hit: Hit) -> str:
        """One line, with its end. Nothing in it does anything to a terminal but what is ours."""
        head = f"{label(found)} {self._moment(found, hit)}: "
        room = max(_LEAST_CHARACTERS, self._columns - len(head)) if self._columns else MOST_CHARACTERS
        text = "".join(self._styled_as(_HIGHLIGHT, part) if marked else part for part, marked in parts(hit, room))
        return f"{self._styled_as(_DIM, head)}{text}\n"

    def _moment(self, found: Found, hit: Hit) -> str:
        since = f"+{length(hit.time_s)}"
        if not found.kept.started_at:
            return since
        with contextlib.suppress(OverflowError, ValueError, OSError):
            at = time.localtime(begun(found.kept) + hit.time_s)
            return f"{time.strftime('%H:%M:%S' if at[:3] == self._today else '%Y-%m-%d %H:%M:%S', at)} {since}"
        return since

    def _styled_as(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._styled and text else text


def parts(hit: Hit, room: int) -> Iterator[tuple[str, bool]]:
    """What is shown of the line, in ``room`` characters or little more, and whether it is what was looked for."""
    start, end = window(hit, room)
    yield "…" if start else "", False
    at = start
    for begins, ends in hit.spans:
        if begins >= end:
            break
        if ends > at:
            yield _shown(hit.line[at : max(at, begins)]), False
            yield _shown(hit.line[max(at, begins) : min(ends, end)]), True
            at = min(ends, end)
    yield _shown(hit.line[at:end]), False
    yield "…" if end < len(hit.line) else "", False


def window(hit: Hit, room: int) -> tuple[int, int]:
    """From where to where the line is shown: so that the first place in it can be seen."""
    first = hit.spans[0][0] if hit.spans else 0
    if len(hit.line) <= room:
        return 0, len(hit.line)
    start = min(max(0, first - int(room * _BEFORE)), len(hit.line) - room)
    return start, start + room


def _shown(text: str) -> str:
    return printable(text.replace("\t", " "), _NO_LIMIT)


def length(seconds: float) -> str:
    """A time since the beginning: 7s, 4m03s, 1h04m03s."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes:02}m{rest:02}s"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
