"""`codewrap attach` to a session that is over, where its server stores the recording: its last screen, or all that it wrote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from codewrap.cli import console, stored
from codewrap.cli.recordings import Recording
from codewrap.errors import EXIT_LOST, AuthError, CodewrapError, SessionNotFound, TransportError
from codewrap.protocol.asciicast import Code
from codewrap.store.archive import Fate, State
from codewrap.store.recording import Account, Written
from codewrap.terminal.child import get_size

if TYPE_CHECKING:
    from codewrap.cli.destination import Destination
    from codewrap.config import Gateway


def show(to: Destination, *, quiet: bool) -> int | None:
    """Its exit status; None where there is nothing to show, or the session may still run."""
    server = _server(to)
    if server is None:
        return None
    try:
        recording = Recording(stored.fetch(to.here, server, to.name))
        state = recording.kept.state
        if state.fate is Fate.RUNNING:
            return None
        if os.isatty(1):
            _show_screen(recording)
        else:
            _write_all(recording)
    except (SessionNotFound, AuthError, TransportError, BrokenPipeError):
        return None
    except CodewrapError as error:
        console.say(str(error))
        return None
    if not quiet:
        console.say(_words(to.name, state))
    return EXIT_LOST if state.status is None else state.status


def _server(to: Destination) -> Gateway | None:
    """The one that would have been gone through."""
    from codewrap.config import Gateway, Mode

    if isinstance(to.way, Gateway):
        return to.way
    return to.way.gateway if to.record is None and to.way.mode is Mode.GATEWAY else None


def _words(name: str, state: State) -> str:
    when = "" if state.at is None else f" {console.moment(state.at)}"
    if state.fate is Fate.LOST:
        return f"session {name} was lost: its host is gone; last heard of{when}"
    how = f"killed by signal {state.signal}" if state.signal is not None else f"exit {state.code}"
    return f"session {name} has ended{when}: {how}; this is how it was then"


def _show_screen(recording: Recording) -> None:
    """As text with colours, which a terminal of any size takes; what is wider is cut."""
    from codewrap.terminal.emulator import Screen

    screen = Screen(recording.header().size, scrollback_lines=0)
    for event in recording.events():
        if event.code is Code.OUTPUT:
            screen.feed(event.data.encode())
        elif event.size is not None:
            screen.resize(event.size)
    local = get_size(1)
    cols = min(screen.size.cols, local.cols) if local else screen.size.cols
    rows = [row.text for row in screen.rows()]
    filled = max((number for number, text in enumerate(rows) if text.strip()), default=-1)
    for row in range(filled + 1):
        _write(f"{screen.drawn_row(row, 0, cols)}\x1b[0m\r\n".encode(errors="replace"))


def _write_all(recording: Recording) -> None:
    """A file or pipe gets the very bytes, as from a session that runs."""
    reader = recording.open()
    try:
        for moment in Account(reader).advance(final=True):
            if isinstance(moment, Written):
                _write(moment.data)
    finally:
        reader.close()


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
