"""The network's seam: what `uplink`, `viewer` and `doctor` are handed, and the values that cross it.

Nothing here touches a network. `publish.py`, `subscribe.py` and `gateway.py` implement it; the embedded hub does too.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from codewrap.errors import TransportError

if TYPE_CHECKING:
    from codewrap.protocol.grants import Grant


class RetryLater(TransportError):
    """The server asks for patience (429, 503, a used-up quota). ``retry_after_s`` is its wish, None if not stated."""

    def __init__(self, server: str, reason: str, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(server, reason, retry=True, status=status)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker is, as this machine reaches it. ``key`` is the app key, which is public."""

    host: str
    port: int
    tls: bool
    key: str
    path: str = ""

    @property
    def url(self) -> str:
        """For people: scheme, host and port; no key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """What signs requests to the HTTP API: a whole app's, or one session's in gateway mode. ``app_id`` is digits."""

    app_id: str
    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """One event to publish. ``data`` is the final text (already JSON, already sealed)."""

    channel: str
    name: str
    data: str

    @property
    def size_bytes(self) -> int:
        """Encoded size of ``data``: what brokers limit."""
        return len(self.data.encode())


class Publisher(Protocol):
    """Publishes over the Pusher HTTP API. Blocking; owned by one thread."""

    def publish(self, events: Sequence[Event]) -> None:
        """Deliver at least once, in this order; 1 to 10 events. Raises TransportError or AuthError within the deadline."""

    def close(self) -> None:
        """Release sockets. Never raises."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """What lets one socket subscribe to one channel (Pusher: auth signatures). ``grant``: and type into its session."""

    auth: str
    channel_data: str | None = None
    shared_secret: bytes | None = field(default=None, repr=False)
    grant: Grant | None = None


class Authorizer(Protocol):
    """Signs subscriptions: with the app secret here, or by asking `serve-auth`. Blocking, bounded by a deadline."""

    def authorize(self, channel: str, socket_id: str) -> Authorization:
        """Raises AuthError when refused, TransportError when it cannot be asked now."""

    def sign_in(self, socket_id: str) -> tuple[str, str] | None:
        """``(auth, user_data)`` for `pusher:signin`, or None where nobody signs in."""


class Wire(Protocol):
    """One open connection to a broker, carrying text frames. It tells of arrivals by the callables given at its making."""

    @property
    def heard_at_s(self) -> float:
        """`time.monotonic` when anything was last heard from the other end."""

    def send(self, text: str) -> bool:
        """Write one frame from any thread; False when the connection is gone or its buffer is full. Never blocks."""

    def close(self) -> None:
        """Leave, from any thread; the threads of the wire end soon after. Never raises, never waits."""


OnText = Callable[[str], None]
OnClose = Callable[[int | None, str], None]
OpenWire = Callable[[OnText, OnClose], Wire]


class ConnectionState(enum.Enum):
    """As pusher-js names them; RECONNECTING adds the wait."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    UNAVAILABLE = "unavailable"
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class StateChanged:
    """``retry_in_s`` is set while RECONNECTING; ``reason`` is for people, without secrets."""

    state: ConnectionState
    reason: str = ""
    retry_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One presence member, as the server vouches for it."""

    user_id: str
    info: dict[str, object]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """``members`` is empty except on presence channels; ``me`` is this socket's own user id there."""

    channel: str
    members: tuple[Member, ...] = ()
    me: str | None = None


@dataclass(frozen=True, slots=True)
class Renewed:
    """What came with the subscription (a key, a grant) was given anew, as `Subscriber.renew` wanted."""

    channel: str


@dataclass(frozen=True, slots=True)
class SubscriptionFailed:
    """The channel was refused, or what `Subscriber.renew` wanted of it; the connection stays."""

    channel: str
    status: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class MemberAdded:
    channel: str
    member: Member


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    channel: str
    member: Member


@dataclass(frozen=True, slots=True)
class Received:
    """An event on a channel; ``data`` is text, decrypted where the channel is encrypted."""

    channel: str
    name: str
    data: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClientEventsRefused:
    """The broker does not relay client events on this app or at this rate (43xx)."""

    channel: str | None
    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Silence:
    """The connection stands, but the broker leaves a ping unanswered: nothing was heard for ``for_s``. None: it speaks again."""

    for_s: float | None


SubscriberEvent = (
    StateChanged
    | Subscribed
    | Renewed
    | SubscriptionFailed
    | MemberAdded
    | MemberRemoved
    | Received
    | ClientEventsRefused
    | Silence
)
Deliver = Callable[[SubscriberEvent], None]


class Subscriber(Protocol):
    """A connection that is kept: reconnects with back-off and jitter, and authorizes afresh each time.

    Events are handed to the ``deliver`` callable given at construction, from the subscriber's own threads and in the
    order of arrival; it must only enqueue.
    """

    def start(self) -> None:
        """Begin connecting; returns at once."""

    def subscribe(self, channel: str, *, renew_s: float | None = None) -> None:
        """Want ``channel`` from now on, over every reconnect; ``renew_s``: `renew` it so often."""

    def renew(self, channel: str) -> None:
        """Have ``channel`` authorized again while it stays subscribed: `Renewed` or `SubscriptionFailed` follows.

        Returns at once. Until then what was given before is kept, and another call does nothing.
        """

    def send(self, channel: str, name: str, data: str) -> bool:
        """Send a client event; False when not connected and subscribed (nothing was sent). Never blocks long."""

    def shared_secret(self, channel: str) -> bytes | None:
        """The key of an encrypted channel, once authorized."""

    def grant(self, channel: str) -> Grant | None:
        """This connection's leave to type, once ``channel`` is authorized and if it brought one."""

    def close(self) -> None:
        """Leave. Returns within a second; never raises."""
