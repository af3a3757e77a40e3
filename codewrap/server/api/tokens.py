"""`/api/tokens` and `/api/revocations`: tokens issued, listed and revoked, by admins."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.roles import Act, Role, is_user, may
from codewrap.server import bodies
from codewrap.server.identity import ADMIN_USER, Identity
from codewrap.server.refusals import Refusal, bad_request
from codewrap.server.service import Service, object_of
from codewrap.server.state import TokenRecord
from codewrap.server.tokens import DEFAULT_LIFETIME_S, MAX_LIFETIME_S, Claims, new_claims

_TOKEN_ID = re.compile(r"[0-9a-f]{32}")


class TokenApi:
    """Its endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/tokens", self.create, methods=["POST"]),
            Route("/api/tokens", self.list, methods=["GET"]),
            Route("/api/tokens/{token_id}", self.revoke, methods=["DELETE"]),
            Route("/api/revocations", self.revoke_user, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        identity = await self._service.identify(request, Act.TOKENS)
        fields = await object_of(request, "user", "role", "sessions", "lifetimeS")
        claims = _claims(fields, self._service.clock())
        await self._service.state.add_token(record_of(claims, identity))
        self._service.audit.token_created(
            identity.user,
            user=claims.user,
            role=claims.role,
            sessions=claims.sessions,
            kind=claims.kind,
            token_id=claims.token_id,
            expires_at=claims.expires_at,
        )
        return JSONResponse({"token": self._service.tokens.issue(claims)} | shown(record_of(claims, identity)), 201)

    async def list(self, request: Request) -> Response:
        await self._service.identify(request, Act.TOKENS)
        records = await self._service.state.tokens(self._service.clock())
        revoked = {r.subject for r in await self._service.state.revocations(self._service.clock())}
        return JSONResponse({"tokens": [shown(r) | {"revoked": f"token:{r.token_id}" in revoked} for r in records]})

    async def revoke(self, request: Request) -> Response:
        identity = await self._service.identify(request)
        token_id: str = request.path_params["token_id"]
        if not _TOKEN_ID.fullmatch(token_id):
            raise Refusal(404, "no_such_token", "this is not a token's id")
        now_s = self._service.clock()
        await self._require_revoker(identity, token_id, now_s)
        # Also one that is not in the list: it may have been issued beside this store.
        await self._service.revocations.revoke_token(token_id, now_s + MAX_LIFETIME_S)
        self._service.audit.revoked(identity.user, subject=f"token:{token_id}")
        for record in await self._service.state.tokens(now_s):
            if record.token_id == token_id and record.kind == "share":  # and what it was exchanged for
                await self._service.revocations.revoke_user(record.user)
        return JSONResponse({"status": "revoked"})

    async def revoke_user(self, request: Request) -> Response:
        identity = await self._service.identify(request, Act.TOKENS)
        user = bodies.text(await object_of(request, "user"), "user")
        if not is_user(user):
            raise bad_request("user is not a user's id")
        if user == ADMIN_USER:
            raise bad_request("AUTH_TOKEN is not revoked but changed, at every copy of this server")
        await self._service.revocations.revoke_user(user)
        self._service.audit.revoked(identity.user, subject=f"user:{user}")
        return JSONResponse({"status": "revoked"})

    async def _require_revoker(self, identity: Identity, token_id: str, now_s: float) -> None:
        """Raises Refusal (403): admins revoke anything, others the links that they made."""
        if not may(identity.role, Act.TOKENS) and may(identity.role, Act.SHARE):
            for record in await self._service.state.tokens(now_s):
                if (record.token_id, record.kind, record.issued_by) == (token_id, "share", identity.user):
                    self._service.require(identity, Act.SHARE)
                    return
        self._service.require(identity, Act.TOKENS)


def record_of(claims: Claims, issuer: Identity, kind: str | None = None) -> TokenRecord:
    """What is kept of a token that ``issuer`` had issued."""
    return TokenRecord(
        claims.token_id,
        claims.user,
        claims.role.value,
        claims.sessions,
        claims.issued_at,
        claims.expires_at,
        issuer.user,
        kind or claims.kind,
    )


def shown(record: TokenRecord) -> dict[str, object]:
    """As the interface tells it."""
    return {
        "tokenId": record.token_id,
        "user": record.user,
        "role": record.role,
        "sessions": list(record.sessions),
        "issuedAt": record.issued_at,
        "expiresAt": record.expires_at,
        "issuedBy": record.issued_by,
        "kind": record.kind,
    }


def _claims(fields: dict[str, object], now_s: float) -> Claims:
    sessions, lifetime_s = fields.get("sessions", []), fields.get("lifetimeS", DEFAULT_LIFETIME_S)
    if not isinstance(sessions, list) or not all(isinstance(pattern, str) for pattern in sessions):
        raise bad_request("sessions is not a list of names or patterns")
    if type(lifetime_s) is not int:
        raise bad_request("lifetimeS is not a number of seconds")
    user = bodies.text(fields, "user")
    if user == ADMIN_USER:
        raise bad_request("the user admin is whoever has AUTH_TOKEN: choose another")
    try:
        return new_claims(user, Role(bodies.text(fields, "role")), sessions, now_s, lifetime_s)
    except ValueError as error:
        words = str(error) if "valid Role" not in str(error) else "role is none of viewer, writer, host and admin"
        raise bad_request(words) from None
