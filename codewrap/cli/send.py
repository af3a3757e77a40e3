"""`codewrap send`: types into a session, waits until that has reached the command, and, if wanted, for what comes of it."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from codewrap.cli import console, environment
from codewrap.cli.arguments import as_given
from codewrap.cli.attach import complete_session
from codewrap.errors import EXIT_NOT_ATTACHED, AuthError, ConfigError, SessionEnded, TransportError, WaitTimeout

if TYPE_CHECKING:
    from codewrap.cli.destination import Destination

FROM_STDIN = "-"


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What to type, in this order, and what to wait for."""

    text: bytes
    paste: bool
    keys: tuple[str, ...]
    pattern: re.Pattern[str] | None
    timeout_s: float
    encrypted: bool
    quiet: bool


def send(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="Name of the session, or a link to one.", autocompletion=complete_session)
    ],
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What to type; - reads it from stdin.")] = None,
    keys: Annotated[str | None, typer.Option(help="Keys to press after it, such as C-c,Enter,Up,F5,M-x.")] = None,
    enter: Annotated[bool, typer.Option("--enter", "-e", help="Press Enter at the end.")] = False,
    paste: Annotated[bool, typer.Option("--paste", help="Hand TEXT over as a paste, not as typing.")] = False,
    wait_for: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Wait until what is printed or drawn then has it.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="For all of it: 30s, 500ms, 2m.")] = "30s",
    no_encrypt: Annotated[
        bool, typer.Option("--no-encrypt", envvar="CODEWRAP_NO_ENCRYPT", help="The session was started with --no-encrypt.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="CODEWRAP_QUIET", help="No lines of our own.")] = False,
    mode: Annotated[str | None, typer.Option(envvar="CODEWRAP_MODE", help="embedded, direct or gateway; found out.")] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="TLS to the server; on unless it is this machine.")] = None,
) -> None:
    """Type into a session, and wait until its command was given that, or until REGEX is seen.

    Exit status: 0; 1 the session has ended, before REGEX was seen; 124 not in time; 254 lost; 255 not attached, or may not type.
    """
    from codewrap.cli.destination import Destination
    from codewrap.cli.remotes import parse_pattern, parse_timeout

    plan = SendPlan(
        text=_text(text, session),
        paste=paste,
        keys=(*_keys(keys), *(("Enter",) if enter else ())),
        pattern=None if wait_for is None else parse_pattern("--wait-for", as_given(wait_for)),
        timeout_s=parse_timeout("--timeout", timeout),
        encrypted=not no_encrypt,
        quiet=quiet,
    )
    if not plan.text and not plan.keys:
        raise ConfigError("TEXT", "is missing", "or --keys, or --enter")
    here = environment.current()
    try:
        _send(Destination.find(session, here, mode, tls=tls, quiet=quiet), plan)
        status = 0
    except (TransportError, AuthError) as error:
        console.fail(error)
        status = EXIT_NOT_ATTACHED
    except (SessionEnded, WaitTimeout) as error:
        status = error.exit_status if quiet else console.fail(error)
    console.leave(status)


def _send(to: Destination, plan: SendPlan) -> None:
    from codewrap.cli.remotes import attached

    deadline_s = time.monotonic() + plan.timeout_s
    say = _nothing if plan.quiet else console.say
    remote = attached(to, plan.timeout_s, encrypted=plan.encrypted, read_only=False, say=say)
    try:
        data = remote.as_paste(plan.text) if plan.paste else remote.as_text(plan.text)
        remote.type(data + remote.as_keys(plan.keys), max(0.0, deadline_s - time.monotonic()))
        if plan.pattern is not None:
            remote.find(plan.pattern, max(0.0, deadline_s - time.monotonic()))
    except WaitTimeout as error:
        raise WaitTimeout(error.name, error.wanted, plan.timeout_s) from error
    finally:
        remote.close()


def _text(text: str | None, session: str) -> bytes:
    if text != FROM_STDIN:
        return b"" if text is None else as_given(text).encode(errors="surrogateescape")
    if session == FROM_STDIN:
        raise ConfigError("TEXT", "and the link cannot both be read from stdin")
    return sys.stdin.buffer.read()


def _keys(keys: str | None) -> list[str]:
    from codewrap.viewer import keynames

    names = [] if keys is None else keynames.split(keys)
    try:
        keynames.check(names)
    except keynames.UnknownKey as error:
        raise ConfigError("--keys", f"has no key {error.key!r}", "such as C-c, M-x, Enter, Up, F5, Comma") from error
    return names


def _nothing(_: str) -> None:
    pass
