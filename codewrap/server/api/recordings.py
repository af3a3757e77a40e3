"""`/api/recordings`: what is stored of sessions, in pieces by their place. Sealed: nothing here can open it."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.channels import is_session_name
from codewrap.protocol.roles import Act
from codewrap.server import bodies
from codewrap.server.api.sessions import path_session
from codewrap.server.identity import Identity
from codewrap.server.limits import RECALLS, STORINGS
from codewrap.server.recordingfiles import EPOCH, Stored
from codewrap.server.recordings import BODY_BYTES
from codewrap.server.refusals import Refusal, bad_request
from codewrap.server.service import Service

MOST_LISTED = 10_000
MOST_AT = 2**53 - 1
_NUMBER = re.compile(r"[0-9]{1,16}")
_PATH = "/api/recordings/{name}/{epoch}"


class RecordingApi:
    """Its endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/recordings", self.list, methods=["GET"]),
            Route(_PATH, self.read, methods=["GET"]),
            Route(_PATH, self.put, methods=["PUT"]),
            Route(_PATH, self.delete, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        identity = await self._service.identify(request, Act.LIST)
        name = request.query_params.get("session")
        if name is not None and not is_session_name(name):
            raise bad_request("session is not a session's name")
        found = await self._service.recordings.all(identity, name)
        hosted = {session.name for session in await self._service.registry.all()}
        shown = [_shown(stored, live=stored.name in hosted) for stored in found[:MOST_LISTED]]
        return JSONResponse({"recordings": shown, "more": len(found) > MOST_LISTED})

    async def read(self, request: Request) -> Response:
        name, epoch, at = await self._place(request)
        identity = await self._identify(request, Act.RECALL, name, told=at == 0)
        await self._service.count(RECALLS, request, identity)
        stored = await self._service.recordings.find(identity, name, epoch)
        return Response(await self._service.recordings.read(stored, at), media_type="application/octet-stream")

    async def put(self, request: Request) -> Response:
        name, epoch, at = await self._place(request)
        last = _is_last(request)
        identity = await self._identify(request, Act.STORE, name, told=at == 0 or last)
        await self._service.count(STORINGS, request, identity)
        data = await bodies.read(request, BODY_BYTES)
        if not data:
            raise bad_request("the body is empty")
        stored = await self._service.recordings.put(identity, name, epoch, at, data, last=last)
        return JSONResponse({"bytes": stored.size_bytes, "ended": stored.ended})

    async def delete(self, request: Request) -> Response:
        name, epoch, _ = await self._place(request)
        identity = await self._service.identify(request, Act.STORE, name)
        await self._service.recordings.delete(identity, name, epoch)
        self._service.audit.administered(identity.user, "delete_recording", session=name)
        return JSONResponse({"status": "deleted"})

    async def _place(self, request: Request) -> tuple[str, str, int]:
        """As `_place`; who has no token hears that first, whatever they ask for."""
        try:
            return _place(request)
        except Refusal:
            await self._service.identify(request)
            raise

    async def _identify(self, request: Request, act: Act, name: str, *, told: bool) -> Identity:
        """As `Service.identify`; in the audit log stand who was refused, and the first and last of what belongs together."""
        identity = await self._service.identify(request)
        if told:
            self._service.require(identity, act, name)
            return identity
        try:
            identity.require(act, name)
        except Refusal:
            self._service.require(identity, act, name)
        return identity


def _place(request: Request) -> tuple[str, str, int]:
    """Which recording, and where in it. Raises Refusal."""
    name, epoch = path_session(request), request.path_params["epoch"]
    if not EPOCH.fullmatch(epoch):
        raise Refusal(404, "no_such_recording", "this does not name a run")
    text = request.query_params.get("at", "0")
    if not _NUMBER.fullmatch(text) or int(text) > MOST_AT:
        raise bad_request("at is not a position")
    return name, epoch, int(text)


def _is_last(request: Request) -> bool:
    text = request.query_params.get("last", "false")
    if text not in ("true", "false"):
        raise bad_request("last is true or false")
    return text == "true"


def _shown(stored: Stored, *, live: bool) -> dict[str, object]:
    return {
        "sessionId": stored.name,
        "epoch": stored.epoch,
        "owner": stored.owner,
        "openedAt": stored.opened_at,
        "updatedAt": round(stored.updated_at),
        "bytes": stored.size_bytes,
        "ended": stored.ended,
        "live": live and not stored.ended,
    }
