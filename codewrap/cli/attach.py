"""`codewrap attach`: finds the session, connects, hands over to the viewer's loop, leaves with the session's status."""

from __future__ import annotations

import contextlib
import gc
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from codewrap.cli import console, environment, nesting
from codewrap.cli.destination import Destination, new_challenge
from codewrap.cli.environment import Environment
from codewrap.errors import EXIT_NOT_ATTACHED, AuthError, CodewrapError, TransportError
from codewrap.store import files
from codewrap.store.sessions import SessionStore

if TYPE_CHECKING:
    from codewrap.transport.lane import Lane


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """The flags of `attach`."""

    read_only: bool
    detach_keys: str
    raw: bool
    allow_clipboard: bool
    encrypted: bool
    quiet: bool
    predict: str


def complete_session(incomplete: str) -> list[str]:
    """Names of running sessions, for the shell."""
    with contextlib.suppress(CodewrapError, OSError):
        store = SessionStore(files.runtime_directory(os.environ))
        return [record.name for record in store.running() if record.name.startswith(incomplete)]
    return []


def attach(
    session: Annotated[
        str,
        typer.Argument(
            metavar="SESSION", help="Name of the session, or a link to one; - reads it.", autocompletion=complete_session
        ),
    ],
    read_only: Annotated[bool, typer.Option("--read-only", "-r", envvar="CODEWRAP_READ_ONLY", help="Watch only.")] = False,
    detach_keys: Annotated[
        str, typer.Option(envvar="CODEWRAP_DETACH_KEYS", help='Keys that detach, such as "ctrl-p,ctrl-q", or "none".')
    ] = "ctrl-]",
    raw: Annotated[bool, typer.Option("--raw", envvar="CODEWRAP_RAW", help="Pass output on unfiltered (dangerous).")] = False,
    allow_clipboard: Annotated[
        bool, typer.Option("--allow-clipboard", envvar="CODEWRAP_ALLOW_CLIPBOARD", help="Let the session set your clipboard.")
    ] = False,
    predict: Annotated[
        str, typer.Option(envvar="CODEWRAP_PREDICT", help="Show typing before its echo: auto (on slow links), always or never.")
    ] = "auto",
    no_encrypt: Annotated[
        bool, typer.Option("--no-encrypt", envvar="CODEWRAP_NO_ENCRYPT", help="The session was started with --no-encrypt.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="CODEWRAP_QUIET", help="No lines of our own.")] = False,
    mode: Annotated[str | None, typer.Option(envvar="CODEWRAP_MODE", help="embedded, direct or gateway; found out.")] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="TLS to the server; on unless it is this machine.")] = None,
) -> None:
    """Show a session on this terminal and type into it.

    "~." at the start of a line, or Ctrl-], detaches; "~?" lists the other keys. Exit status: the session's own; 0 after
    detaching; 254 lost; 255 could not attach.
    """
    options = AttachOptions(read_only, detach_keys, raw, allow_clipboard, not no_encrypt, quiet, predict)
    here = environment.current()
    try:
        attachment = Attachment(session, options, here, mode, tls=tls)
        status = attachment.run()
    except (TransportError, AuthError) as error:
        console.fail(error)
        status = EXIT_NOT_ATTACHED
    console.leave(status)


class Attachment:
    """One invocation: find, connect, run, report. ``session`` is a name or a link."""

    def __init__(self, session: str, options: AttachOptions, here: Environment, mode: str | None, *, tls: bool | None) -> None:
        from codewrap.viewer.keys import parse_detach_keys
        from codewrap.viewer.localecho import parse_predict

        self._options = options
        # A link may work once: that is not for an option that was mistyped.
        self._detach_keys = parse_detach_keys(options.detach_keys)
        self._predict = parse_predict(options.predict)
        self._challenge = new_challenge()
        self._to = Destination.find(session, here, mode, tls=tls, quiet=options.quiet)
        self._read_only = options.read_only or not self._to.may_type
        if self._to.record is not None and os.isatty(1):
            nesting.refuse_mirror(here, self._to.name)

    def run(self) -> int:
        """The exit status. Raises CodewrapError when it could not attach at all."""
        from codewrap.terminal.local import RawTerminal
        from codewrap.viewer.keys import key_names
        from codewrap.viewer.mailbox import Mailbox
        from codewrap.viewer.session import ViewerPlan, ViewerSession

        mailbox = Mailbox()
        with contextlib.ExitStack() as stack:
            # The guard of raw mode is forked here, before any thread exists.
            terminal = RawTerminal(0) if self._has_keyboard() else None
            self._say(f"connecting to {self._to.name} ...")
            if terminal is not None:
                stack.enter_context(terminal)
            parts = self._to.connect(self._challenge, mailbox.deliver, read_only=self._read_only)
            keys = f"{key_names(self._detach_keys)} or ~." if self._detach_keys else "~."
            self._say(f"over {parts.endpoint}; detach with {keys}")
            plan = ViewerPlan(
                session=self._to.name,
                encrypted=self._to.encrypted(self._options.encrypted),
                read_only=self._read_only,
                detach_keys=self._detach_keys,
                raw=self._options.raw,
                allow_clipboard=self._options.allow_clipboard,
                endpoint=parts.endpoint,
                challenge=self._challenge,
                input_interval_s=parts.input_interval_s,
                predict=self._predict,
            )
            gc.freeze()  # what is here now stays: the collector need not look at it with every keystroke
            session = ViewerSession(plan, parts.subscriber, mailbox, parts.send_over_http, lane=self._lane())
            departure = session.run(terminal, self._stdin_fd(terminal is not None))
        if departure.absent and (status := self._show_ended()) is not None:
            return status
        self._say(departure.text)
        if departure.status == EXIT_NOT_ATTACHED and self._options.quiet:
            console.say(departure.text)
        return departure.status

    def _show_ended(self) -> int | None:
        """For a session that is over: its status, once what its server stores of it was shown."""
        from codewrap.cli import ended

        return ended.show(self._to, quiet=self._options.quiet)

    def _has_keyboard(self) -> bool:
        return os.isatty(0) and os.isatty(1)

    def _stdin_fd(self, has_terminal: bool) -> int:
        """The keyboard; or what is piped into us. A keyboard without our screen stays the shell's."""
        if has_terminal:
            return 0
        try:
            os.fstat(0)
        except OSError:
            return -1
        return -1 if os.isatty(0) else 0

    def _lane(self) -> Lane | None:
        """The short way to a host of this user on this machine. What goes into a file gains nothing by it."""
        from codewrap.transport import lane

        record = self._to.record
        return lane.connect(record.lane) if record is not None and record.hub is not None and os.isatty(1) else None

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            console.say(text)
