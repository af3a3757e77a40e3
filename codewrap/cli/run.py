"""`codewrap run`: starts the command, then the rest. Nothing of the network is imported in this process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import termios
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from codewrap import config
from codewrap.cli import console, environment, names
from codewrap.cli.environment import Environment
from codewrap.config import Budget, Mode, Settings
from codewrap.errors import CodewrapError, ConfigError, StoreError
from codewrap.host.inputaudit import InputAudit
from codewrap.host.lanes import Lanes
from codewrap.host.link import UplinkLaunch, UplinkLink, uplink_command
from codewrap.host.session import HostSession, Outcome, original_environment
from codewrap.protocol.admission import Admission, Share
from codewrap.protocol.channels import check_session_name, printable
from codewrap.protocol.geometry import Size
from codewrap.store import files, sessionlog
from codewrap.store.audit import AuditLog
from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from codewrap.store.spent import read_spent
from codewrap.terminal.child import Child, PtyOptions, get_size, replace_process, start_on_pipes, start_on_pty
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
_WHO_TYPES = {
    Share.VIEW: "nobody else may type",
    Share.WRITE: "others may type",
    Share.ASK: "others ask before they type",
}
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


def run(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", "-n", envvar="CODEWRAP_NAME", help="Name of the session.")] = None,
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="CODEWRAP_QUIET", help="No lines of our own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", envvar="CODEWRAP_JSON", help="One JSON object on stderr instead.")] = False,
    mode: Annotated[
        str | None, typer.Option(envvar="CODEWRAP_MODE", help="embedded, direct or gateway; found by itself.")
    ] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="TLS to the server; on unless it is this machine.")] = None,
) -> None:
    """Run CMD here as if nothing were in between; others can watch it and type into it.

    Options of CMD need no "--". Exit status: CMD's own; 128+n when signal n killed it; 127 not found, 126 not executable,
    125 codewrap failed, 2 usage.
    """
    most = None if max_rate is None else config.parse_rate("--max-rate", max_rate)
    within = None if budget is None else config.parse_budget("--budget", budget)
    shared = parse_share(share, read_only=read_only)
    options = RunOptions(name, pty, cols, rows, not no_encrypt, shared, quiet, as_json, most, within)
    here = environment.current()
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
        self._on_pty = options.pty or environment.is_interactive()
        self._interactive = self._on_pty and os.isatty(0) and in_foreground(0)
        self._size = self._initial_size()
        self._lane_name = ""
        self._notices: list[str] = []
        self._check_encryption()

    def run(self) -> int:
        """The exit status. Raises CodewrapError only before the command runs."""
        started_s = time.monotonic()
        with contextlib.ExitStack() as stack:
            try:
                hub = stack.enter_context(_bind_loopback()) if self._settings.mode is Mode.EMBEDDED else None
                self._lane_name = _hex(16)
                lanes = Lanes(lane.listen(self._lane_name), self._epoch)
                stack.callback(lanes.close)
                prepared = self._prepare(started_s, hub)
            except StoreError as error:
                # A disk of ours that is full must not cost anybody their command.
                console.say(f"this cannot be watched: {error}; it runs all the same")
                flush_standard_streams()
                replace_process(self._command, config.child_environment(self._here.original))
            return self._run(prepared, hub, lanes, started_s)

    def _run(self, prepared: Prepared, hub: socket.socket | None, lanes: Lanes, started_s: float) -> int:
        log, store, record = prepared
        flush_standard_streams()
        with SignalWakeup(SIGNALS) as wakeup:
            try:
                child = self._start_child()
            except CodewrapError:
                store.remove(record.name, record.epoch)
                sessionlog.delete(log.directory)
                raise
            self._announce(record)
            link = UplinkLink(self._uplink_launch(record, hub))
            try:
                outcome = self._host(child, log, link, lanes, wakeup, started_s)
            finally:
                store.remove(record.name, record.epoch)
                child.close()
                log.close()
        if link.never_ran:
            sessionlog.delete(log.directory)
        self._summarize(outcome, log.directory)
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
        size = local or DEFAULT_SIZE
        return Size(rows=self._options.rows or size.rows, cols=self._options.cols or size.cols).clamped()

    def _prepare(self, started_s: float, hub: socket.socket | None) -> Prepared:
        runtime = files.runtime_directory(self._here.values)
        logs = files.private_directory(files.state_directory(self._here.values) / "sessions")
        store = SessionStore(runtime)
        directory = logs / f"{self._name}-{self._epoch}"
        record = self._record(directory, hub)
        store.create(record)
        try:
            log = sessionlog.LogWriter(directory, started_s)
        except StoreError:
            store.remove(record.name, record.epoch)
            raise
        log.resized(self._size, started_s)
        return log, store, record

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
        if os.isatty(0):
            with contextlib.suppress(termios.error):
                attributes = termios.tcgetattr(0)
        apart = not self._options.pty and not os.isatty(2)
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
                self._notice,
                lanes,
                audit,
                self._say_on_terminal,
                self._name,
            )
            return session.run(wakeup, started_s)

    def _say_on_terminal(self, text: str) -> None:
        if os.isatty(2):  # a file is read later
            console.say(text)

    def _stdin_fd(self) -> int:
        try:
            os.fstat(0)
        except OSError:
            return -1
        return 0

    # -- report ------------------------------------------------------------------------------------------------

    def _announce(self, record: SessionRecord) -> None:
        for warning in self._settings.warnings:
            console.say(f"warning: {warning}")
        if self._options.json:
            console.say_json(
                {
                    "session": record.name,
                    "attach": f"codewrap attach {record.name}",
                    "url": self._settings.gateway.url if self._settings.gateway else None,
                    "endpoint": record.endpoint,
                    "mode": record.mode,
                    "encrypted": record.encrypted,
                    "read_only": record.read_only,
                    "share": record.share,
                }
            )
        elif not self._options.quiet:
            what = printable(" ".join(self._command), 60)
            console.say(f"session {record.name}: {what} ({_WHO_TYPES[self._options.share]})")
            console.say(f"attach with: codewrap attach {record.name}")
            console.say(self._relay_line(record))

    def _relay_line(self, record: SessionRecord) -> str:
        sealed = "end-to-end encrypted" if record.encrypted else "NOT encrypted: the relay can read along"
        if self._settings.mode is Mode.EMBEDDED:
            return f"relay: embedded, this machine only ({record.endpoint}); {sealed}"
        return f"relay: {record.endpoint} ({record.mode}); {sealed}"

    def _notice(self, text: str) -> None:
        # A line of ours in the middle of a full-screen program would spoil it: kept for the end.
        self._notices.append(printable(text, 300))

    def _summarize(self, outcome: Outcome, log_directory: Path) -> None:
        if self._options.json or self._options.quiet:
            return
        for text in dict.fromkeys(self._notices):
            console.say(text)
        if outcome.log_broken:
            console.say(f"the session log could not be kept whole: {outcome.log_broken}")
        exited = outcome.exited
        how = f"killed by signal {exited.signal}" if exited.signal is not None else f"exit {exited.code}"
        parts = [how, console.duration(outcome.duration_s), f"{console.amount(outcome.output_bytes)} of output"]
        parts += self._costs(outcome.uplink, log_directory)
        if outcome.restarts:
            parts.append(f"the link was restarted {outcome.restarts} times")
        console.say(f"session {self._name} ended: " + ", ".join(parts))

    def _costs(self, report: dict[str, Any], log_directory: Path) -> list[str]:
        """Who watched, and what that cost; as far as it is written down where the uplink still delivers."""
        parts = []
        if report:
            parts.append(f"{report['peak_watchers']} watching at most")
        elif (spent := read_spent(log_directory)) is not None:
            report = spent.public(time.time())
        if report:
            size = f" ({console.amount(report['bytes'])})" if report["events"] else ""
            parts.append(f"{report['events']} events sent{size}")
        if report.get("messages"):
            a_day = console.count(report["messages_per_day_estimate"])
            parts.append(f"about {console.count(report['messages'])} messages ({a_day} a day at this rate)")
        if report.get("refused"):
            parts.append(f"{report['refused']} publishes failed")
        return parts


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
