"""`codewrap replay`: a recording played on this terminal, a session's or an asciicast file's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from codewrap.cli import console, environment
from codewrap.cli.recordings import SESSION_HELP, Recording, complete_recording, find
from codewrap.errors import ConfigError
from codewrap.protocol.asciicast import Event
from codewrap.protocol.channels import is_session_name
from codewrap.protocol.geometry import Size
from codewrap.store.castfile import CastReader


def replay(
    session: Annotated[
        str,
        typer.Argument(
            metavar="SESSION|FILE",
            help=f"{SESSION_HELP} Or a .cast file of asciinema's.",
            autocompletion=complete_recording,
        ),
    ],
    speed: Annotated[float, typer.Option(metavar="N", help="So many times as fast.")] = 1.0,
    idle_limit: Annotated[
        float | None, typer.Option("--idle-limit", metavar="SECONDS", min=0, help="Let no pause be longer than this.")
    ] = None,
) -> None:
    """Play a recording on this terminal.

    Keys: space pauses, . goes one step on, left and right go 5 seconds back and on, + and - change the speed, q leaves.
    """
    if not 0.01 <= speed <= 1000:
        raise ConfigError("--speed", "is not between 0.01 and 1000")
    if idle_limit is not None and math.isnan(idle_limit):
        raise ConfigError("--idle-limit", "is no number of seconds")
    if not environment.is_interactive():
        raise ConfigError("replay", "needs a terminal", "codewrap logs or export write a recording elsewhere")
    tape = tape_of(session)
    console.leave(_play(tape, speed, math.inf if idle_limit is None else idle_limit))


class Tape:
    """What is played: a log or a file."""

    def __init__(self, source: Recording | CastReader) -> None:
        self._source = source

    @property
    def size(self) -> Size:
        """The terminal's in the beginning."""
        source = self._source
        return source.header().size if isinstance(source, Recording) else source.header.size

    def events(self) -> Iterator[Event]:
        """From the beginning."""
        return self._source.events()

    def times(self) -> Iterator[float]:
        """When something happened."""
        source = self._source
        if isinstance(source, Recording):
            reader = source.open()
            try:
                yield from (entry.time_s for entry in reader.each_entry())
            finally:
                reader.close()
        else:
            yield from (event.time_s for event in source.events())


def tape_of(text: str) -> Tape:
    """A session by its name; what looks like a path is one. Raises SessionNotFound, StoreError."""
    if is_session_name(text.partition("@")[0]) and "/" not in text and not text.endswith(".cast"):
        return Tape(Recording(find(text)))
    return Tape(CastReader(Path(text)))


def _play(tape: Tape, speed: float, idle_limit_s: float) -> int:
    from codewrap.terminal.local import RawTerminal
    from codewrap.viewer.playback import Playback, length_s
    from codewrap.viewer.replay import Replay

    playback = Playback(tape.size, tape.events, idle_limit_s)
    length = length_s(tape.times(), idle_limit_s)
    with RawTerminal(0):
        return Replay(playback, length, speed).run(0)
