"""What schemathesis cannot know of `serve-auth`: who signs the HTTP API, and that one address may not guess for ever.

Loaded by schemathesis in a process of its own, by `schemathesis.toml`.
"""

from __future__ import annotations

import itertools
import json
import os
from typing import Any

import requests
import schemathesis

from codewrap.protocol.channels import ChannelRole
from tests.support.serve_auth import signed_target

SESSION = os.environ.get("CODEWRAP_FUZZ_SESSION", "fuzzed")
RUN = "0123456789abcdef"
LOOKED_AT = os.environ.get("CODEWRAP_FUZZ_LOOKED_AT", "looked-at")
_OPENED = json.loads(os.environ.get("CODEWRAP_FUZZ_OPENED", "{}"))
_SHARE = os.environ.get("CODEWRAP_FUZZ_SHARE", "")
_ANSWER_LINK = os.environ.get("CODEWRAP_FUZZ_ANSWER_LINK", "")
_ADDRESSES = itertools.count(1)
_REDEEMED = itertools.count()


class _Signed(requests.auth.AuthBase):
    """Signs a request to the HTTP API with a session's credentials, over the very bytes that are sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else bytes(body)
        origin, _, path = str(request.url).partition("/apps/")
        target = signed_target(_OPENED["key"], _OPENED["secret"], f"/apps/{path.partition('?')[0]}", content)
        request.url = f"{origin}{target}"
        return request


class _Linked(requests.auth.AuthBase):
    """Shows the token of a link to answer a prompt, which is the only one that is taken there."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {_ANSWER_LINK}"
        return request


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Each request comes from an address of its own, as the proxy says; a well-formed one to the HTTP API is signed."""
    number = next(_ADDRESSES)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    case.headers["X-Forwarded-For"] = address
    _spare(case)
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if case.path.startswith("/apps/") and case.method == "POST" and positive:
        case.path_parameters["app_id"] = _OPENED["appId"]
        kwargs["auth"] = _Signed()
    if case.path.startswith("/api/recordings/") and positive:
        _recorded(case)
    if case.path.endswith(("/screen", "/send")) and positive:
        _looked(case)
    if case.path.endswith("/answer") and case.method == "POST" and positive:
        case.path_parameters["name"] = SESSION
        kwargs["auth"] = _Linked()
    if case.path == "/api/shares/redeem" and positive and isinstance(case.body, dict) and next(_REDEEMED) % 2 == 0:
        case.body["token"] = _SHARE


def _recorded(case: Any) -> None:
    """Recordings are put for sessions that are hosted, read where there is one, and deleted where nobody reads."""
    case.path_parameters["name"] = SESSION if case.method == "GET" else "another"
    if case.method != "PUT":
        case.path_parameters["epoch"] = RUN


def _looked(case: Any) -> None:
    """At the one session that a host answers for, with keys that there are; what is waited for does not come there."""
    case.path_parameters["name"] = LOOKED_AT
    if case.query and "encrypted" in case.query:
        case.query["encrypted"] = "true"
    if isinstance(case.body, dict):
        case.body["timeoutS"] = min(case.body.get("timeoutS", 0.3), 0.3)
        for name, value in (("keys", ["C-c", "Enter"]), ("encrypted", True)):
            if name in case.body:
                case.body[name] = value


def _spare(case: Any) -> None:
    """The session whose credentials sign goes on: what would end or take it over is done to another."""
    body = case.body if isinstance(case.body, dict) else {}
    if case.path.endswith("/end") and case.path_parameters.get("name") == SESSION:
        case.path_parameters["name"] = "another"
    if case.path == "/api/sessions" and body.get("sessionId") == SESSION:
        body["sessionId"] = "another"
    if case.path == "/api/revocations" and body.get("user") == "admin":
        body["user"] = "another"


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Most channels that are asked for are a session's, and most events for those that the credentials reach."""
    path = context.operation.path if context.operation is not None else ""
    if not isinstance(body, dict):
        return body
    if path == "/pusher/auth" and isinstance(body.get("channel_name"), str):
        channels = [f"{role.value}{SESSION}" for role in ChannelRole]
        body["channel_name"] = channels[len(str(body)) % len(channels)]
    if path.startswith("/apps/"):
        for event in body["batch"] if isinstance(body.get("batch"), list) else [body]:
            _aim(event)
    return body


def _aim(event: Any) -> None:
    if isinstance(event, dict) and isinstance(event.get("channel"), str):
        event["channel"] = f"private-command-{SESSION}"
    elif isinstance(event, dict) and isinstance(event.get("channels"), list) and len(event["channels"]) == 1:
        event["channels"] = [f"presence-command-{SESSION}"]
