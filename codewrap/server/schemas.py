"""The schemas of `serve-auth`'s OpenAPI document: what is sent and answered, by name."""

from __future__ import annotations

from signal import NSIG
from typing import Any

from codewrap.protocol.channels import SESSION_NAME
from codewrap.protocol.frames import MAX_ANSWER_CHARACTERS, MAX_OFFSET
from codewrap.protocol.roles import USER, Role
from codewrap.server.answerlinks import MAX_PROMPT_CHARACTERS, READS
from codewrap.server.identity import ADMIN_USER
from codewrap.server.tokens import MAX_LIFETIME_S, MAX_PATTERNS, PATTERN

MAX_SHARE_S = 7 * 86_400
# One line: nothing in it ends a line, begins a sequence, or is a key.
ANSWER_TEXT = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]*$"
Schema = dict[str, Any]

SESSION: Schema = {"type": "string", "pattern": f"^{SESSION_NAME.pattern}$", "description": "A session's name."}
_BASE64: Schema = {"type": "string", "contentEncoding": "base64"}
_WRITER: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_=@,;-]{1,64}\\.([0-9a-f]{12}|http)$"}
_SOCKET_ID: Schema = {"type": "string", "pattern": r"^[0-9]{1,32}\.[0-9]{1,32}$"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, closed: bool = True) -> Schema:
    schema: Schema = {"type": "object", "properties": required | (optional or {}), "required": list(required)}
    if closed:
        schema["additionalProperties"] = False
    return schema


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_EVENT: Schema = {
    "name": {"type": "string", "minLength": 1, "maxLength": 200},
    "data": {"type": "string", "minLength": 1, "description": "The event's text: JSON, sealed on encrypted channels."},
}
_CHANNEL: Schema = {"type": "string", "description": "A channel of the session that the credentials are for."}

_TIME: Schema = {"type": "integer", "description": "Seconds since 1970."}
_USER: Schema = {"type": "string", "pattern": f"^{USER.pattern}$", "description": "A user's id."}
_KNOWN_USER: Schema = _USER | {"not": {"const": ADMIN_USER}}
_NEW_USER: Schema = _USER | {"not": {"pattern": f"^({ADMIN_USER}$|[Ss][Ss][Oo]@)"}}
_ROLE: Schema = {"enum": [role.value for role in Role]}
_TOKEN: Schema = {"type": "string", "description": "A bearer token; told only here."}
TOKEN_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
EPOCH: Schema = {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "One run of a session."}
POSITION: Schema = {"type": "integer", "minimum": 0, "exclusiveMaximum": MAX_OFFSET, "description": "Bytes before it."}
_GRANT: Schema = {
    "type": "string",
    "pattern": "^[0-9a-f]{16}(-[0-9a-f]{32})?$",
    "description": "Which opening of the session; with it an opening is renewed and ended.",
}
_PATTERNS: Schema = {
    "type": "array",
    "items": {"type": "string", "pattern": f"^{PATTERN.pattern}$"},
    "maxItems": MAX_PATTERNS,
    "description": "Sessions that it is for, by name or pattern; none: every session.",
}
_TOKEN_FIELDS: Schema = {
    "tokenId": TOKEN_ID,
    "user": _USER,
    "role": _ROLE,
    "sessions": _PATTERNS,
    "issuedAt": _TIME,
    "expiresAt": _TIME,
    "issuedBy": _USER,
    "kind": {"enum": ["token", "share", "redeemed"]},
}


def _lifetime(most_s: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most_s, "description": "Seconds."}


SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": _object({"code": {"type": "string"}, "message": {"type": "string"}})}),
    "HubError": _object({"error": {"type": "string", "description": "As Pusher says it, where this server is the broker."}}),
    "ChannelRequest": _object(
        {"socket_id": _SOCKET_ID, "channel_name": {"type": "string", "maxLength": 200}},
        {
            "role": {"enum": ["viewer", "writer", "host"], "description": "What to be; writer where it is missing."},
            "name": {"type": "string", "description": "How to be shown to others."},
            "client_output": {"enum": ["1"], "description": "Output that comes as a signed client event is understood."},
            "challenge": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "Random; for the host to answer."},
        },
        closed=False,
    ),
    "ChannelAuth": _object(
        {"auth": {"type": "string"}},
        {
            "channel_data": {"type": "string", "description": "Presence channels only: JSON with user_id and user_info."},
            "shared_secret": _BASE64 | {"description": "Encrypted channels only: the channel's key."},
            "input_key": _BASE64 | {"description": "Writers on the input channel only: a key of their own to type with."},
            "writer": _WRITER | {"description": "With input_key: whose it is."},
            "input_until": {"type": "integer", "description": "With input_key: until when it is good. Seconds since 1970."},
        },
    ),
    "UserRequest": _object({"socket_id": _SOCKET_ID}, closed=False),
    "UserAuth": _object({"auth": {"type": "string"}, "user_data": {"type": "string"}}),
    "Sealed": _object(
        {
            "nonce": _BASE64 | {"pattern": "^[A-Za-z0-9+/]{32}$"},
            "ciphertext": _BASE64
            | {"pattern": "^([A-Za-z0-9+/]{4}){5,}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"},
            "writer": _WRITER | {"description": "The caller's own, as it came with the key."},
            "until": {"type": "integer", "description": "As it came with the key; not over, and not too far ahead."},
        }
    ),
    "InputCommand": {
        "oneOf": [
            _object({"sessionId": SESSION, "input": {"type": "string", "minLength": 1}}),
            _object({"sessionId": SESSION, "sealed": ref("Sealed")}),
        ]
    },
    "SyncCommand": _object({"sessionId": SESSION, "frame": ref("SyncFrame")}),
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
    "SessionRequest": _object({"sessionId": SESSION}, {"grant": _GRANT}),
    "SessionEnd": _object({"grant": _GRANT}),
    "Ended": _object({"status": {"const": "ended"}}),
    "Sessions": _object(
        {
            "sessions": {
                "type": "array",
                "items": _object({"sessionId": SESSION, "owner": _USER, "openedAt": _TIME, "seenAt": _TIME}),
            }
        }
    ),
    "Recordings": _object(
        {
            "recordings": {
                "type": "array",
                "items": _object(
                    {
                        "sessionId": SESSION,
                        "epoch": EPOCH,
                        "owner": _USER,
                        "openedAt": _TIME,
                        "updatedAt": _TIME,
                        "bytes": POSITION,
                        "ended": {"type": "boolean", "description": "Nothing follows."},
                        "live": {"type": "boolean", "description": "A session of this name is hosted, and it has not ended."},
                    }
                ),
            },
            "more": {"type": "boolean", "description": "There are more than are listed."},
        }
    ),
    "StoredPiece": _object({"bytes": POSITION, "ended": {"type": "boolean"}}),
    "Deleted": _object({"status": {"const": "deleted"}}),
    "Approval": _object(
        {"user": _USER}, {"allow": {"type": "boolean", "description": "true where it is missing; false: denied."}}
    ),
    "Kill": _object({}, {"signal": {"type": ["integer", "null"], "minimum": 1, "maximum": NSIG - 1}}),
    "TokenRequest": _object(
        {"user": _NEW_USER, "role": _ROLE},
        {"sessions": _PATTERNS, "lifetimeS": _lifetime(MAX_LIFETIME_S)},
    ),
    "IssuedToken": _object({"token": _TOKEN} | _TOKEN_FIELDS),
    "Tokens": _object({"tokens": {"type": "array", "items": _object(_TOKEN_FIELDS | {"revoked": {"type": "boolean"}})}}),
    "UserRevocation": _object({"user": _KNOWN_USER}),
    "Revoked": _object({"status": {"const": "revoked"}}),
    "ShareRequest": _object(
        {"sessionId": SESSION},
        {
            "write": {"type": "boolean", "description": "Whether its bearer may type; false where it is missing."},
            "once": {"type": "boolean", "description": "Whether it works once only."},
            "lifetimeS": _lifetime(MAX_SHARE_S),
        },
    ),
    "Share": _object(
        {
            "token": _TOKEN,
            "tokenId": TOKEN_ID,
            "sessionId": SESSION,
            "user": _USER,
            "role": _ROLE,
            "once": {"type": "boolean"},
            "expiresAt": _TIME,
        }
    ),
    "Redemption": _object({"token": _TOKEN}),
    "Redeemed": _object({"token": _TOKEN, "sessionId": SESSION, "role": _ROLE, "expiresAt": _TIME}),
    "Identity": _object(
        {
            "user": _USER,
            "name": {"type": "string"},
            "role": _ROLE,
            "sessions": _PATTERNS,
            "kind": {"enum": ["admin", "token", "share", "oidc"]},
            "tokenId": {"type": ["string", "null"]},
            "expiresAt": {"type": ["number", "null"]},
            "may": {"type": "array", "items": {"type": "string"}, "description": "What the role may ask for, in words."},
        }
    ),
    "SessionCredentials": _object(
        {
            "appId": {"type": "string", "pattern": "^[0-9]+$"},
            "key": {"type": "string"},
            "secret": {"type": "string"},
            "expiresAt": _TIME,
            "grant": _GRANT,
            "owner": _USER,
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
    "AnswerLinkRequest": _object(
        {
            "epoch": EPOCH,
            "offset": POSITION | {"description": "The output written when the prompt stood there."},
            "typed": POSITION | {"description": "The input taken by then, from anybody."},
            "prompt": {"type": "string", "maxLength": MAX_PROMPT_CHARACTERS, "description": "What is asked."},
            "reads": {"enum": list(READS), "description": "A line, a line without echo, or keys."},
        }
    ),
    "AnswerLink": _object({"token": _TOKEN, "tokenId": TOKEN_ID, "sessionId": SESSION, "expiresAt": _TIME}),
    "Answer": _object(
        {"text": {"type": "string", "maxLength": MAX_ANSWER_CHARACTERS, "pattern": ANSWER_TEXT}},
        {"enter": {"type": "boolean", "description": "Whether Enter is pressed behind it; true where it is missing."}},
    ),
    "Answered": _object({"status": {"const": "typed"}}),
    "AnswerOutcome": _object({"outcome": {"enum": ["typed", "gone", "refused"]}}),
    "Noted": _object({"status": {"const": "noted"}}),
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
