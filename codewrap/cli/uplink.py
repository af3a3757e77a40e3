"""The uplink's process: ``python -m codewrap.cli.uplink FD``, started by `run`, never by a person.

Reads its configuration from the socket (no secret is ever in an argument or the environment), then wires the network to the log.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codewrap.cli.connections import Access, HostParts, direct_host, gateway_host, member_of, with_retries
from codewrap.cli.recordfile import open_cast
from codewrap.config import Gateway
from codewrap.errors import CodewrapError
from codewrap.protocol import channels, hostlink
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Decoder, Kind, Message
from codewrap.protocol.pacing import BrokerLimits
from codewrap.protocol.sealing import SEED_BYTES
from codewrap.redaction import redact_all
from codewrap.store import sessionlog
from codewrap.store.archive import Archive, Policy
from codewrap.transport.base import AppCredentials, Deliver, Endpoint
from codewrap.uplink.answerlinks import AnswerLinks
from codewrap.uplink.attendant import Attendant, OverhearingScreen, Senses
from codewrap.uplink.composer import SCROLLBACK_LINES, Composer, ScreenState
from codewrap.uplink.courier import Courier
from codewrap.uplink.depositor import END_WITHIN_S, Depositor
from codewrap.uplink.driving import LoopDriver, PollDriver
from codewrap.uplink.farewell import ABSENT_S
from codewrap.uplink.follower import LogFollower
from codewrap.uplink.heartbeat import Heartbeat
from codewrap.uplink.hostsocket import HostSocket
from codewrap.uplink.inputpath import UplinkPlan
from codewrap.uplink.notifier import Notifier
from codewrap.uplink.occurrence import Occurrence
from codewrap.uplink.quickpath import QuickPath
from codewrap.uplink.scribe import Scribe
from codewrap.uplink.session import UplinkSession
from codewrap.uplink.spending import CostPlan, Spending

if TYPE_CHECKING:
    from codewrap.broker.serving import HubServer
    from codewrap.terminal.emulator import Screen


RESUME_BYTES = 4 * 1024 * 1024
# At the hosted service every event costs, and is counted by the day: what is faster than this nobody reads.
HOSTED_EVENTS_PER_S = 10.0
# Where processors are short the command comes first, and the host that reads it.
NICENESS = 5
# Where the kernel shares processors out by session (sched(7), autogroup), niceness counts within a session only: that which `run`
# starts us in is our own.
SESSION_NICENESS = Path("/proc/self/autogroup")
ERROR_LOG = "uplink.log"
# While no server is reached the log is looked at so often.
UNREACHED_LOOK_S = 0.5
# What is new is brought to the server also where another uplink, or none, goes on with the session.
LEAVE_WITHIN_S = 5.0


def main() -> None:
    """The process. Its stderr is a private file beside the session log."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
        if os.getsid(0) == os.getpid():  # never the session of somebody else
            SESSION_NICENESS.write_text(str(NICENESS))
    connection = socket.socket(fileno=int(sys.argv[1]))
    configuration = _configuration(connection)
    if configuration is not None:
        redact_all(secrets_of(configuration))
        Uplink(configuration, connection).run()


def _configuration(connection: socket.socket) -> dict[str, Any] | None:
    import json

    # No more than that: of a command that is over already the end follows at once.
    prefix = connection.recv(hostlink.LENGTH_BYTES, socket.MSG_WAITALL)
    rest = connection.recv(int.from_bytes(prefix), socket.MSG_WAITALL) if len(prefix) == hostlink.LENGTH_BYTES else b""
    messages = Decoder().feed(prefix + rest)
    return dict(json.loads(messages[0].body)) if messages and messages[0].kind is Kind.CONFIGURE else None


def secrets_of(configuration: dict[str, Any]) -> list[str]:
    """What must not get into a log, in the forms that it might."""
    import base64

    texts = [(configuration.get("gateway") or {}).get("token")]
    for place in (configuration.get("hub") or {}, configuration.get("broker") or {}):
        texts += [place.get("secret"), place.get("master_key")]
        if place.get("master_key"):
            key = bytes.fromhex(place["master_key"])
            texts += [base64.b64encode(key).decode(), repr(key)]
    notify = configuration.get("notify") or {"targets": (), "secret": None}
    texts += [notify["secret"], *(target.get("url") for target in notify["targets"])]
    return [text for text in texts if text]


class Uplink:
    """One process: wiring by mode, the loop, tidying up."""

    def __init__(self, configuration: dict[str, Any], connection: socket.socket) -> None:
        self._configuration = configuration
        self._connection = connection
        self._host = HostSocket(connection)
        self._directory = Path(configuration["log_directory"])
        self._heartbeat = Heartbeat(self._directory, configuration["host"])
        wanted = functools.partial(open_cast, configuration) if configuration["record_file"] else None
        keep, host = configuration["kept"], configuration["host"]
        self._scribe = Scribe(self._directory, host, keep=keep, open_cast=wanted, failed=self._notice)
        self._follower = LogFollower(sessionlog.LogReader(self._directory))
        self._attendant, self._farewells = attendance(configuration, self._host)
        self._hub: HubServer | None = None
        self._ended_s: float | None = None  # known before the server was reached

    def run(self) -> None:
        """Until the session is over and told."""
        self._heartbeat.start()
        self._scribe.start()
        plan = UplinkPlan(
            session=self._configuration["session"],
            epoch=self._configuration["epoch"],
            encrypted=self._configuration["encrypted"],
            read_only=self._configuration["read_only"],
            began_at=self._configuration["began_at"],
            answers_queries=self._configuration["pty"] and self._configuration["headless"],
            watched=self._configuration["watched"],
            keyless=self._configuration["mode"] == "direct" and not self._configuration["broker"]["master_key"],
        )
        follower = self._follower
        follower.refresh()
        composer, engine = self._composer(plan, follower)
        self._attendant.begin(composer, engine)
        if self._configuration["mode"] == "embedded":
            self._start_hub()
        driver = self._driver()
        spending = Spending(_cost_plan(self._configuration), self._directory, time.monotonic())
        session = UplinkSession(plan, self._host, follower, driver.wake, spending=spending, attendant=self._attendant)
        parts = with_retries(lambda: self._connect(session.deliver), self._stopped, self._notice)
        if parts is not None:
            composer.limited_by(parts.limits, sealed=plan.encrypted)
            if parts.client_event_interval_s:  # it limits those, so it is the hosted service, or like it
                spending.keep_below(HOSTED_EVENTS_PER_S)
            depositor = self._depositor()
            gc.collect()
            gc.freeze()  # what is here now stays: the collector need not look at it with every keystroke
            try:
                quick = self._quick_path(plan, parts)
                session.begin(composer, parts.publisher, parts.subscriber, parts.output_secret, quick, engine)
                driver.run(session)
            finally:
                parts.subscriber.close()
                parts.publisher.close()
            if depositor is not None:  # while the session is still ours there
                depositor.finish(ended=session.over, within_s=END_WITHIN_S if session.over else LEAVE_WITHIN_S)
            if session.over:  # else the next uplink goes on with it
                parts.end()
        if self._hub is not None:
            self._hub.stop()
        self._tidy_up(finished=parts is None or session.over)
        self._farewells.close()

    def _quick_path(self, plan: UplinkPlan, parts: HostParts) -> QuickPath | None:
        """None where publishing is as quick (the embedded hub), and where events are counted: what goes so goes twice."""
        counted = self._configuration.get("max_rate") or self._configuration.get("budget")
        if parts.client_event_interval_s != 0 or counted:
            return None
        output_channel = channels.output_channel(plan.session, encrypted=plan.encrypted)
        return QuickPath(plan.session, output_channel, parts.subscriber.send, os.urandom(SEED_BYTES))

    def _depositor(self) -> Depositor | None:
        """Brings the log to the server, where that was not declined."""
        if not self._configuration.get("stored"):
            return None
        from codewrap.cli.connections import KnownSecrets
        from codewrap.transport.authorize import HttpAuthorizer
        from codewrap.transport.recordings import RecordingClient

        gateway, session = Gateway(**self._configuration["gateway"]), self._configuration["session"]
        keys = KnownSecrets(HttpAuthorizer(gateway.url, gateway.token, role="host", name=self._configuration["user"]))
        channel = channels.output_channel(session, encrypted=True)
        client = RecordingClient(gateway.url, gateway.token)
        epoch = self._configuration["epoch"]
        depositor = Depositor(session, epoch, self._directory, client, functools.partial(keys, channel), self._notice)
        depositor.start()
        return depositor

    def _driver(self) -> PollDriver | LoopDriver:
        loop = self._hub.runtime.loop if self._hub is not None else None
        return PollDriver() if loop is None else LoopDriver(loop)

    def _composer(self, plan: UplinkPlan, follower: LogFollower) -> tuple[Composer, Screen | None]:
        """What is known before the server is: the terminal's state is minded also while none can be reached."""
        rows, cols = self._configuration["size"]
        size = Size(rows=rows, cols=cols)
        screen: ScreenState | None = None
        engine: Screen | None = None
        # An uplink after another one: the last of the output is enough to draw from, and is answered already.
        resumed = self._configuration["resumed"]
        feed_from = max(follower.start, follower.end - RESUME_BYTES) if resumed else 0
        if self._configuration["pty"]:
            from codewrap.terminal.emulator import Screen
            from codewrap.uplink.answers import AnsweringScreen

            screen = engine = Screen(size, SCROLLBACK_LINES[0])
            if plan.answers_queries:
                screen = AnsweringScreen(engine, self._answer, follower.end - feed_from if resumed else 0)
            screen = OverhearingScreen(screen, self._attendant, follower.end - feed_from if resumed else 0)
        composer = Composer(plan.epoch, follower, screen, size, BrokerLimits(), sealed=plan.encrypted, feed_from=feed_from)
        return composer, engine

    def _answer(self, data: bytes) -> None:
        self._host.send(Message(Kind.ANSWER, body=data))

    def _connect(self, deliver: Deliver) -> HostParts:
        user = self._configuration["user"]
        if self._hub is not None:
            return self._embedded(self._hub, user, deliver)
        if self._configuration["mode"] == "direct":
            return direct_host(_access(self._configuration["broker"]), user, deliver)
        gateway = Gateway(**self._configuration["gateway"])
        return gateway_host(gateway, self._configuration["session"], user, deliver, self._notice)

    def _start_hub(self) -> None:
        from codewrap.broker.app import HubRuntime
        from codewrap.broker.apps import App
        from codewrap.broker.serving import HubServer

        hub = self._configuration["hub"]
        listener = socket.socket(fileno=os.dup(self._configuration["listen_fd"]))
        self._hub = HubServer(HubRuntime(App(hub["app_id"], hub["key"], hub["secret"])), listener=listener)
        self._hub.start()

    def _embedded(self, hub: HubServer, user: str, deliver: Deliver) -> HostParts:
        """The hub is in this process: publishing and subscribing go to it without a socket."""
        from codewrap.broker.inprocess import HubPublisher
        from codewrap.cli.connections import HUB_EVENT_BYTES, KnownSecrets
        from codewrap.transport.authorize import SecretAuthorizer
        from codewrap.transport.local import LocalSubscriber

        access = Access.to_hub(self._configuration["hub"])
        authorizer = SecretAuthorizer(access.credentials, access.master_key, member_of(user, "host", access.user))
        subscriber = LocalSubscriber(hub.open_local, authorizer, deliver)
        limits = BrokerLimits(event_bytes=HUB_EVENT_BYTES)
        return HostParts(HubPublisher(hub.runtime), subscriber, KnownSecrets(authorizer), limits)

    def _stopped(self, wait_s: float) -> bool:
        """Wait; True when the session is over before the server was ever reached, and nobody waits to hear of it."""
        deadline = time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0:
            if self._ended_s is not None:
                time.sleep(left)
                continue
            self._follower.refresh()
            self._attendant.turn(self._follower.end)
            attend_s = self._attendant.wait_s()
            pause_s = min(left, UNREACHED_LOOK_S if attend_s is None else min(attend_s, UNREACHED_LOOK_S))
            if select.select([self._connection], [], [], pause_s)[0]:
                messages = self._host.receive()
                for message in messages or ():
                    self._attendant.hear(message)
                if messages is None or any(message.kind is Kind.FINISH for message in messages):
                    self._ended_s = time.monotonic()
                    if not self._configuration["watched"]:
                        return True
        return self._ended_s is not None and time.monotonic() - self._ended_s >= ABSENT_S

    def _notice(self, text: str) -> None:
        self._host.send(Message(Kind.NOTICE, {"text": text}))

    def _tidy_up(self, *, finished: bool) -> None:
        """A loop that ended for another reason than the session's end leaves everything to the next uplink."""
        self._scribe.stop(over=finished)
        if not finished:
            return
        self._heartbeat.stop()
        if not self._configuration["kept"]:
            sessionlog.delete(self._directory)
        else:
            _delete_if_empty(self._directory / ERROR_LOG)
        from codewrap.store import retrieval  # nobody waits for it any more

        with contextlib.suppress(CodewrapError):
            # 0: this session was not to be kept. That says nothing of those that were.
            policy = Policy(self._configuration["keep_s"] or None, self._configuration["keep_bytes"])
            retrieval.forget(Archive(self._directory.parent).clean_up(policy, time.time()))
        with contextlib.suppress(CodewrapError):
            retrieval.remember(self._directory)


def attendance(configuration: dict[str, Any], host: HostSocket) -> tuple[Attendant, contextlib.ExitStack]:
    """Who minds what the command does, and the end of who brings word of it."""
    farewells, notifier, calls, senses = contextlib.ExitStack(), None, False, Senses(host.send)
    if wanted := configuration.get("notify"):
        from codewrap.uplink.tellers import targets

        def failed(what: str, reason: str) -> None:
            logging.warning("%s: %s", what, reason)
            host.send(Message(Kind.NOTICE, {"text": f"{what}: {reason}"}))

        courier = Courier(targets(wanted["targets"], wanted["secret"]), functools.partial(failed, "no notification"))
        farewells.callback(courier.close)
        tell: Callable[[Occurrence], object] = courier.tell
        if configuration["mode"] == "gateway" and wanted["answers"]:
            from codewrap.cli.answerdesk import AnswerDesk

            gateway = Gateway(**configuration["gateway"])
            server = AnswerDesk(gateway, configuration["session"], configuration["epoch"])
            links = AnswerLinks(server, tell, functools.partial(failed, "no answer link"))
            farewells.callback(links.close)
            tell, senses = links.tell, Senses(host.send, answered=links.report)
        notifier = Notifier(configuration["session"], configuration["epoch"], tell, time.time)
        calls = any(target["kind"] == "desktop" for target in wanted["targets"])
    return Attendant(Path(configuration["log_directory"]), senses, notifier, calls=calls), farewells


def _delete_if_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        if not path.stat().st_size:
            path.unlink()


def _cost_plan(configuration: dict[str, Any]) -> CostPlan:
    budget = configuration.get("budget")
    rate = configuration.get("max_rate")
    return CostPlan(rate) if budget is None else CostPlan(rate, budget["messages"], budget["period_s"], budget["text"])


def _access(broker: dict[str, Any]) -> Access:
    key = broker["key"]
    return Access(
        AppCredentials(broker["app_id"], key, broker["secret"]),
        Endpoint(broker["api_host"], broker["api_port"], broker["tls"], key),
        Endpoint(broker["ws_host"], broker["ws_port"], broker["tls"], key),
        bytes.fromhex(broker["master_key"]) if broker["master_key"] else None,
        broker["event_bytes"],
        broker["hosted"],
    )


if __name__ == "__main__":
    main()
