"""Puts `doctor` together, by mode: facts of this machine, and the door to the server. The checks stand in `codewrap/doctor/`.

Imports the network: whoever needs only the options imports `doctor.py`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from codewrap import config
from codewrap.broker.app import HubRuntime
from codewrap.broker.apps import App
from codewrap.broker.serving import HubServer
from codewrap.cli import environment
from codewrap.cli.connections import HUB_EVENT_BYTES, Access, member_of
from codewrap.config import Broker as BrokerSettings
from codewrap.config import Mode, Settings
from codewrap.doctor import surroundings
from codewrap.doctor.access import Broker, DirectDoor, Front, GatewayDoor, Spelling
from codewrap.doctor.examination import Door, Examination
from codewrap.doctor.report import Check, failed, passed, warned
from codewrap.errors import ConfigError
from codewrap.store import files
from codewrap.transport.authorize import HttpAuthorizer, SecretAuthorizer
from codewrap.transport.base import AppCredentials, Authorizer, Deliver, Endpoint, Subscriber
from codewrap.transport.gateway import GatewayClient, GatewayConfig, OpenedSession
from codewrap.transport.keeper import Timing
from codewrap.transport.origin import Origin
from codewrap.transport.publish import PusherPublisher
from codewrap.transport.subscribe import PysherSubscriber

# The publisher's own check must not stand before what is measured.
_ANY_SIZE = 1_000_000
_HUB = "the embedded hub (a bug of ours: report it)"
_SPELLINGS = {
    Mode.EMBEDDED: Spelling(_HUB, _HUB, _HUB, _HUB, _HUB),
    Mode.GATEWAY: Spelling("CODEWRAP_URL", "the server's app id", "the server's key", "the server's secret", "the server's key"),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined; ``mode`` and ``server`` are None where the settings are wrong and only that can be said."""

    mode: str | None
    server: str | None
    checks: Callable[[], Iterator[Check]]


@contextlib.contextmanager
def prepared(values: Mapping[str, str], mode: str | None, tls: bool | None, timeout_s: float) -> Iterator[Subject]:
    """The examination of what ``values`` and flags set. Nothing is sent before its checks are asked for."""
    session = f"doctor-{secrets.token_hex(6)}"
    with contextlib.ExitStack() as stack:
        try:
            settings = config.load(values, mode, tls=tls)
            assembly = _Assembly(settings, values, session, timeout_s, stack)
            server, door, endpoints, credentials = assembly.parts()
        except ConfigError as error:
            yield Subject(None, None, functools.partial(_wrong_settings, error, values))
            return
        before = _before(settings, values, endpoints, credentials)
        examination = Examination(session, door, before, assembly.spelling, timeout_s)
        yield Subject(settings.mode.value, server, examination.run)


def _wrong_settings(error: ConfigError, values: Mapping[str, str]) -> Iterator[Check]:
    yield failed("settings", f"{error.setting} {error.problem}", error.advice or "correct it in the environment or .env")
    names = ("SOKETI_SERVICE_USER", "SOKETI_SERVICE_KEY", "SOKETI_SERVICE_SECRET")
    check = surroundings.default_credentials(AppCredentials(*(values.get(name, "") for name in names)))
    if any(name in values for name in names):
        yield check
    yield from _machine(values)


def _before(
    settings: Settings, values: Mapping[str, str], endpoints: list[Endpoint], credentials: AppCredentials | None
) -> list[Check]:
    # Missing TLS has a check of its own.
    remarks = [remark for remark in settings.warnings if not remark.startswith("TLS is switched off")]
    checks = [passed("mode", f"{settings.mode.value}, because {settings.reason}")]
    checks += [warned("settings", remark, "unset what is not meant") for remark in remarks]
    checks += _machine(values)
    first = endpoints[0]
    checks.append(surroundings.proxy(Origin(first.host, first.port, first.tls)))
    checks.append(surroundings.plain_http(endpoints))
    if credentials is not None:
        checks.append(surroundings.default_credentials(credentials))
    return checks


def _machine(values: Mapping[str, str]) -> list[Check]:
    size = None
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(1)
    encoding = sys.stdout.encoding or ""
    found = surroundings.Terminal(os.environ.get("TERM", ""), encoding, (size.columns, size.lines) if size else None)
    makers = [
        ("CODEWRAP_RUNTIME_DIR", functools.partial(files.runtime_directory, values)),
        ("CODEWRAP_STATE_DIR", functools.partial(files.state_directory, values)),
    ]
    return [surroundings.terminal(found), *surroundings.directories(makers)]


class _Assembly:
    """The door, by mode."""

    def __init__(
        self, settings: Settings, values: Mapping[str, str], session: str, timeout_s: float, stack: contextlib.ExitStack
    ) -> None:
        self._settings = settings
        self._stack = stack
        self._user = environment.user_name(values)
        self._session = session
        self._timeout_s = timeout_s
        broker = settings.broker
        self.spelling = _SPELLINGS.get(settings.mode) or _spelling(broker)

    def parts(self) -> tuple[str, Door, list[Endpoint], AppCredentials | None]:
        """The server for people, the door to it, its endpoints, and the credentials that were configured."""
        gateway, broker = self._settings.gateway, self._settings.broker
        if self._settings.mode is Mode.GATEWAY and gateway is not None:
            origin = Origin.parse(gateway.url)
            return gateway.url, self._gateway(gateway, origin), [Endpoint(origin.host, origin.port, origin.tls, "")], None
        if self._settings.mode is Mode.DIRECT and broker is not None:
            access = Access.to_broker(broker)
            return access.api.url, self._direct(access), [access.api, access.ws], access.credentials
        access = self._hub()
        return access.api.url, self._direct(access), [access.api], None

    def _hub(self) -> Access:
        """A hub as `run` starts one, in this process, on a socket of loopback."""
        credentials = AppCredentials("1", secrets.token_hex(16), secrets.token_hex(32))
        server = HubServer(HubRuntime(App(credentials.app_id, credentials.key, credentials.secret)))
        server.start()
        self._stack.callback(server.stop)
        endpoint = Endpoint("127.0.0.1", server.port, False, credentials.key)
        return Access(credentials, endpoint, endpoint, secrets.token_bytes(config.MASTER_KEY_BYTES), HUB_EVENT_BYTES)

    def _direct(self, access: Access) -> DirectDoor:
        publisher = PusherPublisher(access.credentials, access.api, event_bytes=_ANY_SIZE, timeout_s=self._timeout_s)
        broker = Broker(
            ws=access.ws,
            open_host=functools.partial(self._subscriber, access.ws, self._signer(access, "host")),
            open_viewer=functools.partial(self._subscriber, access.ws, self._signer(access, "writer")),
            publisher=publisher,
            event_bytes=access.event_bytes,
            has_master_key=access.master_key is not None,
        )
        api = access.api
        front = Front(Origin(api.host, api.port, api.tls, api.path), "/", self.spelling, self._timeout_s)
        return DirectDoor(front, broker, publisher, self.spelling)

    def _gateway(self, gateway: config.Gateway, origin: Origin) -> GatewayDoor:
        client = GatewayClient(gateway.url, gateway.token, timeout_s=self._timeout_s)
        front = Front(origin, "/healthz", self.spelling, self._timeout_s)
        make_broker = functools.partial(self._behind, gateway, client)
        return GatewayDoor(front, client, self._asker(gateway, "host"), make_broker, self._session)

    def _behind(
        self, gateway: config.Gateway, client: GatewayClient, found: GatewayConfig, opened: OpenedSession | None
    ) -> Broker:
        publisher = None
        if opened is not None:
            publisher = PusherPublisher(opened.credentials, opened.endpoint, event_bytes=_ANY_SIZE, timeout_s=self._timeout_s)
        return Broker(
            ws=found.broker,
            open_host=functools.partial(self._subscriber, found.broker, self._asker(gateway, "host")),
            open_viewer=functools.partial(self._subscriber, found.broker, self._asker(gateway, "writer")),
            publisher=publisher,
            event_bytes=found.event_bytes,
            send_input=lambda sealed: client.send_input(self._session, json.loads(sealed)),
        )

    def _signer(self, access: Access, role: str) -> Authorizer:
        return SecretAuthorizer(access.credentials, access.master_key, member_of(self._user, role))

    def _asker(self, gateway: config.Gateway, role: str) -> HttpAuthorizer:
        asker = HttpAuthorizer(gateway.url, gateway.token, role=role, name=self._user, timeout_s=self._timeout_s)
        self._stack.callback(asker.close)
        return asker

    def _subscriber(self, endpoint: Endpoint, authorizer: Authorizer, deliver: Deliver) -> Subscriber:
        timing = Timing(connect_timeout_s=self._timeout_s)
        return PysherSubscriber(endpoint, authorizer, deliver, timing=timing)


def _spelling(broker: BrokerSettings | None) -> Spelling:
    if broker is not None and broker.family == "PUSHER":
        address = "PUSHER_HOST and PUSHER_PORT" if not broker.api_host.endswith(".pusher.com") else "PUSHER_CLUSTER"
        return Spelling(address, "PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET", config.PUSHER_MASTER_KEY_NAMES[0])
    return Spelling(
        "SOKETI_HOST and SOKETI_PORT",
        "SOKETI_SERVICE_USER",
        "SOKETI_SERVICE_KEY",
        "SOKETI_SERVICE_SECRET",
        config.SOKETI_MASTER_KEY_NAMES[0],
    )
