"""`codewrap approve`: who asks to type into a session, and the answer; on this machine, or through `serve-auth`."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Annotated

import typer

from codewrap import config
from codewrap.cli import console, environment
from codewrap.cli.attach import complete_session
from codewrap.cli.environment import Environment
from codewrap.cli.orders import ask
from codewrap.errors import CodewrapError, ConfigError, SessionNotFound
from codewrap.protocol.channels import check_session_name, printable
from codewrap.protocol.orders import APPROVE, DENY, REQUESTS, Order, Reply
from codewrap.protocol.roles import is_user
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore


def approve(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Name of the session.", autocompletion=complete_session)],
    user: Annotated[str | None, typer.Argument(metavar="USER", help="Who may type; left out: list who asks.")] = None,
    deny: Annotated[bool, typer.Option("--deny", help="Not let them type, any more or for now.")] = False,
) -> None:
    """Let USER type into a session, or list who asks to.

    Compare the code with the one on their screen first: it tells who asks.
    """
    name = check_session_name(session, "SESSION")
    if user is not None and not is_user(user):
        raise ConfigError("USER", "is not the name of a user")
    if deny and user is None:
        raise ConfigError("--deny", "needs a USER")
    here = environment.current()
    record = _record(here, name)
    if record is not None:
        _ask_here(record, user, deny=deny)
    elif user is None:
        raise SessionNotFound(name, "it does not run on this machine, and only its host knows who asks")
    else:
        _ask_server(here, name, user, allow=not deny)
    if user is not None:
        console.say(f"{user} may {'not ' if deny else ''}type into {name}")


def _record(here: Environment, name: str) -> SessionRecord | None:
    with contextlib.suppress(CodewrapError):  # without a private directory there are no sessions of ours to find
        return SessionStore(files.runtime_directory(here.values)).find(name)
    return None


def _ask_here(record: SessionRecord, user: str | None, *, deny: bool) -> None:
    if user is None:
        _show(ask(record, Order(REQUESTS)))
        return
    reply = ask(record, Order(DENY if deny else APPROVE, user))
    if reply.problem:
        raise ConfigError("--share", reply.problem)


def _ask_server(here: Environment, name: str, user: str, *, allow: bool) -> None:
    from codewrap.transport.gateway import GatewayClient

    gateway = config.load(here.values, None).gateway
    if gateway is None:
        raise SessionNotFound(name, "nothing of that name runs here (codewrap ls), and CODEWRAP_URL is not set")
    client = GatewayClient(gateway.url, gateway.token)
    try:
        client.approve(name, user, allow=allow)
    finally:
        client.close()


def _show(reply: Reply) -> None:
    now = time.time()
    for request in reply.requests:
        code, since = printable(request.code, 20), console.duration(max(0.0, now - request.since))
        sys.stdout.write(f"{printable(request.user, 64)}  code {code}  {since} ago\n")
    if reply.turned_away:
        console.say(f"{reply.turned_away} more were turned away while so many ask")
    if not reply.requests:
        console.say("nobody asks to type")
