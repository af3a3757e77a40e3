"""`codewrap logs`: what a session wrote, on stdout, now or as it goes on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from codewrap import config
from codewrap.cli import console
from codewrap.cli.recordings import SESSION_HELP, Recording, complete_recording
from codewrap.cli.recordings import follow as follow_recording
from codewrap.errors import ConfigError
from codewrap.protocol.plaintext import PlainText
from codewrap.protocol.safety import Sanitizer
from codewrap.store.archive import Fate
from codewrap.store.recording import Account, Moment, Written
from codewrap.terminal.child import get_size

if TYPE_CHECKING:
    from codewrap.cli.stored import Fetched

_FOLLOW_S = 0.1
_TIMES = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%H:%M:%S", "%H:%M")


def logs(
    session: Annotated[str, typer.Argument(metavar="SESSION", help=SESSION_HELP, autocompletion=complete_recording)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until the session ends.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The very bytes, also to a terminal (dangerous).")] = False,
    text: Annotated[bool, typer.Option("--text", help="Lines of text without escape sequences.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="5m|TIME", help="Only the last 90s, 5m, 8h or 7d, or from 14:05 or 2026-11-23T14:05 on.")
    ] = None,
) -> None:
    """Show what a session wrote.

    On a terminal what could do harm there is left out, as in attach; a file or pipe gets the very bytes. Exit status 0, whatever
    the session's was.
    """
    if raw and text:
        raise ConfigError("--raw", "cannot go with --text", "give one of them")
    kept, elsewhere = follow_recording(session)
    recording = Recording(kept)
    began = recording.kept.started_at  # 0 where that is not known: then everything is shown
    since_s = parse_since(since, time.time()) - began if since is not None and began else 0.0
    shown = Shown(_filters(raw=raw, text=text), since_s)
    try:
        _show(recording, shown, elsewhere, follow=follow)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    finally:
        if elsewhere is not None:
            elsewhere.close()
        with contextlib.suppress(BrokenPipeError):
            shown.end()
    state = recording.kept.state
    if state.fate is Fate.LOST:
        seen = "" if state.at is None else f"; last seen {console.moment(state.at)}"
        console.say(f"session {recording.kept.name} was lost: its host is gone and has said nothing{seen}")


def _show(recording: Recording, shown: Shown, elsewhere: Fetched | None, *, follow: bool) -> None:
    reader = recording.open()
    try:
        account = Account(reader)
        while True:
            is_over = recording.is_over  # asked before the log is read: what its host wrote last is in it then
            shown.show(account.advance(final=is_over))
            if not follow or is_over or account.ended:
                return
            time.sleep(_FOLLOW_S)
            if elsewhere is not None:
                elsewhere.more()
    finally:
        reader.close()


class Filter:
    """One stream's way to a descriptor. ``feed`` and ``end`` give what is to be written."""

    def __init__(self, fd: int, feed: Callable[[bytes], bytes], end: Callable[[], bytes]) -> None:
        self._fd = fd
        self._feed = feed
        self._end = end

    def show(self, data: bytes) -> None:
        """Write what of it is to be seen. Raises BrokenPipeError."""
        self._write(self._feed(data))

    def end(self) -> None:
        """Write what is left."""
        self._write(self._end())

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]


class Shown:
    """The two streams of a session, each to its own of ours, from ``since_s`` on (since the session began)."""

    def __init__(self, filters: dict[str, Filter], since_s: float) -> None:
        self._filters = filters
        self._since_s = since_s

    def show(self, moments: Iterable[Moment]) -> None:
        """Write the output among them. Raises BrokenPipeError."""
        for moment in moments:
            if moment.time_s < self._since_s:
                continue
            if isinstance(moment, Written):
                self._filters[moment.stream].show(moment.data)
            elif moment.what == "gap":
                console.say("gap: older output is not held any more")

    def end(self) -> None:
        """Nothing follows."""
        for each in self._filters.values():
            each.end()


def _filters(*, raw: bool, text: bool) -> dict[str, Filter]:
    return {stream: _filter(fd, raw=raw, text=text) for fd, stream in ((1, "stdout"), (2, "stderr"))}


def _filter(fd: int, *, raw: bool, text: bool) -> Filter:
    if text:
        plain = PlainText()
        return Filter(fd, lambda data: plain.feed(data).encode(), lambda: plain.end().encode())
    if raw or not os.isatty(fd):
        return Filter(fd, lambda data: data, bytes)
    safe = Safe(fd)
    return Filter(fd, safe.feed, safe.end)


class Safe:
    """What a terminal may be shown, and what undoes it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._sanitizer = Sanitizer()
        self._changed = False

    def feed(self, data: bytes) -> bytes:
        """More of the stream."""
        shown = self._sanitizer.feed(data)
        self._changed = self._changed or b"\x1b" in shown
        return shown

    def end(self) -> bytes:
        """Puts the terminal right again."""
        size = get_size(self._fd)
        return self._sanitizer.restore(size.cols if size else 80) if self._changed else b""


def parse_since(text: str, now: float) -> float:
    """Unix time, out of a length of time before ``now``, or a moment by this machine's clock. Raises ConfigError."""
    if text[-1:].isalpha() and text[:1].isdigit() and text.isalnum():
        return now - config.parse_duration("--since", text)
    for form in _TIMES:
        with contextlib.suppress(ValueError, OverflowError):
            moment = datetime.strptime(text, form)
            if "%Y" not in form:
                moment = datetime.combine(datetime.fromtimestamp(now), moment.time())
            return moment.timestamp()
    with contextlib.suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).timestamp()
    raise ConfigError("--since", "is neither a length of time nor a time", "for example 5m, 8h, 14:05 or 2026-11-23T14:05")
