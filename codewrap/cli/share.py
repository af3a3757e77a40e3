"""`codewrap share`: a link to a session for somebody without an account, as text and as a QR code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import typer

from codewrap import config
from codewrap.cli import console, environment
from codewrap.cli.attach import complete_session
from codewrap.config import Gateway, Mode
from codewrap.errors import CodewrapError, SessionNotShareable, TransportError
from codewrap.protocol.channels import check_session_name, printable
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore

COLUMNS = 80
_ADVICE = {
    Mode.EMBEDDED.value: "it is for this machine alone; start it with CODEWRAP_URL and CODEWRAP_TOKEN of a serve-auth set",
    Mode.DIRECT.value: "it does not go through serve-auth; start it with CODEWRAP_URL and CODEWRAP_TOKEN set, and --mode gateway",
}
_NO_SERVER = "set CODEWRAP_URL and CODEWRAP_TOKEN of the codewrap serve-auth that it goes through"


def share(
    session: Annotated[str, typer.Argument(metavar="NAME", help="Name of the session.", autocompletion=complete_session)],
    write: Annotated[bool, typer.Option("--write", "-w", help="Who has the link may also ask to type.")] = False,
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it is good: 90m, 8h, at most 7d.")] = "1h",
    once: Annotated[bool, typer.Option("--once", help="It works for the first who opens it, and for nobody else.")] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Show it as a picture too, for a camera.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Make a link to a session of yours. It alone goes to stdout; whoever has it can use it.

    Open it with: codewrap attach LINK
    """
    name = check_session_name(session, "NAME")
    lifetime_s = config.parse_duration("--expires", expires)
    values = environment.current().values
    record = _record(name, values)
    gateway = _gateway(name, record, values)
    url, facts = _made(gateway, name, lifetime_s, write=write, once=once)
    sys.stdout.write(console.json_line({"url": url} | facts) if as_json else f"{url}\n")
    sys.stdout.flush()
    if qr:
        _show_picture(url)
    _tell(name, facts, write=write, once=once)
    if write:
        console.say(_admission(name, facts, record))
    if config.is_loopback(urlsplit(url).hostname or ""):
        console.say("it leads to this machine: for others, set CODEWRAP_URL to the address by which they reach the server")


def _record(name: str, values: Mapping[str, str]) -> SessionRecord | None:
    """That of a session of ours on this machine."""
    with contextlib.suppress(CodewrapError):  # without a private directory none runs here
        return SessionStore(files.runtime_directory(values)).find(name)
    return None


def _gateway(name: str, record: SessionRecord | None, values: Mapping[str, str]) -> Gateway:
    """The server that the session goes through. Raises SessionNotShareable, ConfigError."""
    from codewrap.cli.tokenbook import configured_gateway

    if record is not None and record.mode in _ADVICE:
        raise SessionNotShareable(name, _ADVICE[record.mode])
    gateway = configured_gateway(values)
    if gateway is None:
        raise SessionNotShareable(name, _NO_SERVER)
    return gateway


def _made(gateway: Gateway, name: str, lifetime_s: int, *, write: bool, once: bool) -> tuple[str, dict[str, object]]:
    from codewrap.transport.gateway import GatewayClient

    client = GatewayClient(gateway.url, gateway.token)
    try:
        issued = client.share(name, lifetime_s, write=write, once=once)
    except TransportError as error:
        if error.status == 404:
            raise SessionNotShareable(name, f"nobody hosts it at {gateway.url}") from error
        raise
    finally:
        client.close()
    return f"{gateway.url}/s/{name}#{issued.token}", issued.facts


def _tell(name: str, facts: Mapping[str, object], *, write: bool, once: bool) -> None:
    who = "the first who opens this link" if once else "whoever has this link"
    expires_at = facts.get("expiresAt")
    until = f" until {console.moment(expires_at)}" if isinstance(expires_at, int | float) else ""
    console.say(f"{who} may watch {'and type into ' if write else ''}{name}{until}")


def _admission(name: str, facts: Mapping[str, object], record: SessionRecord | None) -> str:
    """What else has to happen before somebody with the link can type."""
    if record is not None and record.share == "view":
        return "but this session lets nobody type (run --share view)"
    if record is not None and record.share == "write":
        return "they may type at once (run --share write)"
    asks = "typing" if record is not None else "where it was started with --share ask, which is the default, typing"
    return f"{asks} waits for: codewrap approve {name} {printable(str(facts.get('user', 'USER')), 64)}"


def _show_picture(url: str) -> None:
    """On stderr: what goes to stdout is for programs."""
    from codewrap.cli.picture import qr_lines

    columns = os.get_terminal_size(2).columns if os.isatty(2) else COLUMNS
    lines = qr_lines(url, columns or COLUMNS, coloured=console.styled())
    if lines is None:
        console.say(f"the picture does not fit into {columns} columns")
        return
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()
