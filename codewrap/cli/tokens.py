"""`codewrap token create|list|revoke|inspect`. A token is never an argument, and stands on stdout only where it was asked for."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from codewrap import config
from codewrap.cli import console, environment
from codewrap.errors import AuthError, ConfigError
from codewrap.protocol.channels import printable
from codewrap.protocol.roles import Role

if TYPE_CHECKING:
    from codewrap.transport.gateway import Facts

MAX_TOKEN_BYTES = 16_384
EXIT_NOT_GOOD = 1
_TOKEN_ID = re.compile(r"[0-9a-f]{32}")
# Behind a role in the list: a link, and what one for one use was exchanged for.
_KINDS = {"share": " by link", "redeemed": " by used link"}
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def create(
    user: Annotated[str, typer.Option(metavar="ID", help="Whose it is: 1 to 64 of A-Z, a-z, 0-9 and _=@,;-")],
    role: Annotated[Role, typer.Option(help="What it allows.")],
    session: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only for this session, or pattern such as 'build-*'; several times.")
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it is good: 90m, 8h, 30d.")] = "30d",
    as_json: JsonOption = False,
) -> None:
    """Issue a token. It alone goes to stdout, and is not kept anywhere.

    At the server of CODEWRAP_URL, or without that at this machine's serve-auth.
    """
    from codewrap.cli.tokenbook import token_book

    lifetime_s = config.parse_duration("--expires", expires)
    with contextlib.closing(token_book(environment.current().values)) as book:
        issued = book.create(user, role.value, session or [], lifetime_s)
    sys.stdout.write(console.json_line({"token": issued.token} | issued.facts) if as_json else f"{issued.token}\n")
    sys.stdout.flush()
    console.say(f"{_summary(issued.facts)}; id {_text(issued.facts, 'tokenId')}; at {book.where}")


def list_all(as_json: JsonOption = False) -> None:
    """List tokens that have not expired, those of links too."""
    from codewrap.cli.tokenbook import token_book

    with contextlib.closing(token_book(environment.current().values)) as book:
        found = book.all()
    if as_json:
        sys.stdout.write(console.json_line(found))
    elif found:
        _show(found)
    else:
        console.say(f"no tokens at {book.where}")


def revoke(
    token_id: Annotated[str | None, typer.Argument(metavar="ID", help="The token's id, from list.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="All tokens of this user that were issued up to now.")] = None,
) -> None:
    """End a token, or all of a user's: nothing more is allowed with it, and connections that it opened are closed."""
    from codewrap.cli.tokenbook import token_book

    if (token_id is None) == (user is None):
        raise ConfigError("ID", "or --user is needed, one of both")
    if token_id is not None and not _TOKEN_ID.fullmatch(token_id):
        raise ConfigError("ID", "is not a token's id", "32 hex digits: see codewrap token list")
    with contextlib.closing(token_book(environment.current().values)) as book:
        if token_id is not None:
            book.revoke_token(token_id)
            console.say(f"revoked token {token_id} at {book.where}")
        elif user is not None:
            book.revoke_user(user)
            console.say(f"revoked all tokens of {printable(user, 64)} at {book.where}")


def inspect(
    source: Annotated[str | None, typer.Argument(metavar="[-]", help="- reads the token from stdin.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell whose a token is and what it allows: that of CODEWRAP_TOKEN, or with - the one on stdin.

    The server of CODEWRAP_URL is asked; without that, it is shown what the token says, unchecked. Exit status: 0 good, 1 not.
    """
    if source not in (None, "-"):
        raise ConfigError("TOKEN", "cannot be an argument: others may have read it by now", "use -, and give it on stdin")
    values = environment.current().values
    token = config.check_token("TOKEN", _read_token() if source == "-" else values.get("CODEWRAP_TOKEN", ""))
    if not token:
        raise ConfigError("CODEWRAP_TOKEN", "is missing", "or use -, and give the token on stdin")
    facts, problem = _examined(token, values)
    if as_json:
        sys.stdout.write(console.json_line(facts | {"checked": "CODEWRAP_URL" in values, "problem": problem}))
    else:
        unchecked = "" if "CODEWRAP_URL" in values else "not checked (no CODEWRAP_URL): "
        said = _summary(facts) if facts else "this token says nothing by itself (AUTH_TOKEN is such a one)"
        sys.stdout.write(f"{unchecked}{said}\n" if problem is None else f"not good: {problem}\n")
    if problem is not None:
        raise typer.Exit(EXIT_NOT_GOOD)


def _examined(token: str, values: Mapping[str, str]) -> tuple[Facts, str | None]:
    """What is known of it, and why it is not good."""
    if "CODEWRAP_URL" not in values:
        facts = _claimed(token)
        expires_at = facts.get("expiresAt")
        is_over = isinstance(expires_at, int) and expires_at <= time.time()
        return facts, f"it expired at {console.moment(float(str(expires_at)))}" if is_over else None
    from codewrap.cli.tokenbook import configured_gateway
    from codewrap.transport.gateway import GatewayClient

    gateway = configured_gateway({**values, "CODEWRAP_TOKEN": token})
    assert gateway is not None  # noqa: S101  (there is a URL)
    client = GatewayClient(gateway.url, gateway.token)
    try:
        return client.whoami(), None
    except AuthError as error:
        return {}, f"{error.server} says: {error.reason}"
    finally:
        client.close()


def _claimed(token: str) -> Facts:
    """What a JSON Web Token says of itself, without any check; empty for another kind of token."""
    parts = token.split(".")
    try:
        said = json.loads(base64.urlsafe_b64decode(parts[1] + "==")) if len(parts) == 3 else {}
    except (ValueError, RecursionError):
        return {}
    names = {"sub": "user", "role": "role", "sessions": "sessions", "exp": "expiresAt", "jti": "tokenId", "typ": "kind"}
    return {shown: said[name] for name, shown in names.items() if name in said} if isinstance(said, dict) else {}


def _read_token() -> str:
    if os.isatty(0):
        import getpass

        return getpass.getpass("token: ", sys.stderr)
    with os.fdopen(0, "rb", closefd=False) as stdin:
        return stdin.readline(MAX_TOKEN_BYTES).decode(errors="replace").strip()


def _summary(facts: Facts) -> str:
    """Such as: alice, viewer, sessions build-*, until 2026-11-23 14:05."""
    expires_at = facts.get("expiresAt")
    until = f"until {console.moment(expires_at)}" if isinstance(expires_at, int | float) else "until it is changed"
    return f"{_text(facts, 'user')}, {_text(facts, 'role')}, {_sessions(facts) or 'all sessions'}, {until}"


def _sessions(facts: Facts) -> str:
    sessions = facts.get("sessions")
    names = [printable(str(name), 48) for name in sessions] if isinstance(sessions, list) else []
    return f"session{'s' if len(names) > 1 else ''} {' '.join(names)}" if names else ""


def _text(facts: Facts, name: str) -> str:
    return printable(str(facts.get(name, "?")), 80)


def _show(found: list[Facts]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("ID", "USER", "ROLE", "SESSIONS", "UNTIL"):
        table.add_column(title, overflow="fold", no_wrap=title in ("ID", "UNTIL"))
    for facts in found:
        expires_at = facts.get("expiresAt")
        until = console.moment(expires_at) if isinstance(expires_at, int | float) else "?"
        sessions = _sessions(facts).partition(" ")[2] or "all"
        role = _text(facts, "role") + _KINDS.get(_text(facts, "kind"), "")
        cells = [_text(facts, "tokenId"), _text(facts, "user"), role, sessions]
        table.add_row(*(escape(cell) for cell in (*cells, "revoked" if facts.get("revoked") is True else until)))
    Console(highlight=False).print(table)
