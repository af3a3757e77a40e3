"""Puts network parts together, by mode: what an uplink publishes with, what a viewer subscribes with, who signs.

All of `transport` is imported here, inside the functions, by the processes that speak to a network and by no other.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codewrap.config import PUSHER_CLIENT_EVENTS_PER_S, Broker, Gateway
from codewrap.errors import AuthError, CodewrapError, RemoteProtocolError, TransportError
from codewrap.protocol import channels, frames
from codewrap.protocol.pacing import BrokerLimits
from codewrap.protocol.roles import CHALLENGE, TAKES_CLIENT_OUTPUT
from codewrap.transport.base import (
    AppCredentials,
    Authorization,
    Authorizer,
    Deliver,
    Endpoint,
    Event,
    MemberAdded,
    Publisher,
    Received,
    Subscribed,
    Subscriber,
    SubscriberEvent,
)

if TYPE_CHECKING:
    from codewrap.transport.gateway import GatewayClient, OpenedSession
    from codewrap.transport.lease import Lease

HUB_EVENT_BYTES = 100 * 1024
# Where a broker limits the client events of a connection, typing takes a little less: that leaves room for requests.
INPUT_SHARE = 0.83
# Who was refused is told the same again, and counted as somebody who guesses.
REFUSED_RETRY_S = 30.0
_REQUESTS = (channels.EVENT_SYNC, channels.EVENT_CLIENT_SYNC)
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
    end: Callable[[], None] = lambda: None
    """To be called when the session is over and told."""


@dataclass(frozen=True, slots=True)
class ViewerName:
    """What a viewer shows of itself: ``user`` to people, ``role`` ("viewer" or "writer"), ``challenge`` to the host."""

    user: str
    role: str
    challenge: str


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
    user: str | None = None
    """Who everybody is there, whatever name they show: only this machine's user can read a session's record."""

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
            user=_login(),
        )


def member_of(
    user: str, role: str, user_id: str | None = None, challenge: str = ""
) -> Callable[[str], tuple[str, dict[str, object]]]:
    """Who a socket is on the presence channel: one member for each socket, so that leaving and coming back are seen.

    ``user`` is the name to show, and with ``user_id`` None also who it is. ``challenge`` is a viewer's (`roles.CHALLENGE`).
    """
    known_as = _user_id(user_id or user)

    def member(socket_id: str) -> tuple[str, dict[str, object]]:
        suffix = hashlib.sha256(socket_id.encode()).hexdigest()[:12]
        info: dict[str, object] = {"name": channels.printable(user, 60), "role": role, TAKES_CLIENT_OUTPUT: True}
        if challenge:
            info[CHALLENGE] = challenge
        return f"{known_as}.{suffix}", info

    return member


def _user_id(user: str) -> str:
    """Pusher takes letters, digits and ``_-=@,.;`` in user ids."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-=@") else "-" for c in user)[:64] or "user"


def _login() -> str:
    """The account as the system names it: settings and environment may say anything."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


class KnownSecrets:
    """Keys of channels as an authorizer gives them, kept for ``KEEP_S``: a new master key is taken up by then.

    And sooner where somebody may have a newer one: whoever comes, or asks for what they cannot open.
    """

    KEEP_S = 60.0
    DOUBTED_S = 2.0

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._known: dict[str, tuple[float, bytes | None]] = {}
        self._doubted_s = float("-inf")

    def __call__(self, channel: str) -> bytes | None:
        """Blocks while it asks; raises AuthError or TransportError."""
        now_s = time.monotonic()
        known = self._known.get(channel)
        keep_s = self.KEEP_S if known is None or self._doubted_s < known[0] else self.DOUBTED_S
        if known is not None and now_s - known[0] < keep_s:
            return known[1]
        try:
            authorization: Authorization = self._authorizer.authorize(channel, _NO_SOCKET)
        except TransportError:
            if known is not None:
                return known[1]  # the server is away: what held a minute ago most likely holds
            raise
        self._known[channel] = (now_s, authorization.shared_secret)
        return authorization.shared_secret

    def doubting(self, deliver: Deliver) -> Deliver:
        """``deliver``, told of everything that happens; what makes a newer key likely is noted."""

        def heard(event: SubscriberEvent) -> None:
            if isinstance(event, Subscribed | MemberAdded) or (isinstance(event, Received) and event.name in _REQUESTS):
                self._doubted_s = time.monotonic()
            deliver(event)

        return heard


def direct_host(access: Access, user: str, deliver: Deliver) -> HostParts:
    """For a broker whose secret is here."""
    from codewrap.transport.authorize import SecretAuthorizer
    from codewrap.transport.publish import PusherPublisher
    from codewrap.transport.subscribe import PysherSubscriber

    authorizer = SecretAuthorizer(access.credentials, access.master_key, member_of(user, "host"))
    publisher = PusherPublisher(access.credentials, access.api, event_bytes=access.event_bytes)
    subscriber = PysherSubscriber(access.ws, authorizer, deliver, sign_in=True)
    limits = BrokerLimits(event_bytes=access.event_bytes)
    interval_s = input_interval_s(PUSHER_CLIENT_EVENTS_PER_S if access.hosted else None)
    return HostParts(publisher, subscriber, KnownSecrets(authorizer), limits, interval_s)


def gateway_host(gateway: Gateway, session: str, user: str, deliver: Deliver, notice: Callable[[str], None]) -> HostParts:
    """For a `serve-auth`, where the session is opened. ``notice`` is told if it cannot be held later.

    Raises AuthError or TransportError when it cannot be asked now, or refuses: nothing was joined then.
    """
    from codewrap.transport.authorize import HttpAuthorizer
    from codewrap.transport.gateway import GatewayClient
    from codewrap.transport.lease import Lease
    from codewrap.transport.subscribe import PysherSubscriber

    client = GatewayClient(gateway.url, gateway.token, prepares=False)
    found = client.config()
    lease = Lease(client, session, notice)
    lease.open()
    authorizer = HttpAuthorizer(gateway.url, gateway.token, role="host", name=user)
    publisher = GatewayPublisher(lease, found.event_bytes)
    keys = KnownSecrets(HttpAuthorizer(gateway.url, gateway.token, role="host", name=user))
    subscriber = PysherSubscriber(found.broker, authorizer, keys.doubting(deliver), sign_in=True)
    limits = BrokerLimits(event_bytes=found.event_bytes)
    return HostParts(publisher, subscriber, keys, limits, input_interval_s(found.client_events_per_s), lease.end)


class GatewayPublisher:
    """Publishes with the session's own credentials, as ``lease`` has them; has it ask anew when they are refused."""

    def __init__(self, lease: Lease, event_bytes: int) -> None:
        self._lease = lease
        self._event_bytes = event_bytes
        self._publisher: Publisher | None = None
        self._opened: OpenedSession | None = None

    def publish(self, events: Any) -> None:
        """As `Publisher.publish`."""
        opened = self._lease.opened
        try:
            self._with(opened).publish(events)
        except AuthError:
            self._lease.refused(opened)
            self._with(self._lease.opened).publish(events)

    def close(self) -> None:
        """As `Publisher.close`."""
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None

    def _with(self, opened: OpenedSession) -> Publisher:
        from codewrap.transport.publish import PusherPublisher

        if self._publisher is None or self._opened is not opened:
            self.close()
            self._publisher = PusherPublisher(opened.credentials, opened.endpoint, event_bytes=self._event_bytes)
            self._opened = opened
        return self._publisher


def direct_viewer(access: Access, viewer: ViewerName, deliver: Deliver) -> ViewerParts:
    """For a broker whose secret is here, or an embedded hub."""
    from codewrap.transport.authorize import SecretAuthorizer
    from codewrap.transport.subscribe import PysherSubscriber

    member = member_of(viewer.user, viewer.role, access.user, viewer.challenge)
    authorizer = SecretAuthorizer(access.credentials, access.master_key, member)
    # A broker that is told to end users' connections ends those of nobody in particular as well.
    subscriber = PysherSubscriber(access.ws, authorizer, deliver, sign_in=access.user is None)
    interval_s = input_interval_s(PUSHER_CLIENT_EVENTS_PER_S if access.hosted else None)
    return ViewerParts(subscriber, functools.partial(publish_once, access), access.ws.url, interval_s)


def input_interval_s(client_events_per_s: int | None) -> float:
    """Seconds between two events of typing at a broker that takes so many client events from a connection."""
    return 1 / (client_events_per_s * INPUT_SHARE) if client_events_per_s else 0.0


def publish_once(access: Access, event: Event) -> None:
    """Over a connection for this alone. Raises AuthError, TransportError."""
    from codewrap.transport.publish import PusherPublisher

    publisher = PusherPublisher(access.credentials, access.api, event_bytes=access.event_bytes)
    try:
        publisher.publish([event])
    finally:
        publisher.close()


def gateway_viewer(gateway: Gateway, session: str, viewer: ViewerName, deliver: Deliver) -> ViewerParts:
    """For a `serve-auth`. Raises AuthError or TransportError when it cannot be asked now."""
    from codewrap.transport.authorize import HttpAuthorizer
    from codewrap.transport.gateway import GatewayClient
    from codewrap.transport.subscribe import PysherSubscriber

    client = GatewayClient(gateway.url, gateway.token)
    found = client.config()
    authorizer = HttpAuthorizer(gateway.url, gateway.token, role=viewer.role, name=viewer.user, challenge=viewer.challenge)
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
        refused = False
        try:
            return attempt()
        except CodewrapError as error:
            refused = isinstance(error, AuthError) or (isinstance(error, TransportError) and not error.retry)
            if str(error) != said:
                said = str(error)
                notice(said)
        if stop(REFUSED_RETRY_S if refused else wait_s):
            return None
        wait_s = min(wait_s * 2, 10.0)
