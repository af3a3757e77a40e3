"""`codewrap export`: a recording as a file that other programs read: asciicast, text, a page, a picture."""

from __future__ import annotations

import contextlib
import enum
import math
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from codewrap.cli.recordings import SESSION_HELP, Recording, complete_recording, find
from codewrap.errors import ConfigError, StoreError
from codewrap.protocol.asciicast import Code, Encoder, Event
from codewrap.protocol.channels import printable
from codewrap.store.files import create_private
from codewrap.terminal import painting
from codewrap.terminal.transcript import Line, Transcript


class Format(enum.StrEnum):
    """What `--format` may say."""

    CAST = "cast"
    CAST2 = "cast2"
    TXT = "txt"
    HTML = "html"
    SVG = "svg"


def export(
    session: Annotated[str, typer.Argument(metavar="SESSION", help=SESSION_HELP, autocompletion=complete_recording)],
    form: Annotated[
        Format,
        typer.Option("--format", "-f", help="asciicast version 3 or 2, all its text, that in colour, or its last screen."),
    ] = Format.CAST,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there (only you can read it), not to stdout.")
    ] = None,
    at: Annotated[
        float | None, typer.Option("--at", metavar="SECONDS", min=0, help="Only what had happened by then, since it began.")
    ] = None,
) -> None:
    """Write a session's recording as a file.

    cast and cast2 play in asciinema and its player, cast from asciinema 3.0 on. html and svg stand alone and run nothing. Of a
    session that runs it is what there is now.
    """
    if at is not None and math.isnan(at):
        raise ConfigError("--at", "is no number of seconds")
    recording = Recording(find(session))
    parts = pieces(recording, form, at)
    if output is None or str(output) == "-":
        _to_stdout(parts)
    else:
        _to_file(parts, output)


def pieces(recording: Recording, form: Format, until_s: float | None) -> Iterator[str]:
    """The file, piece by piece; never much of it at once."""
    events = recording.events(until_s)
    match form:
        case Format.CAST:
            return cast(recording, events, 3)
        case Format.CAST2:
            return cast(recording, events, 2)
        case Format.TXT:
            return (f"{line.text}\n" for line in lines(recording, events))
        case Format.HTML:
            cols = recording.header().size.cols
            return painting.html_page(_title(recording), cols, (line.cells() for line in lines(recording, events)))
        case Format.SVG:
            return _picture(recording, events)


def cast(recording: Recording, events: Iterable[Event], version: int) -> Iterator[str]:
    """An asciicast. The size that the header says already is no event."""
    header = recording.header()
    encoder = Encoder(version)
    yield encoder.header(header)
    size = header.size
    for event in events:
        if event.size is not None and event.size == size:
            continue
        size = event.size or size
        yield encoder.event(event)


def lines(recording: Recording, events: Iterable[Event]) -> Iterator[Line]:
    """All its text, line by line."""
    transcript = Transcript(recording.header().size)
    for event in events:
        _feed(transcript, event)
        yield from transcript.take()
    yield from transcript.end()


def _feed(transcript: Transcript, event: Event) -> None:
    if event.code is Code.OUTPUT:
        transcript.feed(event.data.encode())
    elif event.size is not None:
        transcript.resize(event.size)


def _picture(recording: Recording, events: Iterable[Event]) -> Iterator[str]:
    from codewrap.terminal.emulator import Screen

    screen = Screen(recording.header().size, scrollback_lines=0)
    for event in events:
        if event.code is Code.OUTPUT:
            screen.feed(event.data.encode())
        elif event.size is not None:
            screen.resize(event.size)
    yield from painting.svg(_title(recording), screen.size, (row.cells() for row in screen.rows()), screen.cursor)


def _title(recording: Recording) -> str:
    return printable(f"{recording.kept.name}: {' '.join(recording.kept.command)}", 200)


def _to_stdout(parts: Iterable[str]) -> None:
    try:
        for part in parts:
            sys.stdout.buffer.write(part.encode(errors="replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _to_file(parts: Iterable[str], path: Path) -> None:
    """In the place of what is there, once all of it is written. What is no file (a pipe, /dev/...) is written to as it is."""
    try:
        if path.is_dir():
            raise ConfigError("--output", "is a directory", "name a file in it")
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            with path.open("wb") as special:
                _write(special.fileno(), parts)
            return
        temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}")
        fd = create_private(temporary)
        try:
            _write(fd, parts)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(fd)
    except OSError as error:
        raise StoreError(str(path), f"cannot be written: {error.strerror}") from error


def _write(fd: int, parts: Iterable[str]) -> None:
    with os.fdopen(os.dup(fd), "wb") as file:
        for part in parts:
            file.write(part.encode(errors="replace"))
