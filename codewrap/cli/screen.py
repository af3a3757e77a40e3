"""`codewrap screen`: what a session shows now, as text, cells or a picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codewrap.cli import console, environment
from codewrap.cli.attach import complete_session
from codewrap.errors import EXIT_NOT_ATTACHED, AuthError, ConfigError, StoreError, TransportError

if TYPE_CHECKING:
    from codewrap.terminal.shown import Shown

# As private as the session.
_MODE = 0o600


def screen(
    session: Annotated[
        str,
        typer.Argument(metavar="SESSION", help="Name of the session, or a link; - reads it.", autocompletion=complete_session),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Size, cursor, title, modes, text and cells.")] = False,
    as_png: Annotated[bool, typer.Option("--png", help=r"A picture. Needs codewrap\[png].")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")] = None,
    timeout: Annotated[str, typer.Option(help="How long to wait for the session: 30s, 500ms, 2m.")] = "30s",
    no_encrypt: Annotated[
        bool, typer.Option("--no-encrypt", envvar="CODEWRAP_NO_ENCRYPT", help="The session was started with --no-encrypt.")
    ] = False,
    mode: Annotated[str | None, typer.Option(envvar="CODEWRAP_MODE", help="embedded, direct or gateway; found out.")] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="TLS to the server; on unless it is this machine.")] = None,
) -> None:
    """Show what a session shows now.

    Exit status: 0; 1 it has ended; 124 no answer in time; 254 lost; 255 not attached.
    """
    from codewrap.cli.destination import Destination
    from codewrap.cli.remotes import attached, parse_timeout

    timeout_s = parse_timeout("--timeout", timeout)
    if as_json and as_png:
        raise ConfigError("--png", "and --json do not go together")
    if as_png:
        _check_picture(output)
    try:
        to = Destination.find(session, environment.current(), mode, tls=tls, quiet=True)
        remote = attached(to, timeout_s, encrypted=not no_encrypt, read_only=True)
        try:
            shown, epoch, offset = remote.seen()
        finally:
            remote.close()
    except (TransportError, AuthError) as error:
        console.fail(error)
        console.leave(EXIT_NOT_ATTACHED)
    _write(output, _picture(shown) if as_png else _json(to.name, epoch, offset, shown) if as_json else _text(shown))
    console.leave(0)


def _check_picture(output: Path | None) -> None:
    """Before the session is bothered. Raises ConfigError."""
    if output is None and os.isatty(1):
        raise ConfigError("--png", "is nothing for a terminal", "write it to a file with -o FILE")
    try:
        import codewrap.terminal.raster  # noqa: F401
    except ImportError as error:
        raise ConfigError("--png", "needs packages that are not installed", "pip install 'codewrap[png]'") from error


def _picture(shown: Shown) -> bytes:
    from codewrap.terminal.raster import png

    return png(shown)


def _json(name: str, epoch: str, offset: int, shown: Shown) -> bytes:
    return console.json_line({"session": name, "epoch": epoch, "offset": offset, **shown.document()}).encode()


def _text(shown: Shown) -> bytes:
    return shown.plain.encode(errors="replace")


def _write(output: Path | None, data: bytes) -> None:
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE), "wb") as file:
            file.write(data)
    except OSError as error:
        raise StoreError(str(output), f"cannot be written: {error.strerror}") from error
