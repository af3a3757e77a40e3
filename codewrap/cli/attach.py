"""`codewrap attach`: finds the session, connects, hands over to the viewer's loop, leaves with the session's status."""

from __future__ import annotations

import base64
import contextlib
import gc
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from codewrap import config
from codewrap.cli import console, environment, links, nesting
from codewrap.cli.environment import Environment
from codewrap.config import Gateway, Mode, Settings
from codewrap.errors import EXIT_NOT_ATTACHED, AuthError, CodewrapError, SessionNotFound, TransportError
from codewrap.protocol.channels import check_session_name
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore

if TYPE_CHECKING:
    from codewrap.cli.connections import ViewerParts
    from codewrap.transport.base import Deliver
    from codewrap.transport.lane import Lane

CHALLENGE_BYTES = 12


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
        if links.is_link(session):
            attachment = _by_link(links.read(session, plain=tls is False), options, here)
        else:
            name = check_session_name(session, "SESSION")
            attachment = Attachment(name, options, here, config.load(here.values, mode, tls=tls))
        status = attachment.run()
    except (TransportError, AuthError) as error:
        console.fail(error)
        status = EXIT_NOT_ATTACHED
    console.leave(status)


def _by_link(link: links.Link, options: AttachOptions, here: Environment) -> Attachment:
    """To the link's server, whatever is configured here. Raises AuthError, TransportError."""
    from codewrap.cli import joining
    from codewrap.viewer.keys import parse_detach_keys
    from codewrap.viewer.localecho import parse_predict

    # A link may work once: that is not for an option that was mistyped.
    parse_detach_keys(options.detach_keys)
    parse_predict(options.predict)
    joined = joining.join(link, here.values, quiet=options.quiet)
    options = replace(options, read_only=options.read_only or not joined.may_type)
    return Attachment(joined.session, options, here, joined.gateway)


class Attachment:
    """One invocation: find, connect, run, report. ``way``: what is configured, or the one server to go through."""

    def __init__(self, name: str, options: AttachOptions, here: Environment, way: Settings | Gateway) -> None:
        from codewrap.viewer.keys import parse_detach_keys
        from codewrap.viewer.localecho import parse_predict

        self._name = name
        self._options = options
        self._here = here
        self._way = way
        self._detach_keys = parse_detach_keys(options.detach_keys)
        self._predict = parse_predict(options.predict)
        self._challenge = base64.urlsafe_b64encode(os.urandom(CHALLENGE_BYTES)).decode("ascii")
        self._record: SessionRecord | None = None
        if isinstance(way, Gateway):
            return
        with contextlib.suppress(CodewrapError):  # without a private directory there are no sessions of ours to find
            self._record = SessionStore(files.runtime_directory(here.values)).find(name)
        if self._record is not None and os.isatty(1):
            nesting.refuse_mirror(here, name)

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
            self._say(f"connecting to {self._name} ...")
            if terminal is not None:
                stack.enter_context(terminal)
            parts = self._connect(mailbox.deliver)
            keys = f"{key_names(self._detach_keys)} or ~." if self._detach_keys else "~."
            self._say(f"over {parts.endpoint}; detach with {keys}")
            plan = ViewerPlan(
                session=self._name,
                encrypted=self._record.encrypted if self._record else self._options.encrypted,
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
        self._say(departure.text)
        if departure.status == EXIT_NOT_ATTACHED and self._options.quiet:
            console.say(departure.text)
        return departure.status

    @property
    def _read_only(self) -> bool:
        return self._options.read_only or (self._record is not None and self._record.read_only)

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

        record = self._record
        return lane.connect(record.lane) if record is not None and record.hub is not None and os.isatty(1) else None

    def _connect(self, deliver: Deliver) -> ViewerParts:
        from codewrap.cli import connections

        role = "viewer" if self._read_only else "writer"
        viewer = connections.ViewerName(environment.user_name(self._here.values), role, self._challenge)
        record, settings = self._record, self._way
        if isinstance(settings, Gateway):
            return connections.gateway_viewer(settings, self._name, viewer, deliver)
        if record is not None and record.hub is not None:
            return connections.direct_viewer(connections.Access.to_hub(record.hub), viewer, deliver)
        mode = Mode(record.mode) if record is not None else settings.mode
        if mode is Mode.GATEWAY and settings.gateway is not None:
            return connections.gateway_viewer(settings.gateway, self._name, viewer, deliver)
        if settings.broker is not None:
            return connections.direct_viewer(connections.Access.to_broker(settings.broker), viewer, deliver)
        if record is not None:
            raise SessionNotFound(self._name, f"it goes over {record.endpoint}, and that server is not configured here")
        raise SessionNotFound(
            self._name, "nothing of that name runs here (codewrap ls), and no server is configured (CODEWRAP_URL, SOKETI_*)"
        )

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            console.say(text)
