"""The schemas of what is asked and answered about screens, for the OpenAPI document."""

from __future__ import annotations

from codewrap.server.looking import KEY_CHARACTERS, MOST_KEYS, MOST_TIMEOUT_S, TEXT_CHARACTERS, Result
from codewrap.server.patterns import MAX_CHARACTERS
from codewrap.server.schemas import SESSION, Schema, ref

_EPOCH: Schema = {"type": "string", "description": "Which run of the session it is of."}
_OFFSET: Schema = {"type": "integer", "minimum": 0, "description": "Bytes of output that had been drawn."}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_TEXT: Schema = {"type": "string"}
_COLOUR: Schema = {"type": ["integer", "string"], "description": "0 to 255, or #rrggbb."}
_STYLES = ("bold", "faint", "italic", "underline", "blink", "inverse", "strike")
_MODES = ("application_cursor", "application_keypad", "bracketed_paste", "alternate_screen", "focus_events", "inverse_video")
ENCRYPTED: Schema = _FLAG | {"description": "false: the session was started with --no-encrypt."}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """More members may come."""
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_SEND: dict[str, Schema] = {
    "text": {"type": "string", "minLength": 1, "maxLength": TEXT_CHARACTERS, "description": "Each end of a line is Enter."},
    "keys": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS},
        "minItems": 1,
        "maxItems": MOST_KEYS,
        "description": "Pressed after the text: C-c, M-x, Enter, Tab, Up, F5, as tmux names them.",
    },
    "paste": _FLAG | {"description": "Hand the text over as a paste."},
    "waitFor": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_CHARACTERS,
        "description": "A regular expression of RE2, ^ and $ being ends of lines, for what is printed or drawn then.",
    },
    "timeoutS": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": MOST_TIMEOUT_S,
        "description": "For all of it, in seconds; 30 where it is missing.",
    },
    "encrypted": ENCRYPTED,
}

LOOK_SCHEMAS: dict[str, Schema] = {
    "Screen": _object(
        {
            "session": SESSION,
            "epoch": _EPOCH,
            "offset": _OFFSET,
            "v": {"const": 1},
            "size": _object({"rows": _COUNT, "cols": _COUNT}),
            "cursor": _object({"row": _COUNT, "col": _COUNT, "visible": _FLAG}),
            "title": _TEXT,
            "modes": _object(dict.fromkeys(_MODES, _FLAG) | {"mouse": {"type": ["string", "null"]}}),
            "rows": _list(_object({"text": _TEXT, "runs": _list(ref("Run"))})),
        }
    ),
    "Run": _object(
        {"col": _COUNT, "width": {"enum": [1, 2]}, "text": _TEXT},
        dict.fromkeys(_STYLES, _FLAG) | {"fg": _COLOUR, "bg": _COLOUR},
    ),
    "Send": {
        "type": "object",
        "properties": _SEND,
        "additionalProperties": False,
        "anyOf": [{"required": ["text"]}, {"required": ["keys"]}],
    },
    "Sent": _object(
        {
            "result": {"enum": [result.value for result in Result]},
            "typed": _FLAG | {"description": "Its command was given all of it; false: what was left is dropped."},
            "epoch": _EPOCH,
            "offset": _OFFSET,
            "match": {"oneOf": [{"type": "null"}, ref("Match")]},
            "status": {"type": ["integer", "null"], "description": "Of a session that has ended: its exit status."},
            "reason": {"type": ["string", "null"], "description": "Where the time was over: what was waited for still."},
        }
    ),
    "Match": _object({"text": _TEXT, "groups": _list({"type": ["string", "null"]})}),
}
