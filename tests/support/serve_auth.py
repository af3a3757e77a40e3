"""The server's application with a recording publisher, and requests as hosts and viewers send them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.applications import Starlette

from codewrap.server.app import Backends, MountedHub, ServerSettings, build_app
from codewrap.server.auditing import Auditor
from codewrap.server.health import always
from codewrap.server.recordingfiles import RecordingFiles
from codewrap.server.stores.opening import open_store
from codewrap.store.audit import AuditLog
from codewrap.transport.base import AppCredentials
from tests.support.asgi import AsgiClient, Reply, lifespan
from tests.support.looking import FakeLooks
from tests.support.publishing import RecordingPublisher

TOKEN = "correct-horse-battery-staple"
MASTER_KEY = bytes(range(32))
APP = AppCredentials("7", "app-key", "app secret")
SIGNING_KEY = bytes(range(100, 132))
BEARER = {"authorization": f"Bearer {TOKEN}"}
_Result = TypeVar("_Result")


class ServeAuth:
    """One application and what it published."""

    def __init__(
        self,
        hub: MountedHub | None = None,
        probe: Any = always,
        recordings: RecordingFiles | None = None,
        looks: FakeLooks | None = None,
        can_look: bool = True,
        **changes: Any,
    ) -> None:
        self.published = RecordingPublisher()
        self.terminated: list[str] = []
        self._directory = Path(tempfile.mkdtemp())
        values: dict[str, Any] = {"app": APP, "master_key": MASTER_KEY, "token": TOKEN, "event_bytes": 10_240}
        values |= {"signing_keys": (SIGNING_KEY,)} | changes
        self.audit = Auditor(AuditLog(self._directory / "audit"))
        self.state = open_store(None, self._directory)
        self.recordings = recordings if recordings is not None else RecordingFiles(self._directory / "recordings", None, None)
        backends = Backends(
            self.published.make,
            self.state,
            self.audit,
            terminate=self.terminated.append,
            probe=probe,
            recordings=self.recordings,
            looks=(looks or FakeLooks()) if can_look else None,
        )
        self.app: Starlette = build_app(ServerSettings(**values), backends, hub)
        self.client = AsgiClient(self.app, headers=BEARER)
        self.stranger = AsgiClient(self.app, address="192.0.2.1")

    def run(self, scenario: Callable[[ServeAuth], Awaitable[_Result]]) -> _Result:
        """Run ``scenario`` while the application is up."""

        async def whole() -> _Result:
            async with lifespan(self.app):
                return await scenario(self)

        try:
            return asyncio.run(whole())
        finally:
            shutil.rmtree(self._directory)

    async def open_session(self, name: str = "build") -> dict[str, Any]:
        reply = await self.client.post_json("/api/sessions", {"sessionId": name})
        assert reply.status == 200, reply.body
        opened: dict[str, Any] = reply.json()
        return opened

    async def token_of(self, user: str, role: str = "host", **fields: Any) -> dict[str, str]:
        """The header of a new token."""
        reply = await self.client.post_json("/api/tokens", {"user": user, "role": role} | fields)
        return bearer(reply.json()["token"])

    async def audited(self) -> list[dict[str, Any]]:
        """The audit log, which ends with this."""
        await self.audit.close()
        return [json.loads(line) for line in (self._directory / "audit" / "00000001.jsonl").read_text().splitlines()]

    async def signed(self, opened: dict[str, Any], path: str, value: object, *, secret: str | None = None) -> Reply:
        """A request to the HTTP API, signed with ``opened`` credentials; no bearer token goes with it."""
        body = json.dumps(value).encode()
        target = signed_target(opened["key"], secret or opened["secret"], f"/apps/{opened['appId']}/{path}", body)
        return await self.stranger.request("POST", target, body, {"content-type": "application/json"})


def signed_target(key: str, secret: str, path: str, body: bytes) -> str:
    """Path and query as the protocol's text has them."""
    query = urlencode(
        {
            "auth_key": key,
            "auth_timestamp": int(time.time()),
            "auth_version": "1.0",
            "body_md5": hashlib.md5(body).hexdigest(),
        }
    )
    signature = hmac.new(secret.encode(), f"POST\n{path}\n{query}".encode(), hashlib.sha256).hexdigest()
    return f"{path}?{query}&auth_signature={signature}"


def bearer(token: str) -> dict[str, str]:
    """The header that shows ``token``."""
    return {"authorization": f"Bearer {token}"}
