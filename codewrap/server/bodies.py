"""Request bodies: read with a limit and a deadline, parsed strictly. Everything here is untrusted until it returns."""

from __future__ import annotations

import asyncio
import json
from typing import TypeVar
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from codewrap.server.refusals import Refusal, bad_request, too_large

READ_TIMEOUT_S = 15.0
_FORM_FIELDS = 32
_T = TypeVar("_T")


async def read(request: Request, limit_bytes: int) -> bytes:
    """The whole body. Raises Refusal: 413 as soon as it is known to be too large, 408 when it comes too slowly."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit_bytes:
        raise too_large("the body", limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise too_large("the body", limit_bytes)
    except TimeoutError:
        raise Refusal(408, "too_slow", "the body did not arrive in time") from None
    except ClientDisconnect:
        raise bad_request("the body ended early") from None
    return bytes(body)


def parse_object(body: bytes) -> dict[str, object]:
    """A JSON object. Raises Refusal for all else; a name given twice is refused, as readers differ on which counts."""
    try:
        value = json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON, or a name stands in it twice") from None
    if not isinstance(value, dict):
        raise bad_request("the body is not a JSON object")
    return value


def parse_fields(content_type: str | None, body: bytes) -> dict[str, str]:
    """Named texts, from a form (as the official clients send it) or a JSON object. Raises Refusal."""
    media_type = (content_type or "application/x-www-form-urlencoded").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return _texts(parse_object(body))
    if media_type != "application/x-www-form-urlencoded":
        raise bad_request("the body must be a form (application/x-www-form-urlencoded) or JSON (application/json)")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FORM_FIELDS, errors="strict")
        return dict(_unique(pairs))
    except ValueError:
        raise bad_request("the form cannot be read, or a name stands in it twice") from None


def text(fields: dict[str, object], name: str) -> str:
    """Field ``name``, which must be a text of Unicode characters. Raises Refusal."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise bad_request(f"{name} is missing or not a text")
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, written as \ud800 in JSON
        raise bad_request(f"{name} is not Unicode text") from None
    return value


def only(fields: dict[str, object], *names: str) -> None:
    """Raises Refusal where there is a field beside ``names``: a misspelt one must not be passed over in silence."""
    if not fields.keys() <= set(names):
        raise bad_request(f"there are other fields than {', '.join(names)}")


def _texts(fields: dict[str, object]) -> dict[str, str]:
    return {name: text(fields, name) for name in fields}


def _unique(pairs: list[tuple[str, _T]]) -> dict[str, _T]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice")
    return fields


def _no_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are not JSON
