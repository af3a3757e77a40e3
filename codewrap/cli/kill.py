"""`codewrap kill`: sends a session's command a signal, by its host on this machine, or by the server."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from codewrap.cli import console, environment, hosted
from codewrap.cli.attach import complete_session
from codewrap.cli.environment import Environment
from codewrap.cli.kept import how, look_for, running
from codewrap.cli.orders import ask
from codewrap.errors import ConfigError, SessionNotFound
from codewrap.protocol.channels import check_session_name
from codewrap.protocol.orders import KILL, Order

# Those that a host passes on: what a person at the command's terminal could send it, or the shell it was started from.
SIGNALS = ("HUP", "INT", "QUIT", "TERM", "KILL", "USR1", "USR2")


def kill(
    session: Annotated[str, typer.Argument(metavar="NAME", help="Name of the session.", autocompletion=complete_session)],
    signal_name: Annotated[str, typer.Option("--signal", "-s", metavar="SIGNAL", help="Such as TERM, INT, KILL or 9.")] = "TERM",
) -> None:
    """Send the command of a session a signal. The session ends when its command does."""
    name = check_session_name(session, "NAME")
    number = parse_signal("--signal", signal_name)
    here = environment.current()
    record = running(here.values, name)
    if record is None:
        _by_server(here, name, number)
    else:
        reply = ask(record, Order(KILL, signal=int(number)))
        if reply.problem:
            raise ConfigError("--signal", reply.problem)
    console.say(f"{number.name} sent to the command of {name}")


def parse_signal(name: str, text: str) -> signal.Signals:
    """A signal that is passed on, by name or number. Raises ConfigError naming ``name``."""
    for word in SIGNALS:
        found = signal.Signals[f"SIG{word}"]
        if text.upper() in (word, found.name, str(found.value)):
            return found
    raise ConfigError(name, "is no signal that is passed on", f"use {', '.join(SIGNALS)}")


def _by_server(here: Environment, name: str, number: int) -> None:
    kept = look_for(here.values, name)
    if kept is not None and hosted.gateway(here) is None:
        raise SessionNotFound(name, f"it does not run any more ({how(kept.state)})")
    hosted.kill(here, name, number)
