"""The hub: connections, their subscriptions and what travels between them, by Pusher protocol 7.

Pure: frames come in as text and go out through each connection's sink; clock and random bytes are handed in. One thread
owns a hub. Nothing a client sends raises here: what breaks a rule is answered and dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from codewrap.broker import messages, signatures
from codewrap.broker.apps import App
from codewrap.broker.channels import Channel, Channels, EventCache
from codewrap.broker.connections import Connection, Sink, User
from codewrap.broker.limits import Limits
from codewrap.broker.messages import ClientFrame
from codewrap.broker.names import ChannelKind, ChannelName, parse_channel
from codewrap.broker.presence import Member, read_member
from codewrap.broker.refusals import Refusal
from codewrap.broker.users import Users, read_user
from codewrap.broker.webhooks import Emit, HookEvents

_CLOSE_ONLY = ("6", "7")  # older protocols are sent `pusher:error` before the close frame


class Hub:
    """One app's connections and channels.

    ``clock`` gives seconds that never go back; ``random_bytes(n)`` must be unguessable; ``emit`` takes webhook events.
    The owner calls `tick` about once a second.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        emit: Emit = lambda _event: None,
    ) -> None:
        self.app = app
        self.limits = limits
        self.channels = Channels()
        self.users = Users()
        self.cache = EventCache(limits.cache_ttl_s, limits.cached_events)
        self._clock = clock
        self._random_bytes = random_bytes
        self._hooks = HookEvents(emit, limits.hold_back_s)
        self._connections: dict[Connection, None] = {}
        self._by_socket: dict[str, Connection] = {}
        self._uncounted: dict[Channel, None] = {}
        self._counted_s = clock()
        self._handlers: dict[str, Callable[[Connection, ClientFrame], None]] = {
            "pusher:ping": self._answer_ping,
            "pusher:pong": self._ignore,
            "pusher:subscribe": self._subscribe,
            "pusher:unsubscribe": self._unsubscribe,
            "pusher:signin": self._sign_in,
        }

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    def is_open(self, socket_id: str) -> bool:
        """Whether a connection of that id is open now."""
        return socket_id in self._by_socket

    def count_members(self, label: str) -> dict[str, int]:
        """Members of all presence channels by the text under ``label`` of their info ("" where there is none)."""
        counts: dict[str, int] = {}
        for channel in self.channels:
            for member in channel.roster.members if channel.roster is not None else ():
                value = member.info.get(label) if isinstance(member.info, dict) else None
                text = value if isinstance(value, str) else ""
                counts[text] = counts.get(text, 0) + 1
        return counts

    def now_s(self) -> float:
        """The hub's clock."""
        return self._clock()

    # Connections

    def connect(self, sink: Sink, key: str, protocol: str | None) -> Connection | None:
        """Admit an accepted socket, which is greeted; None when it was refused, and its sink closed."""
        try:
            version = _protocol_version(protocol)
            if not signatures.same(key, self.app.key):
                raise Refusal(4001, "Could not find an app with this key")
            if len(self._connections) >= self.limits.connections:
                raise Refusal(self.limits.over_connections_code, "Over the limit of connections")
        except Refusal as refusal:
            refuse_connection(sink, refusal, protocol)
            return None
        now = self._clock()
        connection = Connection(self._new_socket_id(), sink, version, opened_s=now, heard_s=now)
        self._connections[connection] = None
        self._by_socket[connection.socket_id] = connection
        sink.send(messages.connection_established(connection.socket_id, self.limits.activity_timeout_s))
        return connection

    def receive(self, connection: Connection, text: str) -> None:
        """Take one text frame."""
        if connection.closed:
            return
        connection.heard(self._clock())
        try:
            frame = messages.parse_frame(text, self.limits)
            if frame.event.startswith(messages.CLIENT_PREFIX):
                self._client_event(connection, frame)
            else:
                self._handlers.get(frame.event, self._unknown)(connection, frame)
        except Refusal as refusal:
            connection.sink.send(messages.error(refusal.code, refusal.reason))

    def receive_binary(self, connection: Connection) -> None:
        """Take note of a binary frame, which the protocol does not have."""
        if not connection.closed:
            connection.heard(self._clock())
            connection.sink.send(messages.error(None, "Binary messages are not supported"))

    def disconnect(self, connection: Connection) -> None:
        """The socket is gone, or about to be closed. Harmless when repeated."""
        if connection.closed:
            return
        connection.closed = True
        del self._connections[connection]
        self._by_socket.pop(connection.socket_id, None)
        for channel in list(connection.channels.values()):
            self._leave(connection, channel)
        self.users.sign_out(connection)

    def close(self, connection: Connection, code: int, reason: str) -> None:
        """End a connection from this side."""
        self.disconnect(connection)
        connection.sink.close(code, reason)

    def shut_down(self) -> None:
        """Ask all clients to come back at once: this server goes."""
        for connection in list(self._connections):
            self.close(connection, 4200, "The server is shutting down")

    def tick(self) -> None:
        """Pings, time-outs, counts and held-back webhooks: whatever is due by the clock."""
        now = self._clock()
        for connection in list(self._connections):
            self._check_pulse(connection, now)
        if now - self._counted_s >= self.limits.count_interval_s:
            self._counted_s = now
            uncounted, self._uncounted = self._uncounted, {}
            for channel in uncounted:
                self._send_count(channel)
        self.cache.forget_expired(now)
        self._hooks.release(now)

    def _check_pulse(self, connection: Connection, now: float) -> None:
        within_s = self.app.authorized_within_s
        if within_s is not None and not connection.authorized and now - connection.opened_s >= within_s:
            self.close(connection, 4009, "Connection not authorized within timeout")
        elif connection.pinged_s is not None:
            if now - connection.pinged_s >= self.limits.pong_timeout_s:
                self.close(connection, 4201, "Pong reply not received in time")
        elif now - connection.heard_s >= self.limits.activity_timeout_s:
            connection.pinged_s = now
            connection.sink.send(messages.PING)

    def _new_socket_id(self) -> str:
        raw = self._random_bytes(10)
        return f"{int.from_bytes(raw[:5])}.{int.from_bytes(raw[5:])}"

    # Frames of clients

    def _answer_ping(self, connection: Connection, _frame: ClientFrame) -> None:
        connection.sink.send(messages.PONG)

    def _ignore(self, _connection: Connection, _frame: ClientFrame) -> None:
        """A pong has done its work by being heard."""

    def _unknown(self, _connection: Connection, _frame: ClientFrame) -> None:
        raise Refusal(None, "Unknown event: clients may send client- events and those of the protocol")

    def _subscribe(self, connection: Connection, frame: ClientFrame) -> None:
        data = messages.object_of(frame.data)
        channel = data.get("channel")
        if not isinstance(channel, str):
            raise Refusal(None, "The subscription names no channel")
        if channel in connection.channels:
            raise Refusal(None, f"Existing subscription to channel {channel}")
        try:
            name = parse_channel(channel, self.limits.channel_name_chars)
            member = self._admit(connection, name, data)
        except Refusal as refusal:
            text = messages.subscription_error(channel, refusal.code or 401, refusal.reason)
            connection.sink.send(text)
        else:
            self._join(connection, name, member)

    def _admit(self, connection: Connection, name: ChannelName, data: dict[str, object]) -> Member | None:
        """Check that the connection may join; the member it joins as, on presence channels. Raises Refusal."""
        if len(connection.channels) >= self.limits.channels_per_connection:
            raise Refusal(4100, "Too many channels on this connection")
        if name.kind is ChannelKind.SERVER_TO_USER:
            if connection.user is None or connection.user.user_id != name.user_id:
                raise Refusal(401, "Only the signed-in user may subscribe to this channel")
            return None
        if not name.needs_authorization:
            return None
        channel_data = data.get("channel_data")
        if channel_data is not None and not isinstance(channel_data, str):
            raise Refusal(401, "channel_data must be a string")
        signatures.check_channel_auth(self.app, data.get("auth"), connection.socket_id, name.text, channel_data)
        if not name.is_presence:
            return None
        return self._admit_member(name, read_member(channel_data, connection.user, self.limits))

    def _admit_member(self, name: ChannelName, member: Member) -> Member:
        channel = self.channels.get(name.text)
        roster = channel.roster if channel is not None else None
        if roster is not None and len(roster) >= self.limits.presence_members and member.user_id not in roster:
            raise Refusal(4100, f"The channel has its {self.limits.presence_members} members")
        return member

    def _unsubscribe(self, connection: Connection, frame: ClientFrame) -> None:
        name = messages.object_of(frame.data).get("channel")
        channel = connection.channels.get(name) if isinstance(name, str) else None
        if channel is None:
            raise Refusal(None, f"No current subscription to channel {str(name)[:200]}")
        self._leave(connection, channel)

    def _sign_in(self, connection: Connection, frame: ClientFrame) -> None:
        data = messages.object_of(frame.data)
        user_data = data.get("user_data")
        if not isinstance(user_data, str):
            raise Refusal(None, "The sign-in has no user_data")
        try:
            signatures.check_user_auth(self.app, data.get("auth"), connection.socket_id, user_data)
            user = read_user(user_data, self.limits)
        except Refusal as refusal:
            connection.sink.send(messages.error(refusal.code, refusal.reason))
            self.close(connection, 4009, refusal.reason)
            return
        if connection.user is not None and connection.user.user_id != user.user_id:
            raise Refusal(None, "Connection already signed in as another user")
        if connection.user is None:
            self._take_in(connection, user)
        else:
            connection.sink.send(messages.signin_success(connection.user.user_data))

    def _take_in(self, connection: Connection, user: User) -> None:
        watchlist = user.watchlist if self.app.watchlists else ()
        kept = User(user.user_id, user.user_data, user.info, watchlist[: self.limits.watchlist_users])
        self.users.sign_in(connection, kept)
        connection.authorized = True
        connection.sink.send(messages.signin_success(user.user_data))
        if len(watchlist) > len(kept.watchlist):
            text = f"Watchlist limit exceeded: the first {self.limits.watchlist_users} users are watched"
            connection.sink.send(messages.error(4302, text))
        state = self.users.present_state(kept)
        if state is not None:
            connection.sink.send(state)

    def _client_event(self, connection: Connection, frame: ClientFrame) -> None:
        channel = self._client_event_channel(connection, frame)
        data = self._client_event_data(frame)
        if not connection.may_send_event(self._clock(), self.limits.client_events_per_s):
            raise Refusal(4301, "Client event rejected due to rate limit exceeded")
        user_id = channel.roster.user_id_of(connection) if channel.roster is not None else None
        text = messages.event(channel.name.text, frame.event, data, user_id)
        channel.send(text, except_socket=connection.socket_id)
        self._hooks.client_event(channel.name.text, frame.event, data or "", connection.socket_id, user_id)

    def _client_event_channel(self, connection: Connection, frame: ClientFrame) -> Channel:
        if not self.app.client_events:
            raise Refusal(None, "To send client events, you must enable this feature for the app")
        channel = connection.channels.get(frame.channel) if isinstance(frame.channel, str) else None
        if channel is None:
            shown = str(frame.channel)[:200]
            raise Refusal(None, f"Cannot broadcast client event (connection not subscribed to channel {shown})")
        if not channel.name.needs_authorization:
            raise Refusal(None, "Client event rejected - only supported on private and presence channels")
        return channel

    def _client_event_data(self, frame: ClientFrame) -> str | None:
        if len(frame.event) > self.limits.event_name_chars or messages.size_bytes(frame.event) is None:
            raise Refusal(None, f"The event name exceeds {self.limits.event_name_chars} characters")
        data = frame.data
        if data is not None and not isinstance(data, str):
            if not messages.depth_within(data, self.limits.json_depth):
                raise Refusal(None, "The data of this event is nested too deep")
            try:
                data = messages.encode_json(data)
            except ValueError:
                raise Refusal(None, "The data of this event is not valid JSON") from None
        size = messages.size_bytes(data) if data is not None else 0
        if size is None or size > self.limits.event_bytes:
            raise Refusal(
                None,
                f"The data content of this event exceeds the allowed maximum ({self.limits.event_bytes} bytes)",
            )
        return data

    # Channels

    def publish(self, name: ChannelName, event: str, data: str, except_socket: str | None = None) -> None:
        """Deliver an event that came over the HTTP API; the caller has checked its sizes."""
        if name.cached:
            self.cache.keep(name.text, event, data, self._clock())
        if name.kind is ChannelKind.SERVER_TO_USER:
            text = messages.event(name.text, event, data)
            for connection in self.users.sockets(name.user_id):
                connection.sink.send(text)
            return
        channel = self.channels.get(name.text)
        if channel is not None:
            channel.send(messages.event(name.text, event, data), except_socket=except_socket)

    def terminate_user(self, user_id: str) -> None:
        """Close all connections on which the user is signed in."""
        for connection in list(self.users.sockets(user_id)):
            self.close(connection, 4009, "You got disconnected by the app")

    def close_socket(self, socket_id: str) -> None:
        """Close one connection in the same way, if it is there."""
        connection = self._by_socket.get(socket_id)
        if connection is not None:
            self.close(connection, 4009, "You got disconnected by the app")

    def _join(self, connection: Connection, name: ChannelName, member: Member | None) -> None:
        channel = self.channels.open(name)
        channel.subscribers[connection] = None
        connection.channels[name.text] = channel
        connection.authorized = connection.authorized or name.needs_authorization
        if len(channel.subscribers) == 1 and name.kind is not ChannelKind.SERVER_TO_USER:
            self._hooks.channel_occupied(name.text)
        if channel.roster is not None and member is not None:
            is_new = channel.roster.join(connection, member)
            connection.sink.send(messages.subscription_succeeded(name.text, channel.roster.snapshot()))
            if is_new:
                text = messages.internal("member_added", name.text, member.added_data)
                channel.send(text, except_socket=connection.socket_id)
                self._hooks.member_added(name.text, member.user_id)
        else:
            connection.sink.send(messages.subscription_succeeded(name.text))
        if name.cached:
            self._send_cached(connection, name)
        self._count_changed(channel)

    def _send_cached(self, connection: Connection, name: ChannelName) -> None:
        event = self.cache.get(name.text, self._clock())
        if event is not None:
            connection.sink.send(messages.event(name.text, event.name, event.data))
            return
        connection.sink.send(messages.cache_miss(name.text))
        self._hooks.cache_miss(name.text)

    def _leave(self, connection: Connection, channel: Channel) -> None:
        name = channel.name.text
        del connection.channels[name]
        del channel.subscribers[connection]
        member = channel.roster.leave(connection) if channel.roster is not None else None
        if member is not None:
            channel.send(messages.internal("member_removed", name, member.removed_data))
            self._hooks.member_removed(name, member.user_id, self._clock())
        if channel.subscribers:
            self._count_changed(channel)
            return
        self.channels.drop(channel)
        self._uncounted.pop(channel, None)
        if channel.name.kind is not ChannelKind.SERVER_TO_USER:
            self._hooks.channel_vacated(name, self._clock())

    def _count_changed(self, channel: Channel) -> None:
        kinds = (ChannelKind.PRESENCE, ChannelKind.SERVER_TO_USER)
        if not self.app.subscription_counts or channel.name.kind in kinds:
            return
        if len(channel.subscribers) <= self.limits.count_each_change_up_to:
            self._send_count(channel)
        else:
            self._uncounted[channel] = None

    def _send_count(self, channel: Channel) -> None:
        count = len(channel.subscribers)
        data = messages.encode_json({"subscription_count": count})
        channel.send(messages.internal("subscription_count", channel.name.text, data))
        self._hooks.subscription_count(channel.name.text, count)


def refuse_connection(sink: Sink, refusal: Refusal, protocol: str | None) -> None:
    """Close an accepted socket that is not admitted, in the way its protocol version expects."""
    code = refusal.code or 4000
    if protocol not in _CLOSE_ONLY:
        sink.send(messages.error(code, refusal.reason))
    sink.close(code, refusal.reason)


def _protocol_version(protocol: str | None) -> int:
    """The version a client asked for. Raises Refusal (4006, 4007, 4008)."""
    if protocol is None:
        raise Refusal(4008, "No protocol version supplied")
    if not (protocol.isascii() and protocol.isdigit() and len(protocol) <= 9):
        raise Refusal(4006, "Invalid version string format")
    if int(protocol) not in messages.PROTOCOLS:
        raise Refusal(4007, "Unsupported protocol version")
    return int(protocol)
