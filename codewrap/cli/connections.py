"""Puts network parts together, by mode: what an uplink publishes with, what a viewer subscribes with, who signs.

All of `transport` is imported here, inside the functions, by the processes that speak to a network and by no other.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codewrap.config import PUSHER_CLIENT_EVENTS_PER_S, Broker, Gateway
from codewrap.errors import CodewrapError, RemoteProtocolError, TransportError
from codewrap.protocol import channels, frames
from codewrap.protocol.pacing import BrokerLimits
from codewrap.protocol.roles import TAKES_CLIENT_OUTPUT
from codewrap.transport.base import (
    AppCredentials,
    Authorization,
    Authorizer,
    Deliver,
    Endpoint,
    Event,
    Publisher,
    Subscriber,
)

if TYPE_CHECKING:
    from codewrap.transport.gateway import GatewayClient

HUB_EVENT_BYTES = 100 * 1024
# Where a broker limits the client events of a connection, typing takes a little less: that leaves room for requests.
INPUT_SHARE = 0.83
# A signature is made for one socket; to learn a channel's key any socket's name will do.
_NO_SOCKET = "1.1"


@dataclass(frozen=True, slots=True)
class HostParts:
    """What the uplink is handed."""

    publisher: Publisher
    subscriber: Subscriber
    output_secret: Callable[[str], bytes | None]
    limits: BrokerLimits
    client_event_interval_s: float | None = None
    """Seconds between two client events that the broker takes; None: publishing is as quick."""


@dataclass(frozen=True, slots=True)
class ViewerParts:
    """What a viewer is handed."""

    subscriber: Subscriber
    send_over_http: Callable[[Event], None]
    endpoint: str
    input_interval_s: float


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one broker with its secret."""

    credentials: AppCredentials
    api: Endpoint
    ws: Endpoint
    master_key: bytes | None
    event_bytes: int
    hosted: bool = False

    @classmethod
    def to_broker(cls, broker: Broker) -> Access:
        """A configured one."""
        return cls(
            AppCredentials(broker.app_id, broker.key, broker.secret),
            Endpoint(broker.api_host, broker.api_port, broker.tls, broker.key),
            Endpoint(broker.ws_host, broker.ws_port, broker.tls, broker.key),
            broker.master_key,
            broker.event_bytes,
            broker.family == "PUSHER",
        )

    @classmethod
    def to_hub(cls, hub: dict[str, Any]) -> Access:
        """A session's embedded one, from its record."""
        endpoint = Endpoint("127.0.0.1", int(hub["port"]), False, hub["key"])
        return cls(
            AppCredentials(hub["app_id"], hub["key"], hub["secret"]),
            endpoint,
            endpoint,
            bytes.fromhex(hub["master_key"]),
            HUB_EVENT_BYTES,
        )


def member_of(user: str, role: str) -> Callable[[str], tuple[str, dict[str, object]]]:
    """Who a socket is on the presence channel: one member for each socket, so that leaving and coming back are seen."""

    def member(socket_id: str) -> tuple[str, dict[str, object]]:
        suffix = hashlib.sha256(socket_id.encode()).hexdigest()[:12]
        info: dict[str, object] = {"name": channels.printable(user, 60), "role": role, TAKES_CLIENT_OUTPUT: True}
        return f"{_user_id(user)}.{suffix}", info

    return member


def _user_id(user: str) -> str:
    """Pusher takes letters, digits and ``_-=@,.;`` in user ids."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-=@") else "-" for c in user)[:64] or "user"


class KnownSecrets:
    """Keys of channels as an authorizer gives them, kept for ``KEEP_S``: a new master key is taken up by then."""

    KEEP_S = 60.0

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._known: dict[str, tuple[float, bytes | None]] = {}

    def __call__(self, channel: str) -> bytes | None:
        """Blocks while it asks; raises AuthError or TransportError."""
        now_s = time.monotonic()
        known = self._known.get(channel)
        if known is not None and now_s - known[0] < self.KEEP_S:
            return known[1]
        try:
            authorization: Authorization = self._authorizer.authorize(channel, _NO_SOCKET)
        except TransportError:
            if known is not None:
                return known[1]  # the server is away: what held a minute ago most likely holds
            raise
        self._known[channel] = (now_s, authorization.shared_secret)
        return authorization.shared_secret


def direct_host(access: Access, user: str, deliver: Deliver) -> HostParts:
    """For a broker whose secret is here."""
    from codewrap.transport.authorize import SecretAuthorizer
    from codewrap.transport.publish import PusherPublisher
    from codewrap.transport.subscribe import PysherSubscriber

    authorizer = SecretAuthorizer(access.credentials, access.master_key, member_of(user, "host"))
    publisher = PusherPublisher(access.credentials, access.api, event_bytes=access.event_bytes)
    subscriber = PysherSubscriber(access.ws, authorizer, deliver)
    limits = BrokerLimits(event_bytes=access.event_bytes)
    interval_s = input_interval_s(PUSHER_CLIENT_EVENTS_PER_S if access.hosted else None)
    return HostParts(publisher, subscriber, KnownSecrets(authorizer), limits, interval_s)


def gateway_host(gateway: Gateway, session: str, user: str, deliver: Deliver) -> HostParts:
    """For a `serve-auth`. Raises AuthError or TransportError when it cannot be asked now."""
    from codewrap.transport.authorize import HttpAuthorizer
    from codewrap.transport.gateway import GatewayClient
    from codewrap.transport.subscribe import PysherSubscriber

    client = GatewayClient(gateway.url, gateway.token)
    found = client.config()
    authorizer = HttpAuthorizer(gateway.url, gateway.token, role="host", name=user)
    publisher = GatewayPublisher(client, session, found.event_bytes)
    keys = KnownSecrets(HttpAuthorizer(gateway.url, gateway.token, role="host", name=user))
    subscriber = PysherSubscriber(found.broker, authorizer, deliver, sign_in=True)
    limits = BrokerLimits(event_bytes=found.event_bytes)
    return HostParts(publisher, subscriber, keys, limits, input_interval_s(found.client_events_per_s))


class GatewayPublisher:
    """Publishes with session-scoped credentials, which it asks for when it has none, or when they are refused."""

    def __init__(self, client: GatewayClient, session: str, event_bytes: int) -> None:
        self._client = client
        self._session = session
        self._event_bytes = event_bytes
        self._publisher: Publisher | None = None

    def publish(self, events: Any) -> None:
        """As `Publisher.publish`."""
        from codewrap.errors import AuthError

        try:
            self._current().publish(events)
        except AuthError:
            self.close()
            self._current().publish(events)

    def close(self) -> None:
        """As `Publisher.close`."""
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None

    def _current(self) -> Publisher:
        from codewrap.transport.publish import PusherPublisher

        if self._publisher is None:
            opened = self._client.open_session(self._session)
            self._publisher = PusherPublisher(opened.credentials, opened.endpoint, event_bytes=self._event_bytes)
        return self._publisher


def direct_viewer(access: Access, user: str, role: str, deliver: Deliver) -> ViewerParts:
    """For a broker whose secret is here, or an embedded hub."""
    from codewrap.transport.authorize import SecretAuthorizer
    from codewrap.transport.subscribe import PysherSubscriber

    authorizer = SecretAuthorizer(access.credentials, access.master_key, member_of(user, role))
    subscriber = PysherSubscriber(access.ws, authorizer, deliver)
    interval_s = input_interval_s(PUSHER_CLIENT_EVENTS_PER_S if access.hosted else None)
    return ViewerParts(subscriber, functools.partial(_publish_once, access), access.ws.url, interval_s)


def input_interval_s(client_events_per_s: int | None) -> float:
    """Seconds between two events of typing at a broker that takes so many client events from a connection."""
    return 1 / (client_events_per_s * INPUT_SHARE) if client_events_per_s else 0.0


def _publish_once(access: Access, event: Event) -> None:
    from codewrap.transport.publish import PusherPublisher

    publisher = PusherPublisher(access.credentials, access.api, event_bytes=access.event_bytes)
    try:
        publisher.publish([event])
    finally:
        publisher.close()


def gateway_viewer(gateway: Gateway, session: str, user: str, role: str, deliver: Deliver) -> ViewerParts:
    """For a `serve-auth`. Raises AuthError or TransportError when it cannot be asked now."""
    from codewrap.transport.authorize import HttpAuthorizer
    from codewrap.transport.gateway import GatewayClient
    from codewrap.transport.subscribe import PysherSubscriber

    client = GatewayClient(gateway.url, gateway.token)
    found = client.config()
    authorizer = HttpAuthorizer(gateway.url, gateway.token, role=role, name=user)
    subscriber = PysherSubscriber(found.broker, authorizer, deliver, sign_in=True)
    interval_s = input_interval_s(found.client_events_per_s)
    return ViewerParts(subscriber, functools.partial(_send_by_gateway, client, session), gateway.url, interval_s)


def _send_by_gateway(client: GatewayClient, session: str, event: Event) -> None:
    try:
        value = json.loads(event.data)
    except ValueError as error:
        raise RemoteProtocolError("an event is not JSON") from error
    if event.name == channels.EVENT_SYNC:
        client.sync(session, value)
    elif "ciphertext" in value:
        client.send_input(session, value)
    else:
        frame = frames.decode_viewer(event.data)
        if isinstance(frame, frames.Input):
            client.send_text(session, frame.data.decode(errors="replace"))


def with_retries(
    attempt: Callable[[], HostParts], stop: Callable[[float], bool], notice: Callable[[str], None]
) -> HostParts | None:
    """Until ``attempt`` succeeds; between attempts ``stop`` is called with the seconds to wait, True ends it with None."""
    wait_s = 0.2
    said = ""
    while True:
        try:
            return attempt()
        except CodewrapError as error:
            if str(error) != said:
                said = str(error)
                notice(said)
        if stop(wait_s):
            return None
        wait_s = min(wait_s * 2, 10.0)
