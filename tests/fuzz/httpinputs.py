"""Requests to every operation of the server's document, and to its hub's HTTP API: right ones, and each part of them changed."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from codewrap.broker.apps import App
from tests.fuzz.mutations import dumps, mutated, scrambled, strange
from tests.support.hubclient import sign

# Of the patterns in the document each has one that fits; a pattern that has none is met by the last.
TEXTS = ("fuzzed", "1.2", "7", "A" * 32, "A" * 40, "alice", "private-input-fuzzed", "0123456789abcdef" * 2, "x")
HEADER_FLOOD = 300
CHANNELS = (
    "private-command-fuzzed", "private-encrypted-command-fuzzed", "private-input-fuzzed", "private-encrypted-input-fuzzed",
    "presence-command-fuzzed", "public", "cache-x", "private-cache-y", "presence-cache-z", "#server-to-user-alice",
)  # fmt: skip


@dataclass(frozen=True)
class Secrets:
    """What the server's own people have. The fuzzer has everything: what is behind a refusal is tried as well."""

    token: str
    app_id: str
    key: str
    secret: str
    session_key: str
    session_secret: str


@dataclass(frozen=True)
class Request:
    """Bytes to send. ``framed``: the server can tell where it ends, so that another may follow."""

    data: bytes
    framed: bool = True


def sample(schema: dict[str, Any], document: dict[str, Any], rng: random.Random) -> Any:
    """A value that the schema takes, mostly."""
    if "$ref" in schema:
        return sample(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, rng)
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return sample(rng.choice(schema[several]), document, rng)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    kind = schema.get("type", "string")
    kind = rng.choice(kind) if isinstance(kind, list) else kind
    if kind == "object":
        names = [name for name in schema.get("properties", {}) if name in schema.get("required", ()) or rng.random() < 0.5]
        return {name: sample(schema["properties"][name], document, rng) for name in names}
    if kind == "array":
        return [sample(schema.get("items", {}), document, rng) for _ in range(max(schema.get("minItems", 0), rng.randrange(3)))]
    if kind == "string":
        fitting = [text for text in TEXTS if re.search(schema.get("pattern", ""), text)]
        return rng.choice(fitting or TEXTS)
    return {"integer": rng.randrange(1, 4000), "number": 1.5, "boolean": rng.random() < 0.5}.get(kind)


class Requests:
    """Makes requests to what ``document`` describes."""

    def __init__(self, document: dict[str, Any], secrets: Secrets) -> None:
        self._document = document
        self._secrets = secrets
        self._operations = [
            (path, method, described) for path, methods in document["paths"].items() for method, described in methods.items()
        ]

    def make(self, rng: random.Random) -> Request:
        """One of any kind."""
        kind = rng.random()
        if kind < 0.55:
            return self._operation(rng)
        if kind < 0.85:
            return self._hub(rng)
        return self._broken(rng)

    def _operation(self, rng: random.Random) -> Request:
        path, method, described = rng.choice(self._operations)
        content = described.get("requestBody", {}).get("content", {})
        media_type = rng.choice(list(content)) if content else ""
        value = sample(content[media_type]["schema"], self._document, rng) if content else {}
        if path == "/pusher/auth" and rng.random() < 0.8:
            value["channel_name"] = rng.choice(CHANNELS)
        target = re.sub(r"{(\w+)}", lambda found: quote(str(self._part(found[1], rng)), safe=""), path)
        body = self._body(value, media_type, rng) if content else b""
        if path.startswith("/apps/"):
            target = self._signed(target, method, body, rng)
        return self._wire(method.upper(), target, body, media_type, rng)

    def _part(self, name: str, rng: random.Random) -> object:
        if name == "app_id" and rng.random() < 0.9:
            return self._secrets.app_id
        return rng.choice(TEXTS) if rng.random() < 0.8 else strange(rng)

    def _body(self, value: Any, media_type: str, rng: random.Random) -> bytes:
        value = mutated(value, rng) if rng.random() < 0.7 else value
        if media_type.endswith("urlencoded") and isinstance(value, dict):
            body = urlencode(
                {name: inner if isinstance(inner, str) else dumps(inner) for name, inner in value.items()}, errors="replace"
            ).encode()
        else:
            body = dumps(value).encode("utf-8", "surrogatepass")
        return scrambled(body, rng) if rng.random() < 0.15 else body

    def _hub(self, rng: random.Random) -> Request:
        """As who has the app's secret, or a session's."""
        app = f"/apps/{self._secrets.app_id}"
        channel = rng.choice(CHANNELS)
        event = {"name": "output", "channel": channel, "data": "{}"}
        method, path, value = rng.choice(
            [
                ("POST", "/events", event),
                (
                    "POST",
                    "/events",
                    {"name": "x", "channels": [channel, "y"], "data": "x", "info": "user_count,subscription_count"},
                ),
                ("POST", "/batch_events", {"batch": [event, event | {"socket_id": "1.2", "info": "user_count"}]}),
                ("GET", "/channels", None),
                ("GET", f"/channels/{quote(channel)}", None),
                ("GET", f"/channels/{quote(channel)}/users", None),
                ("POST", "/users/alice/terminate_connections", {}),
            ]
        )
        body = b"" if value is None else self._body(value, "application/json", rng)
        path = path if rng.random() < 0.9 else scrambled(path.encode(), rng).decode("latin-1")
        path = "".join(c if "!" <= c <= "~" and c not in "?#" else quote(c, encoding="latin-1") for c in path)
        return self._wire(method, self._signed(app + path, method, body, rng), body, "application/json", rng)

    def _signed(self, path: str, method: str, body: bytes, rng: random.Random) -> str:
        secrets = self._secrets
        key, secret = rng.choice([(secrets.key, secrets.secret), (secrets.session_key, secrets.session_secret)])
        if rng.random() < 0.1:
            key = rng.choice(["none", "cw1..1", "cw1.fuzzed.99999999999", "cw2.fuzzed.1.x", "cw1." + "a" * 60 + ".1", "%"])
        target = sign(method, path, body, App(secrets.app_id, key, secret))
        if rng.random() < 0.75:
            return target
        start, _, query = target.partition("?")
        parts = query.split("&")
        at = rng.randrange(len(parts))
        name, _, value = parts[at].partition("=")
        parts[at] = (
            f"{name}={quote(dumps(strange(rng))[:300], safe='')}" if rng.random() < 0.6 else rng.choice(["", name, f"{value}="])
        )
        extra = rng.choice([[], [parts[0]], ["a=b"] * 70, [f"auth_timestamp={int(time.time()) - rng.randrange(10**6)}"]])
        return f"{start}?{'&'.join(parts + extra)}"

    def _wire(self, method: str, target: str, body: bytes, media_type: str, rng: random.Random) -> Request:
        lines = self._head(method, target, media_type, rng)
        if rng.random() < 0.1 and body:
            lines.append("Transfer-Encoding: chunked")
            return Request(_joined(lines) + _chunked(body, rng))
        lines.append(f"Content-Length: {len(body)}")
        return Request(_joined(lines) + body)

    def _head(self, method: str, target: str, media_type: str, rng: random.Random) -> list[str]:
        lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", f"X-Forwarded-For: {_address(rng)}"]
        if rng.random() < 0.9:
            lines.append(f"Authorization: Bearer {self._secrets.token}")
        else:
            lines += rng.choice(
                [["Authorization: Bearer"], ["Authorization: Basic eDp5"], ["Authorization: Bearer " + "é" * 9], []]
            )
        if media_type:
            odd = ["text/plain", "application/json; charset=utf-7", "multipart/form-data", ";;;", ""]
            lines.append(f"Content-Type: {media_type if rng.random() < 0.93 else rng.choice(odd)}")
        if rng.random() < 0.08:
            odd_lines = [
                "Origin: null",
                "Origin: https://evil.example",
                "Host: evil.example",
                "Cookie: a=b",
                "Expect: 100-continue",
            ]
            odd_lines += [
                "X-Forwarded-Proto: javascript",
                "X-Forwarded-For: ,,,",
                "Range: bytes=0-1",
            ]
            lines.append(rng.choice(odd_lines))
        return lines

    def _broken(self, rng: random.Random) -> Request:
        """Not HTTP any more, or hardly."""
        whole = self._operation(rng).data
        head, _, body = whole.partition(b"\r\n\r\n")
        flood = b"".join(b"\r\nX-%d: %s" % (number, b"y" * rng.choice([1, 200])) for number in range(HEADER_FLOOD))
        made = rng.choice(
            [
                scrambled(whole, rng),
                head + b"\r\nContent-Length: 5\r\n\r\n" + body,
                re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % rng.choice([-1, 10**25, len(body) + 9]), head)
                + b"\r\n\r\n"
                + body,
                head + b"\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + body,
                head + b"\r\nTransfer-Encoding: chunked, identity\r\n\r\nzz\r\n" + body,
                head + flood + b"\r\n\r\n" + body,
                head + b"\r\nX: " + b"z" * 70_000 + b"\r\n\r\n" + body,
                head + b"\r\n folded: yes\r\n\r\n" + body,
                head + b"\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + body,
                head.replace(b"HTTP/1.1", rng.choice([b"HTTP/1.0", b"HTTP/9.9", b"HTTP/0.9", b"ICY", b""])) + b"\r\n\r\n" + body,
                head.replace(b"/", rng.choice([b"http://evil.example/", b"//", b"*", b"/" + b"a" * 9000]), 1)
                + b"\r\n\r\n"
                + body,
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + rng.randbytes(60),
                head,
            ]
        )
        return Request(made, framed=False)


def _joined(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")


def _address(rng: random.Random) -> str:
    """Each from its own, as the proxy says: whoever guesses is not let guess for long."""
    return f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}"


def _chunked(body: bytes, rng: random.Random) -> bytes:
    made, at = b"", 0
    while at < len(body):
        size = rng.randrange(1, len(body) + 1)
        piece = body[at : at + size]
        made += b"%x%s\r\n%s\r\n" % (len(piece), rng.choice([b"", b";ext=1"]), piece)
        at += size
    return (
        made + b"0\r\n" + rng.choice([b"", b"X-Trailer: 1\r\n", b"Authorization: Bearer x\r\nHost: evil.example\r\n"]) + b"\r\n"
    )
