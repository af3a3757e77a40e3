"""The OpenAPI 3.1 document of `serve-auth`. A test compares it with the routes and with real answers."""

from __future__ import annotations

from typing import Any

from codewrap import __version__
from codewrap.protocol.channels import SESSION_NAME
from codewrap.protocol.frames import MAX_OFFSET
from codewrap.server.guard import SECURITY_HEADERS

Schema = dict[str, Any]

_SESSION: Schema = {"type": "string", "pattern": f"^{SESSION_NAME.pattern}$", "description": "A session's name."}
_BASE64: Schema = {"type": "string", "contentEncoding": "base64"}
_SOCKET_ID: Schema = {"type": "string", "pattern": r"^[0-9]{1,32}\.[0-9]{1,32}$"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, closed: bool = True) -> Schema:
    schema: Schema = {"type": "object", "properties": required | (optional or {}), "required": list(required)}
    if closed:
        schema["additionalProperties"] = False
    return schema


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_EVENT: Schema = {
    "name": {"type": "string", "minLength": 1, "maxLength": 200},
    "data": {"type": "string", "minLength": 1, "description": "The event's text: JSON, sealed on encrypted channels."},
}
_CHANNEL: Schema = {"type": "string", "description": "A channel of the session that the credentials are for."}

SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": _object({"code": {"type": "string"}, "message": {"type": "string"}})}),
    "HubError": _object({"error": {"type": "string", "description": "As Pusher says it, where this server is the broker."}}),
    "ChannelRequest": _object(
        {"socket_id": _SOCKET_ID, "channel_name": {"type": "string", "maxLength": 200}},
        {
            "role": {"enum": ["viewer", "writer", "host"], "description": "What to be; writer where it is missing."},
            "name": {"type": "string", "description": "How to be shown to others."},
            "client_output": {"enum": ["1"], "description": "Output that comes as a signed client event is understood."},
        },
        closed=False,
    ),
    "ChannelAuth": _object(
        {"auth": {"type": "string"}},
        {
            "channel_data": {"type": "string", "description": "Presence channels only: JSON with user_id and user_info."},
            "shared_secret": _BASE64 | {"description": "Encrypted channels only: the channel's key."},
        },
    ),
    "UserRequest": _object({"socket_id": _SOCKET_ID}, closed=False),
    "UserAuth": _object({"auth": {"type": "string"}, "user_data": {"type": "string"}}),
    "Sealed": _object(
        {
            "nonce": _BASE64 | {"pattern": "^[A-Za-z0-9+/]{32}$"},
            "ciphertext": _BASE64
            | {"pattern": "^([A-Za-z0-9+/]{4}){5,}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"},
        }
    ),
    "InputCommand": {
        "oneOf": [
            _object({"sessionId": _SESSION, "input": {"type": "string", "minLength": 1}}),
            _object({"sessionId": _SESSION, "sealed": _ref("Sealed")}),
        ]
    },
    "SyncCommand": _object({"sessionId": _SESSION, "frame": _ref("SyncFrame")}),
    "SyncFrame": _object(
        {
            "v": {"const": 1},
            "type": {"const": "sync"},
            "epoch": {"type": "string", "pattern": "^[A-Za-z0-9_-]{0,64}$"},
            "from": {"type": "integer", "minimum": 0, "exclusiveMaximum": MAX_OFFSET},
            "want": {"enum": ["screen", "bytes"]},
        },
        closed=False,
    ),
    "Accepted": _object({"status": {"const": "accepted"}}),
    "SessionRequest": _object({"sessionId": _SESSION}),
    "SessionCredentials": _object(
        {
            "appId": {"type": "string", "pattern": "^[0-9]+$"},
            "key": {"type": "string"},
            "secret": {"type": "string"},
            "expiresAt": {"type": "integer", "description": "Seconds since 1970."},
        }
    ),
    "Event": {
        "oneOf": [
            _object(_EVENT | {"channel": _CHANNEL}),
            _object(
                _EVENT | {"channels": {"type": "array", "items": _CHANNEL, "minItems": 1, "maxItems": 10, "uniqueItems": True}}
            ),
        ]
    },
    "Batch": _object(
        {"batch": {"type": "array", "items": _object(_EVENT | {"channel": _CHANNEL}), "minItems": 1, "maxItems": 10}}
    ),
    "Empty": _object({}),
    "Config": _object(
        {
            "version": {"const": 1},
            "broker": _object(
                {
                    "host": {"type": ["string", "null"], "description": "null: where this document's server is reached."},
                    "port": {"type": ["integer", "null"]},
                    "tls": {"type": ["boolean", "null"]},
                    "key": {"type": "string", "description": "The app key, which is public."},
                    "path": {"type": "string"},
                }
            ),
            "limits": _object(
                {
                    "event_bytes": {"type": "integer", "minimum": 1},
                    "client_events_per_s": {
                        "type": ["integer", "null"],
                        "minimum": 1,
                        "description": "From one connection; null: not limited.",
                    },
                }
            ),
            "encrypted": {"type": "boolean"},
        }
    ),
    "Health": _object({"status": {"const": "ok"}, "broker": {"enum": ["ok", "unreachable"]}}),
    "OpenApi": _object({"openapi": {"type": "string"}, "info": {"type": "object"}, "paths": {"type": "object"}}, closed=False),
}

_PROBLEMS = {
    400: "What was sent has the wrong form.",
    401: "Without a right token or signature.",
    403: "Refused for this token, host or origin.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    413: "Larger than the limit.",
    429: "Too often; `Retry-After` says when to come again.",
    502: "The broker refuses what this server sends.",
    503: "The broker cannot be reached now.",
}
_ALWAYS = (400, 403)
_POSTED = (400, 401, 403, 408, 413, 429)
_PUBLISHED = (*_POSTED, 502, 503)
# Where this server is the broker, it says these as Pusher does to whom no session's credentials signed for.
_BY_THE_HUB = (400, 401, 403, 404, 413)

_RETRY_AFTER = "Retry-After"
_CHALLENGE = "WWW-Authenticate"
HEADERS: Schema = {
    name: {"required": True, "schema": {"const": value}, "description": "On every answer."}
    for name, value in SECURITY_HEADERS.items()
} | {
    _RETRY_AFTER: {"schema": {"type": "integer", "minimum": 1}, "required": True, "description": "Seconds."},
    _CHALLENGE: {"schema": {"type": "string", "pattern": "^Bearer "}, "required": True},
}


def document() -> Schema:
    """The whole document, made anew: the caller may change it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "codewrap serve-auth",
            "version": __version__,
            "description": "Authorizes hosts and viewers of codewrap sessions on a Pusher Channels broker.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": _paths(),
        "components": {
            "schemas": SCHEMAS,
            "headers": HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "signature": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "auth_signature",
                    "description": "Pusher's request signature with session credentials; also auth_key, auth_timestamp, "
                    "auth_version and body_md5.",
                },
            },
        },
    }


def _paths() -> Schema:
    forms = ("application/x-www-form-urlencoded", "application/json")
    json = ("application/json",)
    return {
        "/pusher/auth": _post("Authorize a channel", "ChannelRequest", "ChannelAuth", forms),
        "/pusher/user-auth": _post("Sign a user in", "UserRequest", "UserAuth", forms),
        "/api/commands/input": _post("Type into a session", "InputCommand", "Accepted", json, status=202, problems=_PUBLISHED),
        "/api/commands/sync": _post(
            "Ask a session's host for screen or bytes", "SyncCommand", "Accepted", json, status=202, problems=_PUBLISHED
        ),
        "/api/sessions": _post("Credentials of a session's host", "SessionRequest", "SessionCredentials", json),
        "/api/config": {"get": _get("Public settings of clients", "Config")},
        "/healthz": {"get": _get("Whether server and broker answer", "Health")},
        "/openapi.json": {"get": _get("This document", "OpenApi")},
        "/apps/{app_id}/events": _signed("Publish one event", "Event"),
        "/apps/{app_id}/batch_events": _signed("Publish up to ten events in order", "Batch"),
    }


def _get(summary: str, answer: str) -> Schema:
    return {"summary": summary, "security": [], "responses": _responses(200, answer, _ALWAYS)}


def _post(
    summary: str,
    body: str,
    answer: str,
    media_types: tuple[str, ...],
    *,
    status: int = 200,
    problems: tuple[int, ...] = _POSTED,
) -> Schema:
    content = {media_type: {"schema": _ref(body)} for media_type in media_types}
    return {
        "post": {
            "summary": summary,
            "security": [{"bearer": []}],
            "requestBody": {"required": True, "content": content},
            "responses": _responses(status, answer, problems),
        }
    }


def _signed(summary: str, body: str) -> Schema:
    operation = _post(summary, body, "Empty", ("application/json",), problems=_PUBLISHED)["post"]
    query = [("auth_key", "string"), ("auth_timestamp", "integer"), ("auth_version", "string"), ("body_md5", "string")]
    operation["security"] = [{"signature": []}]
    operation["parameters"] = [
        {"name": "app_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}},
        *({"name": name, "in": "query", "required": True, "schema": {"type": kind}} for name, kind in query),
    ]
    for problem in _BY_THE_HUB:
        operation["responses"][str(problem)] = _said_by_the_hub_too(problem)
    return {"post": operation}


def _responses(status: int, answer: str, problems: tuple[int, ...]) -> Schema:
    responses: Schema = {str(status): {"description": "Done.", "headers": _headers(), "content": _json(_ref(answer))}}
    for problem in problems:
        more = {401: (_CHALLENGE,), 429: (_RETRY_AFTER,), 503: (_RETRY_AFTER,)}.get(problem, ())
        responses[str(problem)] = {
            "description": _PROBLEMS[problem],
            "headers": _headers(*more),
            "content": _json(_ref("Error")),
        }
    return responses


def _said_by_the_hub_too(problem: int) -> Schema:
    either = {"oneOf": [_ref("Error"), _ref("HubError")]}
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {"description": _PROBLEMS[problem], "headers": _headers(), "content": _json(either) | text}


def _headers(*more: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*SECURITY_HEADERS, *more)}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
