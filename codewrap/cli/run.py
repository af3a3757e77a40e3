"""`codewrap run`: starts the command, then the rest. Nothing of the network is imported in this process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import termios
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from codewrap import config
from codewrap.cli import console, detach, environment, names, nesting
from codewrap.cli.beginning import Beginning
from codewrap.cli.environment import Environment
from codewrap.cli.keeping import Keeping
from codewrap.cli.notifying import Notifying, read_targets
from codewrap.cli.recordfile import RecordFile
from codewrap.cli.runlines import RunLines
from codewrap.config import Budget, Mode, Settings
from codewrap.errors import ConfigError, SessionNameTaken, StoreError
from codewrap.host.inputaudit import InputAudit
from codewrap.host.lanes import Lanes
from codewrap.host.link import UplinkLaunch, UplinkLink, uplink_command
from codewrap.host.session import HostSession, Outcome, original_environment
from codewrap.protocol.admission import Admission, Share
from codewrap.protocol.channels import check_session_name
from codewrap.protocol.geometry import Size
from codewrap.store import files, sessionlog
from codewrap.store.audit import AuditLog
from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from codewrap.terminal.child import (
    Child,
    PtyOptions,
    get_size,
    replace_process,
    start_on_pipes,
    start_on_pty,
    start_unattended,
)
from codewrap.terminal.local import RawTerminal, flush_standard_streams, in_foreground
from codewrap.terminal.wakeup import SignalWakeup
from codewrap.transport import lane

SIGNALS = (
    signal.SIGCHLD,
    signal.SIGWINCH,
    signal.SIGCONT,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# What a detached session would have said at its end; beside its log.
HOST_LOG = "host.log"
DEFAULT_SIZE = Size(rows=24, cols=80)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The flags of `run`."""

    name: str | None
    pty: bool
    cols: int | None
    rows: int | None
    encrypt: bool
    share: Share
    quiet: bool
    json: bool
    max_rate: float | None = None
    budget: Budget | None = None
    detach: bool = False
    nested: bool = False
    record: bool = True
    notifying: Notifying | None = None
    recording: RecordFile = field(default_factory=RecordFile)
    store: bool = True


def run(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", "-n", envvar="CODEWRAP_NAME", help="Name of the session.")] = None,
    detached: Annotated[
        bool, typer.Option("--detach", "-d", help="Go on in the background, on a terminal of its own; say how to attach.")
    ] = False,
    pty: Annotated[
        bool, typer.Option("--pty", envvar="CODEWRAP_PTY", help="A terminal for CMD even where there is none.")
    ] = False,
    cols: Annotated[int | None, typer.Option(envvar="CODEWRAP_COLS", min=2, max=1000, help="Columns when headless.")] = None,
    rows: Annotated[int | None, typer.Option(envvar="CODEWRAP_ROWS", min=1, max=1000, help="Rows when headless.")] = None,
    no_encrypt: Annotated[
        bool, typer.Option("--no-encrypt", envvar="CODEWRAP_NO_ENCRYPT", help="Let the relay read along.")
    ] = False,
    share: Annotated[
        str,
        typer.Option(envvar="CODEWRAP_SHARE", help="Who else may type: view (nobody), write (whoever can), or ask you first."),
    ] = "ask",
    read_only: Annotated[
        bool, typer.Option("--read-only", "-r", envvar="CODEWRAP_READ_ONLY", help="Nobody else may type: --share view.")
    ] = False,
    max_rate: Annotated[
        str | None, typer.Option("--max-rate", envvar="CODEWRAP_MAX_RATE", help="Events a second at most: 5, 300/min, none.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", envvar="CODEWRAP_BUDGET", help="Messages to keep within: 50k/day, 2k/hour.")
    ] = None,
    nested: Annotated[
        bool, typer.Option("--nested", envvar="CODEWRAP_NESTED", help="Also inside a session, on its terminal.")
    ] = False,
    no_record: Annotated[
        bool, typer.Option("--no-record", envvar="CODEWRAP_NO_RECORD", help="Keep no log once the session has ended.")
    ] = False,
    store: Annotated[
        bool, typer.Option("--store/--no-store", envvar="CODEWRAP_STORE", help="Keep it at the server of CODEWRAP_URL, too.")
    ] = True,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Also record into a new asciicast file, as it goes.")
    ] = None,
    record_input: Annotated[
        bool, typer.Option("--record-input", help="Keep what is typed, too, where the terminal echoes it.")
    ] = False,
    notify: Annotated[
        list[str] | None,
        typer.Option("--notify", metavar="TARGET", help="Tell when CMD waits for you or is over: desktop, a URL, a command."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="CODEWRAP_QUIET", help="No lines of our own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", envvar="CODEWRAP_JSON", help="One JSON object on stderr instead.")] = False,
    mode: Annotated[
        str | None, typer.Option(envvar="CODEWRAP_MODE", help="embedded, direct or gateway; found by itself.")
    ] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="TLS to the server; on unless it is this machine.")] = None,
) -> None:
    """Run CMD here as if nothing were in between; others can watch it and type into it.

    Options of CMD need no "--". Exit status: CMD's own (with --detach 0 once it runs); 128+n when signal n killed it; 127 not
    found, 126 not executable, 125 codewrap failed, 2 usage.
    """
    most = None if max_rate is None else config.parse_rate("--max-rate", max_rate)
    within = None if budget is None else config.parse_budget("--budget", budget)
    shared = parse_share(share, read_only=read_only)
    here = environment.current()
    notifying = read_targets(notify or (), here.values)
    recording, keep = RecordFile(record, typing=record_input), not no_record
    options = RunOptions(
        name, pty, cols, rows, not no_encrypt, shared, quiet, as_json, most, within, detached, nested, keep, notifying, recording
    )
    options = replace(options, store=store)
    settings = config.load(here.values, mode, tls=tls)
    console.leave(Run(command, options, here, settings).run())


def parse_share(text: str, *, read_only: bool) -> Share:
    """What `--share` says; `--read-only` beside it wins, for it may be meant for good (`.env`). Raises ConfigError."""
    try:
        share = Share(text)
    except ValueError:
        raise ConfigError("--share", "is none of view, write and ask") from None
    return Share.VIEW if read_only else share


Prepared = tuple[sessionlog.LogWriter, SessionStore, SessionRecord]


class Run:
    """One invocation: build, run, report."""

    def __init__(self, command: Sequence[str], options: RunOptions, here: Environment, settings: Settings) -> None:
        self._command = list(command)
        self._options = options
        self._here = here
        self._settings = settings
        shared = settings.mode is not Mode.EMBEDDED
        self._name = check_session_name(options.name, "--name") if options.name else names.random_name(shared=shared)
        self._epoch = _hex(8)
        self._on_pty = options.pty or options.detach or environment.is_interactive()
        self._interactive = self._on_pty and not options.detach and os.isatty(0) and in_foreground(0)
        outer = "" if options.detach else nesting.outer_session(here)
        self._lines = RunLines(options, settings, outer)
        self._size = self._initial_size()
        self._lane_name = ""
        self._beginning = Beginning()
        store = options.store and options.encrypt and settings.mode is Mode.GATEWAY
        self._keeping = Keeping(here.values, record=options.record, store=store)
        self._check_encryption()
        if self._interactive and not options.nested:
            nesting.refuse_within(outer)

    def run(self) -> int:
        """The exit status. Raises CodewrapError only before the command runs. With `--detach` it returns in two processes."""
        return detach.in_background(self._begin) if self._options.detach else self._begin()

    def _begin(self, caller: detach.Caller | None = None) -> int:
        started_s = time.monotonic()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._beginning)
            self._options.recording.create()
            stack.callback(self._options.recording.discard)
            try:
                hub = stack.enter_context(_bind_loopback()) if self._settings.mode is Mode.EMBEDDED else None
                self._lane_name = _hex(16)
                lanes = Lanes(lane.listen(self._lane_name), self._epoch)
                stack.callback(lanes.close)
                prepared = self._prepare(started_s, hub)
            except StoreError as error:
                # A disk of ours that is full must not cost anybody their command.
                return self._run_unwatched(error, caller)
            return self._run(prepared, hub, lanes, caller, started_s)

    def _run_unwatched(self, error: StoreError, caller: detach.Caller | None) -> int:
        environ = config.child_environment(self._here.original)
        self._beginning.forget()
        self._options.recording.discard()
        if caller is None:
            console.say(f"this cannot be watched: {error}; it runs all the same")
            flush_standard_streams()
            replace_process(self._command, environ)
        pid = start_unattended(self._command, environ)
        console.say(f"this cannot be watched: {error}; it runs all the same, as process {pid}, and what it writes is lost")
        caller.let_go()
        return 0

    def _run(
        self, prepared: Prepared, hub: socket.socket | None, lanes: Lanes, caller: detach.Caller | None, started_s: float
    ) -> int:
        log, store, record = prepared
        flush_standard_streams()
        with SignalWakeup(SIGNALS) as wakeup:
            child = self._start_child()
            self._beginning.begun()
            self._lines.begin(record, stored=self._keeping.stored)
            if caller is not None:
                caller.let_go(log.directory / HOST_LOG)
            launch = self._uplink_launch(record, hub)
            link = UplinkLink(launch)
            try:
                outcome = self._host(child, log, link, lanes, wakeup, started_s)
                self._keeping.end(outcome.exited, outcome.duration_s, outcome.output_bytes)
            finally:
                store.remove(record.name, record.epoch)
                child.close()
                log.close()
        if unfinished := self._options.recording.finish(log.directory, launch.configuration):
            self._lines.notice(unfinished)
        if link.never_ran:
            self._keeping.clean_up(config.child_environment(self._here.original))
        self._lines.end(record.name, outcome, log.directory)
        return outcome.exited.status

    # -- build -------------------------------------------------------------------------------------------------

    def _check_encryption(self) -> None:
        broker = self._settings.broker
        if self._settings.mode is Mode.DIRECT and self._options.encrypt and broker is not None and broker.master_key is None:
            names_of_key = config.SOKETI_MASTER_KEY_NAMES if broker.family == "SOKETI" else config.PUSHER_MASTER_KEY_NAMES
            raise ConfigError(
                names_of_key[0],
                "is missing, and without it the server could read along",
                "make one with: openssl rand -base64 32; or use --no-encrypt",
            )

    def _initial_size(self) -> Size:
        local = (get_size(1) or get_size(0)) if self._on_pty else None
        if self._options.detach:
            local = local or get_size(2)
        size = local or DEFAULT_SIZE
        return Size(rows=self._options.rows or size.rows, cols=self._options.cols or size.cols).clamped()

    def _prepare(self, started_s: float, hub: socket.socket | None) -> Prepared:
        runtime = files.runtime_directory(self._here.values)
        logs = files.private_directory(files.state_directory(self._here.values) / "sessions")
        store = SessionStore(runtime)
        record = self._take_name(store, logs, hub)
        log = sessionlog.LogWriter(Path(record.log_directory), started_s)
        log.resized(self._size, started_s)
        self._keeping.begin(record, pty=self._on_pty, size=self._size)
        return log, store, record

    def _take_name(self, store: SessionStore, logs: Path, hub: socket.socket | None) -> SessionRecord:
        while True:
            record = self._record(logs / f"{self._name}-{self._epoch}", hub)
            self._beginning.made(store, record)
            try:
                store.create(record)
            except SessionNameTaken:
                if self._options.name:
                    raise
                self._name = names.random_name(shared=True)  # of two words there are not so many
            else:
                return record

    def _record(self, directory: Path, hub: socket.socket | None) -> SessionRecord:
        access = None
        if hub is not None:
            access = {
                "port": hub.getsockname()[1],
                "app_id": "1",
                "key": _hex(16),
                "secret": _hex(32),
                "master_key": _hex(32),
            }
        return SessionRecord(
            name=self._name,
            pid=os.getpid(),
            pid_started=process_start(os.getpid()),
            epoch=self._epoch,
            mode=self._settings.mode.value,
            endpoint=self._endpoint(access),
            encrypted=self._options.encrypt,
            read_only=self._options.share is Share.VIEW,
            command=self._command,
            started_at=time.time(),
            log_directory=str(directory),
            hub=access,
            share=self._options.share.value,
            lane=self._lane_name,
        )

    def _endpoint(self, access: dict[str, Any] | None) -> str:
        broker, gateway = self._settings.broker, self._settings.gateway
        if access is not None:
            return f"http://127.0.0.1:{access['port']}"
        if self._settings.mode is Mode.DIRECT and broker is not None:
            host = f"[{broker.api_host}]" if ":" in broker.api_host else broker.api_host
            return f"{'https' if broker.tls else 'http'}://{host}:{broker.api_port}"
        return gateway.url if gateway is not None else ""

    def _start_child(self) -> Child:
        environ = original_environment(config.child_environment(self._here.original), self._name)
        if not self._on_pty:
            return start_on_pipes(self._command, environ)
        environ.setdefault("TERM", "xterm-256color")
        attributes = None
        if self._options.detach:
            attributes = detach.cooked_settings(0)
        elif os.isatty(0):
            with contextlib.suppress(termios.error):
                attributes = termios.tcgetattr(0)
        apart = not self._options.pty and not self._options.detach and not os.isatty(2)
        options = PtyOptions(self._size, attributes, job_control=self._interactive, stderr_apart=apart)
        return start_on_pty(self._command, environ, options)

    def _uplink_launch(self, record: SessionRecord, hub: socket.socket | None) -> UplinkLaunch:
        environ = config.child_environment(self._here.original)
        configuration = {
            "session": record.name,
            "epoch": record.epoch,
            "mode": record.mode,
            "encrypted": record.encrypted,
            "began_at": record.started_at,
            "read_only": False,  # the host decides at each frame, and tells who typed
            "pty": self._on_pty,
            "headless": not self._interactive,
            "size": [self._size.rows, self._size.cols],
            "log_directory": record.log_directory,
            "user": environment.user_name(self._here.values),
            "max_rate": self._options.max_rate,
            "budget": asdict(self._options.budget) if self._options.budget else None,
            "listen_fd": hub.fileno() if hub is not None else -1,
            "hub": record.hub,
            "broker": broker_values(self._settings) if self._settings.mode is Mode.DIRECT else None,
            "gateway": gateway_values(self._settings) if self._settings.mode is Mode.GATEWAY else None,
            "notify": self._options.notifying.plan(answers=not record.read_only) if self._options.notifying else None,
            **self._keeping.plan(),
            **self._options.recording.plan(),
            "command": record.command,
        }
        inherit = (hub.fileno(),) if hub is not None else ()
        return UplinkLaunch(uplink_command(), environ, configuration, inherit, str(Path(record.log_directory) / "uplink.log"))

    # -- run ---------------------------------------------------------------------------------------------------

    def _host(
        self, child: Child, log: sessionlog.LogWriter, link: UplinkLink, lanes: Lanes, wakeup: SignalWakeup, started_s: float
    ) -> Outcome:
        stdin_fd = self._stdin_fd()
        with contextlib.ExitStack() as stack:
            terminal = stack.enter_context(RawTerminal(0)) if self._interactive else None
            audit = InputAudit(AuditLog(log.directory / "audit"), self._name)
            stack.callback(audit.close)
            session = HostSession(
                child,
                log,
                link,
                terminal,
                stdin_fd,
                Admission(self._options.share),
                self._lines.notice,
                lanes,
                audit,
                self._say_on_terminal,
                self._name,
                self._options.recording.writer(log, pty=self._on_pty),
            )
            return session.run(wakeup, started_s)

    def _say_on_terminal(self, text: str) -> None:
        if os.isatty(2):  # a file is read later
            console.say(text)

    def _stdin_fd(self) -> int:
        if self._options.detach:
            return -1
        try:
            os.fstat(0)
        except OSError:
            return -1
        return 0


def _hex(size: int) -> str:
    return os.urandom(size).hex()


def broker_values(settings: Settings) -> dict[str, Any] | None:
    """What the uplink needs of a broker, as JSON values."""
    broker = settings.broker
    if broker is None:
        return None
    return {
        "app_id": broker.app_id,
        "key": broker.key,
        "secret": broker.secret,
        "api_host": broker.api_host,
        "api_port": broker.api_port,
        "ws_host": broker.ws_host,
        "ws_port": broker.ws_port,
        "tls": broker.tls,
        "master_key": broker.master_key.hex() if broker.master_key else None,
        "event_bytes": broker.event_bytes,
        "hosted": broker.family == "PUSHER",
    }


def gateway_values(settings: Settings) -> dict[str, Any] | None:
    """What the uplink needs of a gateway, as JSON values."""
    gateway = settings.gateway
    return None if gateway is None else {"url": gateway.url, "token": gateway.token}


def _bind_loopback() -> socket.socket:
    """The embedded hub's address, bound here so that it stays the same over every restart of the uplink."""
    try:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
    except OSError as error:
        raise StoreError("127.0.0.1", f"no port to listen on: {error.strerror}") from error
    return listener
