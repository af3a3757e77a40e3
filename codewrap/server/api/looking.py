"""`/api/sessions/NAME/screen` and `/send`: what a session shows now, and typing that is waited for, as `screen` and `send` do."""

from __future__ import annotations

import json
from importlib.util import find_spec

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.roles import Act
from codewrap.server import bodies
from codewrap.server.api.sessions import path_session
from codewrap.server.identity import Identity
from codewrap.server.limits import INPUTS, LOOKS
from codewrap.server.looking import KEY_CHARACTERS, MOST_KEYS, MOST_TIMEOUT_S, TEXT_CHARACTERS, TIMEOUT_S, Place, Sight, Typing
from codewrap.server.patterns import NotAPattern, compile_pattern
from codewrap.server.refusals import Refusal, bad_request
from codewrap.server.service import Service, object_of

# JSON makes six bytes of a control character.
BODY_BYTES = 6 * TEXT_CHARACTERS + 16 * 1024
JSON, TEXT, PNG = "application/json", "text/plain", "image/png"


class LookingApi:
    """Its endpoints. A look is a viewer of the session under the asker's name, for some seconds."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/sessions/{name}/screen", self.screen, methods=["GET"]),
            Route("/api/sessions/{name}/send", self.send, methods=["POST"]),
        ]

    async def screen(self, request: Request) -> Response:
        name = path_session(request)
        identity = await self._service.identify(request, Act.SYNC, name)
        await self._service.count(LOOKS, request, identity, name)
        kind = wanted(request.headers.get("accept"))
        place = _place(identity, name, encrypted=_is_encrypted(request), may_type=False)
        await self._service.registry.require(name)
        drawn = await self._service.looking.look(identity, place, _DRAWN[kind])
        self._check_still(identity)
        return Response(drawn, media_type=kind, headers={"Vary": "Accept"})

    async def send(self, request: Request) -> Response:
        try:
            response = await self._send(request)
        except Refusal as refusal:
            self._service.metrics.typed(refusal.code)
            raise
        self._service.metrics.typed("ok")
        return response

    async def _send(self, request: Request) -> Response:
        name = path_session(request)
        identity = await self._service.identify(request, Act.TYPE, name)
        fields = await object_of(request, "text", "keys", "paste", "waitFor", "timeoutS", "encrypted", limit_bytes=BODY_BYTES)
        why = ""
        try:
            return await self._typed(request, identity, name, fields)
        except Refusal as refusal:
            why = refusal.message
            raise
        finally:
            self._audit(identity, name, fields, why)

    async def _typed(self, request: Request, identity: Identity, name: str, fields: dict[str, object]) -> Response:
        for kind in (INPUTS, LOOKS):
            await self._service.count(kind, request, identity, name)
        typing = read_typing(fields)
        self._service.looking.check_keys(typing.keys)
        place = _place(identity, name, encrypted=_flag(fields, "encrypted", missing=True), may_type=True)
        await self._service.registry.require(name)
        outcome = await self._service.looking.type(identity, place, typing)
        self._check_still(identity)
        return JSONResponse(outcome.document())

    def _check_still(self, identity: Identity) -> None:
        """What was seen meanwhile is not for a token that is over by now. Raises Refusal (401)."""
        if identity.kind != "admin":
            self._service.revocations.check(identity)
        if identity.expires_at is not None and self._service.clock() >= identity.expires_at:
            raise Refusal(401, "unauthorized", "this token has expired")

    def _audit(self, identity: Identity, name: str, fields: dict[str, object], why: str) -> None:
        """Never what was typed: who, where to, how much."""
        text, keys = fields.get("text"), fields.get("keys")
        size = len(text.encode(errors="replace")) if isinstance(text, str) else 0
        size += len(keys) if isinstance(keys, list) else 0
        self._service.audit.input(identity.user, identity.role, session=name, writer="", size=size, sealed=False, why=why)


def read_typing(fields: dict[str, object]) -> Typing:
    """What a body asks for. Raises Refusal (400)."""
    if not fields.keys() & {"text", "keys"}:
        raise bad_request("text or keys are needed")
    text, keys = _text_of(fields), _keys_of(fields)
    timeout_s = fields.get("timeoutS", TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s <= MOST_TIMEOUT_S:
        raise bad_request(f"timeoutS is a number of seconds, at most {MOST_TIMEOUT_S}")
    try:
        pattern = compile_pattern(bodies.text(fields, "waitFor")) if "waitFor" in fields else None
    except NotAPattern as error:
        raise bad_request(f"waitFor is not a regular expression of RE2: {error}") from None
    return Typing(text, keys, _flag(fields, "paste", missing=False), pattern, float(timeout_s))


def _text_of(fields: dict[str, object]) -> str:
    if "text" not in fields:
        return ""
    text = bodies.text(fields, "text")
    if not 0 < len(text) <= TEXT_CHARACTERS:
        raise bad_request(f"text is empty, or longer than {TEXT_CHARACTERS} characters")
    return text


def _keys_of(fields: dict[str, object]) -> tuple[str, ...]:
    if "keys" not in fields:
        return ()
    keys = fields["keys"]
    if not isinstance(keys, list) or not 0 < len(keys) <= MOST_KEYS or not all(_is_key(key) for key in keys):
        raise bad_request(f"keys are 1 to {MOST_KEYS} names of keys")
    return tuple(keys)


def wanted(accept: str | None) -> str:
    """The media type to answer with: of those that are accepted most the first of ours. Raises Refusal (406)."""
    if accept is None or not accept.strip():
        return JSON
    offered = (JSON, TEXT, PNG) if _draws_pictures() else (JSON, TEXT)
    weights = {kind: _weight(accept, kind) for kind in offered}
    best = max(offered, key=weights.__getitem__)
    if not weights[best]:
        lacking = "" if _draws_pictures() else " (for pictures this server lacks codewrap[png])"
        raise Refusal(406, "not_acceptable", f"a screen comes as {', '.join(offered)}{lacking}")
    return best


def _weight(accept: str, kind: str) -> float:
    """How much ``kind`` is wanted: what is said of it by name counts before what is said of all (RFC 9110, 12.5.1)."""
    said: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        said.setdefault(name, next((_quality(word[2:]) for word in parameters if word.startswith("q=")), 1.0))
    names = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((said[name] for name in names if name in said), 0.0)


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


def _draws_pictures() -> bool:
    return find_spec("PIL") is not None and find_spec("fontpkg_jetbrains_mono") is not None


def _json(sight: Sight) -> bytes:
    return json.dumps(sight.document(), ensure_ascii=False).encode()


def _text(sight: Sight) -> bytes:
    return sight.shown.plain.encode(errors="replace")


def _png(sight: Sight) -> bytes:
    from codewrap.terminal.raster import png

    return png(sight.shown)


_DRAWN = {JSON: _json, TEXT: _text, PNG: _png}


def _place(identity: Identity, session: str, *, encrypted: bool, may_type: bool) -> Place:
    return Place(session, identity.user, identity.name or identity.user, encrypted, may_type, identity.expires_at)


def _is_encrypted(request: Request) -> bool:
    text = request.query_params.get("encrypted", "true")
    if text not in ("true", "false"):
        raise bad_request("encrypted is true or false")
    return text == "true"


def _flag(fields: dict[str, object], name: str, *, missing: bool) -> bool:
    value = fields.get(name, missing)
    if not isinstance(value, bool):
        raise bad_request(f"{name} is true or false")
    return value


def _is_key(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= KEY_CHARACTERS and not any("\ud800" <= c <= "\udfff" for c in key)
