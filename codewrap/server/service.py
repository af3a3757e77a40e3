"""What the endpoints share: who asks, what is kept, where events go. Built once by `app.py`, owned by the server's event loop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from codewrap.errors import AuthError, TransportError
from codewrap.protocol.roles import Act
from codewrap.server import bodies
from codewrap.server.auditing import Auditor
from codewrap.server.authorize import Signer
from codewrap.server.commands import Commands
from codewrap.server.credentials import Issuer
from codewrap.server.guard import Reach
from codewrap.server.identity import Gatekeeper, Identity, address_of
from codewrap.server.limits import Bounds, Kind, Limits, authorizations, new_sockets
from codewrap.server.looking import Looking
from codewrap.server.metrics import Metrics
from codewrap.server.outlets import Outlets
from codewrap.server.recordings import Recordings
from codewrap.server.refusals import Refusal, bad_request, too_large, too_many
from codewrap.server.registry import Registry
from codewrap.server.revocations import Revocations
from codewrap.server.sockets import AuthorizedSockets
from codewrap.server.state import StateStore
from codewrap.server.telling import HostTeller
from codewrap.server.tokens import TokenSigner
from codewrap.transport.base import AppCredentials, Event, RetryLater

FORM_BYTES = 8 * 1024
FRAMING_BYTES = 16 * 1024
LOGGER = logging.getLogger("codewrap.server")


@dataclass(frozen=True, slots=True)
class PublicBroker:
    """Where clients find the broker. All None: at the URL under which they ask us."""

    host: str | None = None
    port: int | None = None
    tls: bool | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Plain values, checked by `cli`."""

    app: AppCredentials
    master_key: bytes = field(repr=False)
    token: str = field(repr=False)
    signing_keys: Sequence[bytes] = field(repr=False)
    event_bytes: int
    broker: PublicBroker = field(default_factory=PublicBroker)
    reach: Reach = field(default_factory=Reach)
    encrypted: bool = True
    client_events_per_s: int | None = None
    bounds: Bounds = field(default_factory=Bounds)
    metrics_token: str | None = field(default=None, repr=False)
    answer_within_s: float = 8.0
    """A host that hears of an answer to a prompt says in a fraction of a second what came of it."""


@dataclass(slots=True)
class Service:
    """One server. ``clock`` is seconds since 1970."""

    settings: ServerSettings
    state: StateStore
    outlets: Outlets
    gatekeeper: Gatekeeper
    revocations: Revocations
    registry: Registry
    tokens: TokenSigner
    signer: Signer
    commands: Commands
    issuer: Issuer
    sockets: AuthorizedSockets
    hosts: HostTeller
    audit: Auditor
    limits: Limits
    metrics: Metrics
    recordings: Recordings
    looking: Looking
    clock: Callable[[], float]

    async def identify(self, request: Request, act: Act | None = None, session: str | None = None) -> Identity:
        """Who asks, who may ``act`` (with ``session``). Raises Refusal."""
        identity = await self.gatekeeper.identify(request)
        if act is not None:
            self.require(identity, act, session)
        return identity

    def require(self, identity: Identity, act: Act, session: str | None = None) -> None:
        """`Identity.require`, audited; typing is audited by its endpoint, which knows more. Raises Refusal."""
        why = ""
        try:
            identity.require(act, session)
        except Refusal as refusal:
            why = refusal.message
            raise
        finally:
            if why or act is not Act.TYPE:
                self.audit.act(identity.user, identity.role, act, session=session or "", why=why)

    async def count(self, kind: Kind, request: Request, identity: Identity | None = None, session: str = "") -> None:
        """Count a request by all that ``kind`` is counted by. Raises Refusal (429)."""
        token = identity.counted_as if identity is not None else ""
        address = address_of(request)
        try:
            await self.limits.take(kind, session=session, token=token, address=address)
        except Refusal:
            self.audit.limited(kind.name, user=identity.user if identity is not None else "", address=address)
            raise

    async def count_authorization(self, request: Request, identity: Identity) -> None:
        """Raises Refusal (429)."""
        await self.count(authorizations(self.settings.bounds.sockets_per_user), request, identity)

    async def admit_socket(self, socket_id: str, identity: Identity) -> None:
        """Note that ``socket_id`` is the identity's. Raises Refusal (429) where they have too many.

        AUTH_TOKEN is everybody's who has no other: its sockets are bounded by the broker alone.
        """
        most = self.settings.bounds.sockets_per_user
        if identity.counted_as and not self.sockets.knows(socket_id, identity.user):
            if not self.sockets.exact:
                await self.limits.take(new_sockets(most), user=identity.user)
            elif self.sockets.open_of(identity.user, most) >= most:
                self.metrics.limit_hit("sockets", "user")
                self.audit.limited("sockets", user=identity.user, address="")
                raise too_many(f"a user may have {most} sockets at once", 10)
        self.sockets.note(socket_id, identity.user, identity.expires_at)

    async def accept(self, session: str, event: Event) -> Response:
        """Publish one event, answer 202. Raises Refusal."""
        await self.publish(session, [event])
        return JSONResponse({"status": "accepted"}, 202)

    async def publish(self, session: str, events: Sequence[Event]) -> None:
        """Hand 1 to 10 events of a session to the broker. Raises Refusal."""
        await self.telling(self.outlets.publish(session, events))

    async def telling(self, publishing: Awaitable[None]) -> None:
        """Await what publishes, its errors made answers. Raises Refusal."""
        try:
            await publishing
        except RetryLater as error:
            raise too_many("the broker asks for patience", max(1, round(error.retry_after_s or 1))) from error
        except TransportError as error:
            if error.status == 413:
                raise too_large("the event", self.settings.event_bytes) from error
            LOGGER.warning("publishing failed: %s", error)
            raise Refusal(503, "broker_unavailable", "the broker did not take it", retry_after_s=1) from error
        except AuthError as error:
            LOGGER.error("the broker refuses this server's credentials: %s", error)
            raise Refusal(502, "broker_refused", "the broker refuses this server's credentials") from error


async def fields_of(request: Request) -> dict[str, str]:
    """Named texts of a small body, form or JSON. Raises Refusal."""
    return bodies.parse_fields(request.headers.get("content-type"), await bodies.read(request, FORM_BYTES))


async def object_of(request: Request, *names: str, limit_bytes: int = FORM_BYTES) -> dict[str, object]:
    """The JSON object of a body with no other fields than ``names``. Raises Refusal."""
    fields = bodies.parse_object(await bodies.read(request, limit_bytes))
    bodies.only(fields, *names)
    return fields


def field_of(fields: dict[str, str], name: str) -> str:
    """Raises Refusal (400) where it is missing."""
    if name not in fields:
        raise bad_request(f"{name} is missing")
    return fields[name]
