"""Values as no client of ours would send them, made from those that it would. Everything follows from the generator given."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

DEPTHS = (65, 900, 20_000)


class Raw:
    """JSON text that stands for itself: what `json.dumps` would not write."""

    def __init__(self, text: str) -> None:
        self.text = text


def strange(rng: random.Random) -> Any:
    """Something that does not belong wherever it is put."""
    kind = rng.randrange(14)
    if kind == 0:
        return rng.choice([0, -1, 2**31, 2**53 + 1, 2**64, -(2**63), 10**30])
    if kind == 1:
        return Raw(rng.choice(["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "-0", "1.5e-400", "0x10", "01"]))
    if kind == 2:
        return rng.choice([None, True, False, [], {}, "", 0.5])
    if kind == 3:
        return nested(rng)
    if kind == 4:
        return "x" * rng.choice([49, 201, 1_025, 11_000, 103_000])
    if kind == 5:
        return Raw(
            rng.choice(['"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\x41"', '"\t"', '"\u2028\u202e"', "'x'", "undefined"])
        )
    if kind == 6:
        return [strange(rng) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {rng.choice(["", "x", "channel", "__proto__", "event", "\u0000"]): strange(rng)}
    if kind == 8:
        return Raw('{"a":1,"a":2}')
    if kind == 9:
        return rng.choice(
            ["private-", "presence-", "private-encrypted-command-", "#server-to-user-", "private-cache-x", "client-x"]
        )
    if kind == 10:
        return rng.choice(
            ["../../etc/passwd", "%00", "' OR 1=1 --", "\r\nSet-Cookie: a=b", "<script>", "${jndi:x}", "\x1b[2J", "𝕏" * 60]
        )
    if kind == 11:
        return json.dumps(json.dumps({"channel": "x" * rng.randrange(100)}))
    if kind == 12:
        return list(range(rng.choice([11, 101, 3000])))
    return "".join(
        chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xD800), rng.randrange(0xE000, 0x10FFFF)])) for _ in range(8)
    )


def nested(rng: random.Random) -> Raw:
    """Deeper than anybody reads."""
    depth = rng.choice(DEPTHS)
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}")])
    return Raw(opening * depth + "1" + closing * rng.choice([depth, depth, depth - 1]))


def mutated(value: Any, rng: random.Random) -> Any:
    """A copy of ``value`` with one place in it changed: replaced, dropped, doubled, or with something beside it."""
    made = copy.deepcopy(value)
    places = list(_places(made))
    if not places or rng.random() < 0.05:
        return strange(rng)
    holder, key = rng.choice(places)
    act = rng.random()
    if act < 0.6:
        holder[key] = strange(rng)
    elif act < 0.75:
        del holder[key]
    elif act < 0.9 and isinstance(holder, dict):
        holder[rng.choice(["extra", "Data", "data ", "channels", "socket_id", "info", "user_id", "v"])] = strange(rng)
    elif isinstance(holder, list):
        holder.extend([holder[key]] * rng.choice([1, 10, 100]))
    else:
        holder[key] = [holder[key]]
    return made


def _places(value: Any) -> Any:
    """Every (container, key) below ``value``."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def dumps(value: Any) -> str:
    """JSON, or what `Raw` has in its place."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(name))}:{dumps(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(value)


def scrambled(data: bytes, rng: random.Random) -> bytes:
    """Bytes that are no longer the text that they were, or are it once more."""
    if not data:
        return b"\xff"
    at = rng.randrange(len(data))
    act = rng.randrange(8)
    if act == 0:
        return data[:at]
    if act == 1:
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if act == 2:
        return (
            data[:at] + rng.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00", b"\xe2\x82"]) + data[at:]
        )
    if act == 3:
        return data + data
    if act == 4:
        return data.replace(b'"', b"'", rng.randrange(1, 4))
    if act == 5:
        return rng.randbytes(rng.randrange(1, 200))
    if act == 6:
        first = data.find(b",")
        return data if first < 0 else data[:first] + b"," + data[1:first] + data[first:]  # a name twice
    return b" " * rng.randrange(1, 50) + data + rng.choice([b"\x00", b"\xef\xbb\xbf", b"}", b"]", b"null"])
