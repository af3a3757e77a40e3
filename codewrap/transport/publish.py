"""Publishing over the Pusher HTTP API: the one place that uses the `pusher` package.

The package builds and signs the requests; a lean backend of our own sends them (its `requests` takes three times as long,
brings certificates of 2021, obeys proxies for this machine and has no deadline). The docstrings name its traps
by their place in the research: wrong size checks, batches changed in place, errors that come with status 200.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pusher.http import Request, make_query_string
from pusher.pusher_client import PusherClient
from pusher.signature import sign

from codewrap.errors import ConfigError, LocalProtocolError, TransportError
from codewrap.transport.base import AppCredentials, Endpoint, Event
from codewrap.transport.origin import Origin
from codewrap.transport.webclient import Answer, WebClient, explain_body, refusal

EVENT_BYTES = 10_240  # Pusher Cloud's; Soketi and Sockudo take 100 KB unless told otherwise
BATCH_EVENTS = 10
MAX_CHANNEL_CHARS = 164
MAX_NAME_CHARS = 200
TIMEOUT_S = 10.0
_USER_ID = re.compile(r"[A-Za-z0-9_=@,.;-]{1,200}")
_HEADERS = {"Content-Type": "application/json"}


class HttpBackend(Protocol):
    """Carries one signed request: `WebClient` over a network, `CallableBackend` within the process."""

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """Raises TransportError; a status is never an exception."""

    def close(self) -> None:
        """Never raises."""


class CallableBackend:
    """Hands requests to a function of this process: ``(method, path with query, body) -> (status, body)``."""

    def __init__(self, handle: Callable[[str, str, bytes], tuple[int, bytes]]) -> None:
        self._handle = handle

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,  # noqa: ARG002  (the hub asks for none)
        *,
        timeout_s: float | None = None,  # noqa: ARG002  (it answers at once)
    ) -> Answer:
        """Call the function."""
        status, answer = self._handle(method, target, body)
        return Answer(status, {}, answer)

    def close(self) -> None:
        """Nothing to release."""


class _Sender:
    """What the package calls its backend: sends a prepared request, judges the answer."""

    def __init__(self, backend: HttpBackend, server: str, credentials: AppCredentials, timeout_s: float) -> None:
        self._backend = backend
        self._server = server
        self._credentials = credentials
        self._timeout_s = timeout_s
        self.skew_s: float | None = None

    def send_request(self, request: Request) -> dict[str, object]:
        """The answer's JSON object. Raises AuthError or TransportError for everything else."""
        target = self._signed_target(request)
        asked_at = time.time()
        answer = self._backend.request(
            request.method,
            target,
            request.body,
            _HEADERS if request.body else None,
            timeout_s=self._timeout_s,
        )
        self._note_clock(answer.headers.get("date"), asked_at, time.time())
        return self._judge(answer)

    def _signed_target(self, request: Request) -> str:
        """The package signs GETs with the MD5 of an empty body, which Sockudo refuses: signed anew without."""
        if request.method == "GET":
            query = request.query_params
            query.pop("body_md5", None)
            query.pop("auth_signature", None)
            signed = "\n".join((request.method, request.path, make_query_string(query)))
            query["auth_signature"] = sign(self._credentials.secret, signed)
        return str(request.signed_path)

    def _judge(self, answer: Answer) -> dict[str, object]:
        try:
            said = json.loads(answer.body)
        except (ValueError, RecursionError):
            said = None
        status = answer.status
        if status in (200, 202):
            if not isinstance(said, dict):
                raise TransportError(self._server, "answers with something else than a broker's JSON", retry=False)
            if "error" not in said:
                return said
            # Soketi says 200 and puts the status it means into the body.
            code = said.get("code")
            status = code if isinstance(code, int) and 400 <= code < 600 else 400
        words = explain_body(answer.body, (self._credentials.secret,))
        raise refusal(self._server, status, words, answer.headers.get("retry-after"))

    def _note_clock(self, date: str | None, asked_at: float, answered_at: float) -> None:
        try:
            there = email.utils.parsedate_to_datetime(date).timestamp() if date else None
        except ValueError:
            there = None
        if there is not None:
            # The header is cut to whole seconds: half of one is the best guess at what is missing.
            self.skew_s = there + 0.5 - (asked_at + answered_at) / 2


class PusherPublisher:
    """A `Publisher` for one app (or, in gateway mode, one session). Owned by one thread.

    ``event_bytes`` and ``batch_events`` are the broker's limits: to hand in more is a bug of the caller's. A path prefix of
    the endpoint is put before the request's path and is not part of what is signed.
    """

    def __init__(
        self,
        credentials: AppCredentials,
        endpoint: Endpoint,
        *,
        event_bytes: int = EVENT_BYTES,
        batch_events: int = BATCH_EVENTS,
        timeout_s: float = TIMEOUT_S,
        backend: HttpBackend | None = None,
    ) -> None:
        self._event_bytes = event_bytes
        self._batch_events = batch_events
        self._backend: HttpBackend = backend or WebClient(
            Origin(endpoint.host, endpoint.port, endpoint.tls, endpoint.path), timeout_s=timeout_s
        )
        self._sender = _Sender(self._backend, endpoint.url, credentials, timeout_s)
        self._client: Any = self._make_client(credentials, endpoint)

    def publish(self, events: Sequence[Event]) -> None:
        """Deliver at least once, in this order. Raises TransportError or AuthError within the deadline."""
        self._check(events)
        # Fresh dicts at every call: the package writes into them. "Already encoded" leaves out its size check, which
        # measures Python objects, and its encryption: what comes here is sealed already.
        batch = [{"channel": event.channel, "name": event.name, "data": event.data} for event in events]
        self._client.trigger_batch(batch, already_encoded=True)

    def channel_info(self, channel: str) -> dict[str, object]:
        """What the broker says of one channel: ``occupied``, and counts where it gives them."""
        return self._ask("channel_info", channel)

    def channels(self, prefix: str = "") -> dict[str, object]:
        """The occupied channels by name, with what the broker says of each."""
        found = self._ask("channels_info", prefix or None).get("channels")
        return dict(found) if isinstance(found, dict) else {}

    def users(self, channel: str) -> list[str]:
        """The user ids on a presence channel."""
        found = self._ask("users_info", channel).get("users")
        return [str(user["id"]) for user in found if "id" in user] if isinstance(found, list) else []

    def terminate_user(self, user_id: str) -> None:
        """End all connections of a user who signed in. Raises TransportError or AuthError."""
        if not _USER_ID.fullmatch(user_id):
            raise LocalProtocolError("the connections of a user were to be ended whose id none can have")
        # The package leaves the app out of the path, where no server looks.
        path = f"/apps/{self._client.app_id}/users/{user_id}/terminate_connections"
        self._sender.send_request(Request(self._client, "POST", path, {}))

    @property
    def clock_skew_s(self) -> float | None:
        """How far the broker's clock is ahead of ours, by its last answer; None where it does not tell. Over 600 it refuses."""
        return self._sender.skew_s

    def close(self) -> None:
        """Release sockets. Never raises."""
        self._backend.close()

    def _make_client(self, credentials: AppCredentials, endpoint: Endpoint) -> PusherClient:
        try:
            return PusherClient(
                credentials.app_id,
                credentials.key,
                credentials.secret,
                ssl=endpoint.tls,
                host=endpoint.host,
                port=endpoint.port,
                backend=lambda _client: self._sender,
            )
        except ValueError as error:
            raise ConfigError("app id", "must be a number", "for Soketi set SOKETI_DEFAULT_APP_ID=1") from error

    def _ask(self, call: str, *arguments: object) -> dict[str, object]:
        try:
            answer: dict[str, object] = getattr(self._client, call)(*arguments)
        except (ValueError, TypeError) as error:
            raise LocalProtocolError(f"{call} was asked about a name that no channel can have") from error
        return answer

    def _check(self, events: Sequence[Event]) -> None:
        if not 1 <= len(events) <= self._batch_events:
            raise LocalProtocolError(f"a batch has 1 to {self._batch_events} events, not {len(events)}")
        for event in events:
            if not 0 < event.size_bytes <= self._event_bytes:
                raise LocalProtocolError(
                    f"an event of {event.size_bytes} bytes was to be published; the limit is {self._event_bytes}"
                )
            if not 0 < len(event.channel) <= MAX_CHANNEL_CHARS or not 0 < len(event.name) <= MAX_NAME_CHARS:
                raise LocalProtocolError("a channel or event name is empty or too long")
            if event.name.startswith(("pusher:", "pusher_internal:")):
                raise LocalProtocolError("an event name of the protocol itself was to be published")
