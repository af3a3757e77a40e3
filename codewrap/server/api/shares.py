"""`/api/shares`: links to one session, made by its owner, that need no account; single use where that is wanted."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.roles import Act, Role
from codewrap.server import bodies
from codewrap.server.api.sessions import require_owner
from codewrap.server.api.tokens import record_of
from codewrap.server.commands import session_name
from codewrap.server.identity import Identity, address_of
from codewrap.server.limits import REDEEMINGS
from codewrap.server.refusals import Refusal, bad_request
from codewrap.server.schemas import MAX_SHARE_S
from codewrap.server.service import Service, object_of
from codewrap.server.tokens import Claims, identity_of, new_claims, redeemed

DEFAULT_LIFETIME_S = 3600


class ShareApi:
    """Its endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/shares", self.create, methods=["POST"]),
            Route("/api/shares/redeem", self.redeem, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        identity = await self._service.identify(request)
        fields = await object_of(request, "sessionId", "write", "once", "lifetimeS")
        name = session_name(fields)
        self._service.require(identity, Act.SHARE, name)
        claims = _claims(fields, name, identity, self._service.clock())
        require_owner(identity, await self._service.registry.require(name))
        record = record_of(claims, identity)
        await self._service.state.add_token(record)
        self._service.audit.share_created(
            identity.user,
            session=name,
            token_id=claims.token_id,
            write=claims.role is Role.WRITER,
            once=claims.once,
            expires_at=claims.expires_at,
        )
        return JSONResponse(
            {
                "token": self._service.tokens.issue(claims),
                "tokenId": claims.token_id,
                "sessionId": name,
                "user": claims.user,
                "role": claims.role.value,
                "once": claims.once,
                "expiresAt": claims.expires_at,
            },
            201,
        )

    async def redeem(self, request: Request) -> Response:
        """A link of one use for a token. Asked with the link's token alone: nobody is known before."""
        await self._service.gatekeeper.check_patience(request)
        await self._service.count(REDEEMINGS, request)
        given = bodies.text(await object_of(request, "token"), "token")
        now_s = self._service.clock()
        try:
            claims = self._service.tokens.read(given, now_s)
        except Refusal as refusal:
            raise await self._service.gatekeeper.failed(request, refusal.message) from None
        if claims is None or claims.kind != "share":
            raise await self._service.gatekeeper.failed(request, "this is not a link of this server")
        owner = identity_of(claims)
        self._service.revocations.check(owner)
        exchanged = claims
        if claims.once:
            if not await self._service.state.claim(f"share:{claims.token_id}", now_s, claims.expires_at):
                self._audit(claims, None, request, "it was used")
                raise Refusal(401, "unauthorized", "this link worked once, and was used")
            exchanged = redeemed(claims, now_s)
            await self._service.state.add_token(record_of(exchanged, owner, "redeemed"))
        self._audit(claims, exchanged, request)
        return self._answer(exchanged)

    def _audit(self, share: Claims, exchanged: Claims | None, request: Request, why: str = "") -> None:
        self._service.audit.share_redeemed(
            share.user,
            session=share.sessions[0],
            share_id=share.token_id,
            token_id=exchanged.token_id if exchanged is not None else "",
            address=address_of(request),
            why=why,
        )

    def _answer(self, claims: Claims) -> Response:
        answer = {
            "token": self._service.tokens.issue(claims),
            "sessionId": claims.sessions[0],
            "role": claims.role.value,
            "expiresAt": claims.expires_at,
        }
        return JSONResponse(answer)


def _claims(fields: dict[str, object], session: str, identity: Identity, now_s: float) -> Claims:
    write, once, lifetime_s = fields.get("write", False), fields.get("once", False), fields.get("lifetimeS", DEFAULT_LIFETIME_S)
    if not isinstance(write, bool) or not isinstance(once, bool) or type(lifetime_s) is not int:
        raise bad_request("write and once are true or false, lifetimeS a number of seconds")
    if not 0 < lifetime_s <= MAX_SHARE_S:
        raise bad_request(f"a link lives for more than nothing and at most {MAX_SHARE_S // 86_400} days")
    if identity.expires_at is not None:  # nobody gives more than they have
        lifetime_s = max(1, min(lifetime_s, int(identity.expires_at - now_s)))
    role = Role.WRITER if write else Role.VIEWER
    return new_claims(f"link@{secrets.token_hex(4)}", role, [session], now_s, lifetime_s, kind="share", once=once)
