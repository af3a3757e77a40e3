"""The attacks on a viewer's terminal of `tests/vectors/attacks.json`, and a judge of what reached one.

The judge is a byte-wise parser after the state diagram of the DEC terminals; it shares nothing with the regular expressions of
`codewrap/protocol/safety.py`.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "vectors" / "attacks.json"
MODES = {1, 5, 6, 7, 9, 12, 25, 45, 47, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1048, 1049}
MODES |= {2004, 2026}
CSI_FINALS = set("@ABCDEFGHIJKLMPSTXZ`abdefgmrsuhl")
CSI_SPECIAL = {"?h", "?l", "?J", "?K", "!p", " q", " @", " A", "'}", "'~", '"q', ">m", ">u", "<u", "=u"}
CSI_SPECIAL |= {"$" + final for final in "rtvxz{"}
ESC_FINALS = set("6789=>DEHMNOno|}~")


@dataclass(frozen=True, slots=True)
class Attack:
    """Output of a command that means harm. ``never``: what no viewer's terminal may get of it."""

    name: str
    kind: str
    stream: bytes
    never: tuple[bytes, ...]

    def cuts(self, most: int = 500) -> list[int]:
        """Where to cut it in two: everywhere; in a long one at ``most`` places and near its ends."""
        length = len(self.stream)
        if length <= most:
            return list(range(length + 1))
        if length > 20_000:  # cutting is cheap, what comes after it is not
            return [1, 2, 5, length // 3, length // 2, length - 2, length - 1]
        near = [*range(8), *range(length - 8, length + 1)]
        return sorted({*near, *range(0, length, length // most + 1)})


def corpus() -> list[Attack]:
    """All of them."""
    return [
        Attack(each["name"], each["class"], _stream(each), tuple(text.encode("latin-1") for text in each["never"]))
        for each in json.loads(CORPUS.read_text())
    ]


def _stream(each: dict[str, object]) -> bytes:
    """Text of one character for each byte, repeated in between where it is a long one; or base64."""
    if "base64" in each:
        return base64.b64decode(str(each["base64"]), validate=True)
    parts = each["stream"] if isinstance(each["stream"], list) else [each["stream"]]
    texts = [part if isinstance(part, str) else part["text"] * part["times"] for part in parts]
    return "".join(texts).encode("latin-1")


def tokens(stream: bytes) -> list[tuple[str, str]]:
    """(kind, text) as a terminal sees them. Strings end at any control that ends them anywhere."""
    found: list[tuple[str, str]] = []
    kind, text = "ground", ""
    for char in stream.decode():
        code = ord(char)
        if char == "\x1b":
            if kind != "ground":
                found.append(("unfinished " + kind, text))
            kind, text = "esc", ""
        elif kind == "ground":
            found.append(("control" if code < 32 or 127 <= code < 160 else "text", char))
        elif code < 32 and not (kind == "osc" and char == "\x07"):
            found.append(("control inside " + kind, text + char))
        elif kind == "esc":
            if char == "[":
                kind = "csi"
            elif char == "]":
                kind = "osc"
            elif char in "PX^_":
                kind = "string"
            else:
                text += char
                if code >= 0x30:
                    found.append(("esc", text))
                    kind = "ground"
        elif kind == "csi":
            text += char
            if 0x40 <= code <= 0x7E:
                found.append(("csi", text))
                kind = "ground"
        elif kind == "osc" and char == "\x07":
            found.append(("osc", text))
            kind = "ground"
        else:
            text += char
    if kind != "ground":
        found.append(("unfinished " + kind, text))
    return found


def complain(stream: bytes, clipboard: bool = False) -> list[tuple[str, str]]:
    """The tokens of ``stream`` that a viewer's terminal must not get."""
    bad = []
    previous = ("", "")
    for kind, text in tokens(stream):
        fine = (
            kind == "text"
            or (kind == "control" and text in "\x07\x08\t\n\v\f\r\x0e\x0f")
            or (kind == "csi" and csi_is_fine(text))
            or (kind == "osc" and osc_is_fine(text, clipboard))
            or (kind == "unfinished osc" and osc_is_fine(text, clipboard))  # judged with its ST, next
            or (kind == "esc" and text == "\\" and previous[0] == "unfinished osc")
            or (kind == "esc" and text in ESC_FINALS)
            or (kind == "esc" and re.fullmatch(r"[()*+\-./][0-9A-Z<=>`]|#[3-68]", text) is not None)
        )
        if not fine or (previous[0] == "unfinished osc" and (kind, text) != ("esc", "\\")):
            bad.append((kind, text))
        previous = (kind, text)
    return bad if not previous[0].startswith("unfinished") else [*bad, previous]


def csi_is_fine(text: str) -> bool:
    match = re.fullmatch(r"([<=>?]?)([\d;:]*)([\x20-\x2f]*)([\x40-\x7e])", text)
    if match is None:
        return False
    prefix, params, intermediate, final = match.groups()
    numbers = [int(number) for number in re.split("[;:]", params) if number]
    if prefix == "?" and final in "hl" and not intermediate:
        return set(numbers) <= MODES
    if prefix or intermediate:
        return (prefix + intermediate + final) in CSI_SPECIAL
    if final in "hl":
        return set(numbers) <= {4, 20}
    if final == "b":
        return all(number <= 999 for number in numbers)
    if final == "J":
        return 3 not in numbers
    return final in CSI_FINALS and all(number <= 9999 for number in numbers if final != "m")


def osc_is_fine(text: str, clipboard: bool) -> bool:
    command, _, rest = text.partition(";")
    if command in ("0", "1", "2"):
        return len(rest) <= 256
    if command == "8":
        uri = rest.partition(";")[2]
        return uri == "" or uri.startswith(("http://", "https://", "mailto:"))
    if command == "52":
        return clipboard and "?" not in rest
    return command in ("4", "10", "11", "12", "104", "110", "111", "112") and "?" not in rest
