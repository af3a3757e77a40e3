"""The HTTP API's state side: one request in, one answer out; no sockets, no framework.

Pure. Signed requests publish events, ask about channels and end users' connections. Errors are plain sentences with the
status the hosted service uses; unknown routes answer 404 in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from codewrap.broker import messages
from codewrap.broker.hub import Hub
from codewrap.broker.names import ChannelKind, ChannelName, is_socket_id, is_user_id, parse_channel
from codewrap.broker.refusals import Refusal
from codewrap.broker.signatures import ApiRequest, check_request

_RESERVED = ("pusher:", "pusher_internal:")
_CHANNEL_INFO = frozenset({"user_count", "subscription_count"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. ``is_json`` tells the two content types apart."""

    status: int
    body: bytes
    is_json: bool = True


@dataclass(frozen=True, slots=True)
class _Publication:
    """One checked event, ready to be delivered."""

    channels: tuple[ChannelName, ...]
    name: str
    data: str
    except_socket: str | None
    info: frozenset[str]


Handler = Callable[["RestApi", dict[str, str], bytes, str], dict[str, object]]


class RestApi:
    """Answers requests out of a hub's state; the hub's owner calls it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def answer(self, request: ApiRequest, wall_clock_s: float) -> Answer:
        """Check the signature and do what is asked. Never raises for anything a client sends."""
        try:
            handler, subject = self._route(request)
            parameters = check_request(self._hub.app, request, wall_clock_s, self._hub.limits.request_age_s)
            result = handler(self, parameters, request.body, subject)
            return Answer(200, messages.encode_json(result).encode() if result else b"{}")
        except Refusal as refusal:
            text = refusal.reason.encode("utf-8", "replace")
            if refusal.code == 404:
                return Answer(404, messages.encode_json({"error": text.decode()}).encode())
            return Answer(refusal.code or 400, text, is_json=False)

    def _route(self, request: ApiRequest) -> tuple[Handler, str]:
        if len(request.body) > self._hub.limits.request_bytes:
            raise Refusal(413, f"The request exceeds {self._hub.limits.request_bytes} bytes")
        for method, pattern, handler in _ROUTES:
            found = pattern.fullmatch(request.path)
            if found is not None and method == request.method:
                if found["app"] != self._hub.app.app_id:
                    raise Refusal(404, "No such app")
                return handler, unquote(found.groupdict().get("subject", ""))
        raise Refusal(404, "Not found")

    # Publishing

    def _events(self, _parameters: dict[str, str], body: bytes, _subject: str) -> dict[str, object]:
        fields = _fields(body)
        publication = self._publication(fields, self._channel_names(fields))
        states = self._deliver(publication)
        return {"channels": states} if publication.info else {}

    def _batch_events(self, _parameters: dict[str, str], body: bytes, _subject: str) -> dict[str, object]:
        batch = _fields(body).get("batch")
        limit = self._hub.limits.events_per_batch
        if not isinstance(batch, list):
            raise Refusal(400, "batch must be a list of events")
        if len(batch) > limit:
            raise Refusal(400, f"Batch too large: the maximum is {limit} events")
        checked = [self._batched(fields) for fields in batch]
        states = [next(iter(self._deliver(publication).values())) for publication in checked]
        return {"batch": states} if any(publication.info for publication in checked) else {}

    def _batched(self, fields: object) -> _Publication:
        if not isinstance(fields, dict):
            raise Refusal(400, "Each event of a batch must be an object")
        return self._publication(fields, [fields.get("channel")])

    def _channel_names(self, fields: dict[str, object]) -> list[object]:
        names = fields.get("channels", [fields.get("channel")])
        limit = self._hub.limits.channels_per_event
        if not isinstance(names, list) or not 0 < len(names) <= limit:
            raise Refusal(400, f"channels must be a list of 1 to {limit} names")
        return names

    def _publication(self, fields: dict[str, object], names: list[object]) -> _Publication:
        limits = self._hub.limits
        event, data, socket_id = fields.get("name"), fields.get("data"), fields.get("socket_id")
        if not isinstance(event, str) or not event or messages.size_bytes(event) is None:
            raise Refusal(400, "name must be the event's name")
        if len(event) > limits.event_name_chars or event.startswith(_RESERVED):
            raise Refusal(400, f"Invalid event name: at most {limits.event_name_chars} characters, not pusher's own")
        if not isinstance(data, str):
            raise Refusal(400, "data must be a string")
        size = messages.size_bytes(data)
        if size is None:
            raise Refusal(400, "data is not valid Unicode")
        if size > limits.event_bytes:
            raise Refusal(413, f"The data content of this event exceeds the allowed maximum ({limits.event_bytes} bytes)")
        if socket_id is not None and not is_socket_id(socket_id):
            raise Refusal(400, "Invalid socket_id")
        except_socket = socket_id if isinstance(socket_id, str) else None
        info = _info(fields.get("info", ""), _CHANNEL_INFO)
        return _Publication(tuple(self._name(name) for name in names), event, data, except_socket, info)

    def _name(self, name: object) -> ChannelName:
        try:
            return parse_channel(name, self._hub.limits.channel_name_chars)
        except Refusal as refusal:
            raise Refusal(400, refusal.reason) from None

    def _deliver(self, publication: _Publication) -> dict[str, object]:
        for name in publication.channels:
            self._hub.publish(name, publication.name, publication.data, publication.except_socket)
        if not publication.info:
            return {name.text: {} for name in publication.channels}
        return {name.text: self._attributes(name, publication.info) for name in publication.channels}

    # Questions

    def _channels(self, parameters: dict[str, str], _body: bytes, _subject: str) -> dict[str, object]:
        info = _info(parameters.get("info", ""), _CHANNEL_INFO)
        prefix = parameters.get("filter_by_prefix", "")
        if "user_count" in info and not prefix.startswith(ChannelKind.PRESENCE.value):
            raise Refusal(400, "user_count may only be requested for presence channels: use filter_by_prefix")
        found = {
            channel.name.text: self._attributes(channel.name, info)
            for channel in self._hub.channels
            if channel.name.text.startswith(prefix) and channel.name.kind is not ChannelKind.SERVER_TO_USER
        }
        return {"channels": found}

    def _channel(self, parameters: dict[str, str], _body: bytes, subject: str) -> dict[str, object]:
        name = self._name(subject)
        info = _info(parameters.get("info", ""), _CHANNEL_INFO | {"cache"})
        if "user_count" in info and not name.is_presence:
            raise Refusal(400, "user_count may only be requested for presence channels")
        if "cache" in info and not name.cached:
            raise Refusal(400, "cache may only be requested for cache channels")
        answer: dict[str, object] = {"occupied": self._hub.channels.get(name.text) is not None}
        answer.update(self._attributes(name, info))
        if "cache" in info:
            answer["cache"] = self._cached(name)
        return answer

    def _users(self, _parameters: dict[str, str], _body: bytes, subject: str) -> dict[str, object]:
        name = self._name(subject)
        if not name.is_presence:
            raise Refusal(400, "Users can only be retrieved for presence channels")
        channel = self._hub.channels.get(name.text)
        user_ids = channel.roster.user_ids if channel is not None and channel.roster is not None else []
        return {"users": [{"id": user_id} for user_id in user_ids]}

    def _terminate(self, _parameters: dict[str, str], _body: bytes, subject: str) -> dict[str, object]:
        if not is_user_id(subject, self._hub.limits.user_id_chars):
            raise Refusal(400, "Invalid user id")
        self._hub.terminate_user(subject)
        return {}

    def _attributes(self, name: ChannelName, info: frozenset[str]) -> dict[str, object]:
        channel = self._hub.channels.get(name.text)
        attributes: dict[str, object] = {}
        if "user_count" in info and name.is_presence:
            attributes["user_count"] = len(channel.roster) if channel and channel.roster is not None else 0
        if "subscription_count" in info:
            attributes["subscription_count"] = len(channel.subscribers) if channel else 0
        return attributes

    def _cached(self, name: ChannelName) -> dict[str, object] | None:
        now = self._hub.now_s()
        event = self._hub.cache.get(name.text, now)
        return None if event is None else {"data": event.data, "ttl": int(event.expires_s - now)}


def _fields(body: bytes) -> dict[str, object]:
    try:
        return messages.object_of(body.decode())
    except (UnicodeDecodeError, Refusal):
        raise Refusal(400, "The body is not a JSON object") from None


def _info(value: object, known: frozenset[str]) -> frozenset[str]:
    if not isinstance(value, str):
        raise Refusal(400, "info must be a string")
    asked = frozenset(part.strip() for part in value.split(",") if part.strip())
    if asked - known:
        raise Refusal(400, f"Unknown info attribute: expected some of {', '.join(sorted(known))}")
    return asked


_APP = "/apps/(?P<app>[^/]+)"
_ROUTES: tuple[tuple[str, re.Pattern[str], Handler], ...] = (
    ("POST", re.compile(f"{_APP}/events"), RestApi._events),
    ("POST", re.compile(f"{_APP}/batch_events"), RestApi._batch_events),
    ("GET", re.compile(f"{_APP}/channels"), RestApi._channels),
    ("GET", re.compile(f"{_APP}/channels/(?P<subject>[^/]+)"), RestApi._channel),
    ("GET", re.compile(f"{_APP}/channels/(?P<subject>[^/]+)/users"), RestApi._users),
    ("POST", re.compile(f"{_APP}/users/(?P<subject>[^/]+)/terminate_connections"), RestApi._terminate),
)
