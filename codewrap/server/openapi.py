"""The OpenAPI 3.1 document of `serve-auth`. A test compares it with the routes and with real answers."""

from __future__ import annotations

from codewrap import __version__
from codewrap.server.guard import SECURITY_HEADERS
from codewrap.server.lookschemas import ENCRYPTED, LOOK_SCHEMAS
from codewrap.server.schemas import EPOCH, POSITION, SCHEMAS, SESSION, TOKEN_ID, Schema, ref

_PROBLEMS = {
    400: "What was sent has the wrong form.",
    401: "Without a right token or signature.",
    403: "Refused for this token, host or origin.",
    404: "There is no such thing.",
    406: "It does not come in the media type that is asked for.",
    409: "Somebody else has it.",
    408: "The body came too slowly.",
    413: "Larger than the limit.",
    429: "Too often; `Retry-After` says when to come again.",
    502: "The broker refuses what this server sends.",
    503: "The broker cannot be reached now, or too much is under way.",
    504: "What came of it is not known.",
}
_ALWAYS = (400, 403)
_POSTED = (400, 401, 403, 408, 413, 429, 503)
_ASKED = (400, 401, 403, 429, 503)
_LOOKED = (404, 504)
_PUBLISHED = (*_POSTED, 502)
_TOLD = (*_PUBLISHED, 404)
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


_NAME: Schema = {"name": "name", "in": "path", "required": True, "schema": SESSION}
_TOKEN_ID: Schema = {"name": "token_id", "in": "path", "required": True, "schema": TOKEN_ID}
_EPOCH: Schema = {"name": "epoch", "in": "path", "required": True, "schema": EPOCH}
_AT: Schema = {"name": "at", "in": "query", "required": False, "schema": POSITION}
_LAST: Schema = {"name": "last", "in": "query", "required": False, "schema": {"type": "boolean"}}
_SESSION: Schema = {"name": "session", "in": "query", "required": False, "schema": SESSION}


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
            "schemas": SCHEMAS | LOOK_SCHEMAS,
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
        "/api/sessions": _post(
            "Open a session, or renew it", "SessionRequest", "SessionCredentials", json, problems=(*_POSTED, 409)
        )
        | {"get": _get("Live sessions that the token reaches", "Sessions", _ASKED)},
        "/api/sessions/{name}/end": _post("End a session", "SessionEnd", "Ended", json, problems=(*_POSTED, 404), path=_NAME),
        "/api/sessions/{name}/approvals": _post(
            "Let a user type into a session, or not", "Approval", "Accepted", json, status=202, problems=_TOLD, path=_NAME
        ),
        "/api/sessions/{name}/kill": _post(
            "End a session's command", "Kill", "Accepted", json, status=202, problems=_TOLD, path=_NAME
        ),
        "/api/sessions/{name}/answer-links": _post(
            "Make a link to answer a prompt",
            "AnswerLinkRequest",
            "AnswerLink",
            json,
            status=201,
            problems=(*_POSTED, 404),
            path=_NAME,
        ),
        "/api/sessions/{name}/answer": _post(
            "Answer the prompt that the bearer's link is for", "Answer", "Answered", json, problems=(*_TOLD, 409, 504), path=_NAME
        ),
        "/api/sessions/{name}/answers/{token_id}": _answered(),
        "/api/sessions/{name}/screen": {"get": _screen()},
        "/api/sessions/{name}/send": _post(
            "Type into a session, and wait for what comes of it", "Send", "Sent", json, problems=(*_POSTED, *_LOOKED), path=_NAME
        ),
        "/api/recordings": {"get": _get("Stored recordings that the token reaches", "Recordings", _ASKED, _SESSION)},
        "/api/recordings/{name}/{epoch}": _recording(),
        "/api/tokens": _post("Issue a token", "TokenRequest", "IssuedToken", json, status=201)
        | {"get": _get("Tokens that have not expired", "Tokens", _ASKED)},
        "/api/tokens/{token_id}": {"delete": _get("Revoke a token", "Revoked", (*_ASKED, 404), path=_TOKEN_ID)},
        "/api/revocations": _post("Revoke all tokens of a user", "UserRevocation", "Revoked", json),
        "/api/shares": _post("Make a link to a session", "ShareRequest", "Share", json, status=201, problems=(*_POSTED, 404)),
        "/api/shares/redeem": _post("Exchange a link's token", "Redemption", "Redeemed", json, bearer=False),
        "/api/whoami": {"get": _get("Who the asker is", "Identity", _ASKED)},
        "/api/config": {"get": _get("Public settings of clients", "Config")},
        "/healthz": {"get": _get("Whether server and broker answer", "Health")},
        "/openapi.json": {"get": _get("This document", "OpenApi")},
        "/metrics": {"get": _metrics()},
        "/apps/{app_id}/events": _signed("Publish one event", "Event"),
        "/apps/{app_id}/batch_events": _signed("Publish up to ten events in order", "Batch"),
    }


def _answered() -> Schema:
    operation = _post("Say what became of an answer", "AnswerOutcome", "Noted", ("application/json",), problems=(*_POSTED, 404))
    operation["post"]["parameters"] = [_NAME, _TOKEN_ID]
    return operation


def _screen() -> Schema:
    operation = _get("What a session's screen shows now", "Screen", (*_ASKED, 406, *_LOOKED))
    operation["parameters"] = [_NAME, {"name": "encrypted", "in": "query", "required": False, "schema": ENCRYPTED}]
    operation["responses"]["200"]["content"] |= {
        "text/plain": {"schema": {"type": "string"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
    }
    return operation


def _recording() -> Schema:
    sealed: Schema = {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}}}
    found = (*_ASKED, 404)
    read = _get("A piece of a stored recording", "Empty", found)
    read["responses"]["200"]["content"] = sealed
    put = _get("Store a piece of a recording", "StoredPiece", (*_POSTED, 404, 409))
    put["requestBody"] = {"required": True, "content": sealed}
    delete = _get("Delete a stored recording", "Deleted", found)
    for operation, more in ((read, (_AT,)), (put, (_AT, _LAST)), (delete, ())):
        operation["parameters"] = [_NAME, _EPOCH, *more]
    return {"get": read, "put": put, "delete": delete}


def _get(summary: str, answer: str, problems: tuple[int, ...] = _ALWAYS, path: Schema | None = None) -> Schema:
    security: list[Schema] = [{"bearer": []}] if 401 in problems else []
    operation: Schema = {"summary": summary, "security": security, "responses": _responses(200, answer, problems)}
    return operation | ({"parameters": [path]} if path is not None else {})


def _metrics() -> Schema:
    operation = _get("Numbers for Prometheus", "Empty", _ASKED)
    operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return operation


def _post(
    summary: str,
    body: str,
    answer: str,
    media_types: tuple[str, ...],
    *,
    status: int = 200,
    problems: tuple[int, ...] = _POSTED,
    path: Schema | None = None,
    bearer: bool = True,
) -> Schema:
    content = {media_type: {"schema": ref(body)} for media_type in media_types}
    operation: Schema = {
        "summary": summary,
        "security": [{"bearer": []}] if bearer else [],
        "requestBody": {"required": True, "content": content},
        "responses": _responses(status, answer, problems),
    }
    return {"post": operation | ({"parameters": [path]} if path is not None else {})}


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
    responses: Schema = {str(status): {"description": "Done.", "headers": _headers(), "content": _json(ref(answer))}}
    for problem in problems:
        more = {401: (_CHALLENGE,), 429: (_RETRY_AFTER,), 503: (_RETRY_AFTER,)}.get(problem, ())
        responses[str(problem)] = {
            "description": _PROBLEMS[problem],
            "headers": _headers(*more),
            "content": _json(ref("Error")),
        }
    return responses


def _said_by_the_hub_too(problem: int) -> Schema:
    either = {"oneOf": [ref("Error"), ref("HubError")]}
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {"description": _PROBLEMS[problem], "headers": _headers(), "content": _json(either) | text}


def _headers(*more: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*SECURITY_HEADERS, *more)}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
