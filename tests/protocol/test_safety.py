"""Attacks on a viewer's terminal, and what must still get through.

Outputs are judged by ``tokens``: a byte-wise parser after the state diagram of the DEC terminals, which shares nothing with
the regular expressions under test.
"""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codewrap.protocol.geometry import Size
from codewrap.protocol.safety import SOFT_RESET, InputFilter, Sanitizer, strip_reports
from codewrap.terminal.emulator import Screen

MODES = {1, 5, 6, 7, 9, 12, 25, 45, 47, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1047, 1048, 1049}
MODES |= {2004, 2026}
CSI_FINALS = set("@ABCDEFGHIJKLMPSTXZ`abdefgmrsuhl")
CSI_SPECIAL = {"?h", "?l", "?J", "?K", "!p", " q", " @", " A", "'}", "'~", '"q', ">m", ">u", "<u", "=u"}
CSI_SPECIAL |= {"$" + final for final in "rtvxz{"}
ESC_FINALS = set("6789=>DEHMNOno|}~")


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


ATTACKS = {
    "da1": b"\x1b[c",
    "da1 zero": b"\x1b[0c",
    "da2": b"\x1b[>c",
    "da3": b"\x1b[=c",
    "decid": b"\x1bZ",
    "dsr": b"\x1b[5n",
    "cpr": b"\x1b[6n",
    "decxcpr": b"\x1b[?6n",
    "printer status": b"\x1b[?15n",
    "colour scheme": b"\x1b[?996n",
    "decrqm": b"\x1b[?2026$p",
    "decrqm ansi": b"\x1b[4$p",
    "decrqss": b"\x1bP$qm\x1b\\",
    "decrqss zutty": b"\x1bP$q\nid\n\x1b\\",
    "xtgettcap": b"\x1bP+q544e\x1b\\",
    "xtversion": b"\x1b[>q",
    "decreqtparm": b"\x1b[x",
    "decrqcra": b"\x1b[1;1;1;1;1;1*y",
    "decrqpsr": b"\x1b[1$w",
    "terminal state report": b"\x1b[1$u",
    "locator": b"\x1b[1'|",
    "modifier query": b"\x1b[?4m",
    "kitty query": b"\x1b[?u",
    "answerback": b"\x05",
    "title report": b"\x1b]0;;id\x0a;\x07\x1b[21t",
    "icon report": b"\x1b[20t",
    "size report": b"\x1b[18t",
    "pixel report": b"\x1b[14t",
    "resize": b"\x1b[8;1;1t",
    "iconify": b"\x1b[2t",
    "move": b"\x1b[3;0;0t",
    "title stack": b"\x1b[22;0t",
    "title mode": b"\x1b[>1t",
    "palette query": b"\x1b]4;1;?\x07",
    "palette set and query": b"\x1b]4;1;#fff;2;?\x07",
    "foreground query": b"\x1b]10;?\x07",
    "second colour query": b"\x1b]10;#fff;?\x07",
    "background query": b"\x1b]11;?\x1b\\",
    "clipboard read": b"\x1b]52;c;?\x07",
    "clipboard write": b"\x1b]52;c;cm0gLXJmIC8K\x07",
    "font cve-2022-45063": b"\x1b]50;i$(id)\x07\x1b]50;?\x07",
    "rxvt cve-2021-33477": b"\x1bGQ",
    "media copy": b"\x1b[5i",
    "media copy private": b"\x1b[?5i",
    "print screen": b"\x1b[i",
    "user keys": b"\x1bP1;1|17/0d\x1b\\",
    "tmux integration": b"\x1bP1000p",
    "tmux passthrough": b"\x1bPtmux;\x1b\x1b]52;c;?\x07\x1b\\",
    "sixel": b"\x1bPq#0;2;0;0;0~\x1b\\",
    "regis": b"\x1bPpP[0,0]\x1b\\",
    "kitty image file": b"\x1b_Gt=f,a=T;L2V0Yy9wYXNzd2Q=\x1b\\",
    "privacy message": b"\x1b^secret\x1b\\",
    "start of string": b"\x1bXstring\x1b\\",
    "iterm file": b"\x1b]1337;File=name=eA==:AAAA\x07",
    "iterm report": b"\x1b]1337;ReportCellSize\x07",
    "iterm url": b"\x1b]1337;OpenURL=:aHR0cA==\x07",
    "conemu run": b"\x1b]9;7;calc\x07",
    "notify": b"\x1b]777;notify;a;b\x07",
    "kitty notify": b"\x1b]99;i=1:p=?;\x1b\\",
    "directory": b"\x1b]7;file:///etc\x07",
    "vte property query": b"\x1b]666;?\x07",
    "sun title": b"\x1b]ltitle\x1b\\",
    "screen title": b"\x1bktitle\x1b\\",
    "file link": b"\x1b]8;;file:///etc/passwd\x1b\\x\x1b]8;;\x1b\\",
    "script link": b"\x1b]8;;javascript:alert(1)\x07x",
    "ssh link": b"\x1b]8;;ssh://-oProxyCommand=id\x07x",
    "c1 csi": b"\xc2\x9b6n",
    "c1 csi raw": b"\x9b6n",
    "c1 dcs": b"\xc2\x90$qm\xc2\x9c",
    "c1 osc": b"\xc2\x9d52;c;?\xc2\x9c",
    "c1 decid": b"\xc2\x9a",
    "eight bit mode": b"\x1b G\x9b6n",
    "leave utf-8": b"\x1b%@\x9b6n",
    "vt52 mode": b"\x1b[?2l\x1bZ",
    "column mode": b"\x1b[?3h",
    "allow column mode": b"\x1b[?40h\x1b[?3h",
    "tektronix": b"\x1b[?38h",
    "highlight mouse": b"\x1b[?1001h\x1b[1;1;1;1;1T",
    "locked keyboard": b"\x1b[2h",
    "size notifications": b"\x1b[?2048h",
    "theme notifications": b"\x1b[?2031h",
    "good and bad mode": b"\x1b[?2004;2048;25h",
    "reset": b"\x1bc",
    "hard reset in a csi": b"\x1b[1\x1bc",
    "self test": b"\x1b[4;1y",
    "leds": b"\x1b[1q",
    "scrollback": b"\x1b[3J",
    "repeat": b"x\x1b[2147483647b",
    "far scroll": b"\x1b[2147483647S\x1b[2147483647L",
    "far cursor": b"\x1b[99999;99999H",
    "huge number": b"\x1b[" + b"9" * 300 + b"A",
    "many numbers": b"\x1b[" + b"1;" * 3000 + b"m",
    "over long": b"\x1b[" + b"1" * 9000 + b"n",
    "intermediates": b"\x1b" + b"#" * 40 + b"8",
    "foreign prefix": b"\x1b[<1;2;3M\x1b[?1;2c",
    "unknown csi": b"\x1b[1;2w\x1b[1}\x1b[?z",
    "control inside": b"\x1b[\x0a6n",
    "nul inside": b"\x1b\x00[\x006\x00n",
    "del inside": b"\x1b\x7f[6\x7fn",
    "cancelled": b"\x1b[6\x18n",
    "substituted": b"\x1b]52;\x1ac;?\x07",
    "escape inside": b"\x1b[6\x1b[6n",
    "escape escape": b"\x1b\x1b[6n",
    "character inside": b"\x1b[6\xc3\xa9n",
    "c1 inside": b"\x1b\xc2\x9b[6n",
    "nested": b"\x1b]0;\x1b[6n\x07",
    "assembled": b"\x1b\x1b[c[c",
    "assembled by drop": b"\x1b[>0c[6n",
    "split character": b"\xc2\x00\x9b6n",
    "overlong escape": b"\xc0\x9b[6n",
    "bidi title": "\x1b]0;a\u009bb\x1ac\x07".encode(),
    "title controls": b"\x1b]2;a\rb\nc\td\x07",
    "title long": b"\x1b]0;" + b"t" * 3000 + b"\x07",
    "link long": b"\x1b]8;;https://x/" + b"a" * 5000 + b"\x07x",
    "unfinished": b"\x1b]0;never",
    "too many pops": b"\x1b[<99u",
}


def fed(stream: bytes, size: int, **options: bool) -> bytes:
    sanitizer = Sanitizer(**options)
    return b"".join(sanitizer.feed(stream[at : at + size]) for at in range(0, len(stream), size))


def test_the_judge_knows_good_from_bad() -> None:
    for attack in (b"\x1b[6n", b"\x1b]52;c;AAAA\x07", b"\x1bPq\x1b\\", b"\x05", b"\x1b[?3h", b"\x1bc", b"a\x1b[1", b"\xc2\x9b"):
        assert complain(attack)
    assert not complain(b"\x1b[1;31mtext\x1b]0;title\x1b\\\x1b]2;b\x07\r\n\x1b(0")


@pytest.mark.parametrize("clipboard", [False, True])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_attack_is_harmless_however_it_is_cut(attack: bytes, clipboard: bool) -> None:
    stream = b"before " + attack + b" after\x1b[0m\n"
    whole = fed(stream, len(stream), allow_clipboard=clipboard)
    assert complain(whole, clipboard) == []
    assert whole.startswith(b"before ")
    assert fed(stream, 1, allow_clipboard=clipboard) == whole
    for at in range(len(stream)) if len(stream) < 500 else range(0, len(stream), 97):
        sanitizer = Sanitizer(allow_clipboard=clipboard)
        assert sanitizer.feed(stream[:at]) + sanitizer.feed(stream[at:]) == whole, at


@pytest.mark.parametrize("name", ["da1", "cpr", "xtversion", "decrqss", "kitty image file", "media copy", "far cursor"])
def test_text_round_an_attack_survives(name: str) -> None:
    out = fed(b"before " + ATTACKS[name] + b" after", 1)
    assert out.startswith(b"before ")
    assert out.endswith(b" after")


@pytest.mark.parametrize(
    "attack",
    [name for name in ATTACKS if name.startswith(("da", "cp", "decr", "xt", "media", "iterm", "kitty", "clip", "tmux"))],
)
def test_refused_sequence_leaves_nothing_behind(attack: str) -> None:
    assert fed(b"<" + ATTACKS[attack] + b"\x18>", 3) == b"<>"


HARMLESS = {
    "text": "grüße 漢字 😀\r\n\t\b\v\f\a".encode(),
    "colours": b"\x1b[m\x1b[0;1;31m\x1b[38;5;208m\x1b[48;2;1;2;3m\x1b[4:3m\x1b[58:2::1:2:3m",
    "cursor": b"\x1b[H\x1b[12;40H\x1b[A\x1b[3B\x1b[4C\x1b[5D\x1b[2E\x1b[F\x1b[7G\x1b[8d\x1b[5`\x1b[2a\x1b[2e\x1b[1;1f",
    "erase": b"\x1b[J\x1b[1J\x1b[2J\x1b[K\x1b[1K\x1b[2K\x1b[?J\x1b[?2K\x1b[4X",
    "edit": b"\x1b[@\x1b[3@\x1b[P\x1b[2L\x1b[M\x1b[4h\x1b[4l\x1b[5b",
    "scroll": b"\x1b[S\x1b[2T\x1b[2;20r\x1b[r\x1bM\x1bD\x1bE",
    "tabs": b"\x1bH\x1b[g\x1b[3g\x1b[I\x1b[2Z",
    "charsets": b"\x1b(0lqqk\x1b(B\x1b)0\x0eq\x0f",
    "save": b"\x1b7\x1b8\x1b[s\x1b[u",
    "keypad": b"\x1b=\x1b>",
    "soft reset": b"\x1b[!p",
    "cursor style": b"\x1b[0 q\x1b[6 q\x1b[ q",
    "modes": b"\x1b[?1h\x1b[?25l\x1b[?1049h\x1b[?1000;1006h\x1b[?2004h\x1b[?2026h\x1b[?2026l\x1b[?1004l\x1b[?12l",
    "modify other keys": b"\x1b[>4;2m\x1b[>4m",
    "kitty keyboard": b"\x1b[>1u\x1b[>5u\x1b[=3;2u\x1b[<1u\x1b[<1u",
    "titles": "\x1b]0;vim — file\x07\x1b]2;b\x1b\\\x1b]1;\x07".encode(),
    "links": b"\x1b]8;id=a1;https://example.org/?a=b\x1b\\x\x1b]8;;\x1b\\\x1b]8;;mailto:a@b.c\x07y\x1b]8;;\x07",
    "palette": b"\x1b]4;1;#ff0000\x07\x1b]4;1;rgb:ff/00/00;2;red\x07\x1b]10;#fff\x07\x1b]11;rgb:0000/0000/0000\x1b\\",
    "palette back": b"\x1b]104\x07\x1b]104;1;2\x07\x1b]110\x07\x1b]111;\x07\x1b]112\x07",
    "alignment": b"\x1b#8\x1b#3\x1b#6",
    "rectangles": b"\x1b[32;1;1;5;5$x\x1b[1;1;5;5$z",
    "restore": SOFT_RESET,
}


@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize("stream", HARMLESS.values(), ids=HARMLESS.keys())
def test_harmless_sequences_pass_unchanged(stream: bytes, size: int) -> None:
    assert complain(stream) == []
    assert fed(stream, size) == stream


def test_counts_are_capped_not_refused() -> None:
    assert fed(b"\x1b[99999;99999H", 99) == b"\x1b[9999;9999H"
    assert fed(b"x\x1b[123456b", 99) == b"x\x1b[999b"


def test_modes_are_picked_one_by_one() -> None:
    assert fed(b"\x1b[?2004;2048;25h", 99) == b"\x1b[?2004;25h"
    assert fed(b"\x1b[4;2;20l", 99) == b"\x1b[4;20l"


def test_controls_inside_a_sequence_are_obeyed_before_it() -> None:
    assert fed(b"\x1b[3\r\n1mx", 99) == b"\r\n\x1b[31mx"


def test_title_is_capped_and_cleaned() -> None:
    assert fed(b"\x1b]2;a\rb\x9bc\x07", 99) == "\x1b]2;ab\ufffdc\x07".encode()
    assert fed(b"\x1b]0;" + b"t" * 1000 + b"\x07", 9999) == b"\x1b]0;" + b"t" * 256 + b"\x07"


def test_refused_link_ends_the_one_before() -> None:
    out = fed(b"\x1b]8;;https://good/\x07a\x1b]8;;file:///x\x07b", 99)
    assert out == b"\x1b]8;;https://good/\x07a\x1b]8;;\x07b"


def test_clipboard_needs_leave_and_has_a_limit() -> None:
    write = b"\x1b]52;c;aGVsbG8=\x07"
    assert fed(write, 3) == b""
    assert fed(write, 3, allow_clipboard=True) == write
    assert fed(b"\x1b]52;c;" + b"A" * 200_000 + b"\x07", 4096, allow_clipboard=True) == b""
    assert fed(b"\x1b]52;c;\x07\x1b]52;c;!\x07\x1b]52;c;?\x07", 4096, allow_clipboard=True) == b""


def test_reset_becomes_a_soft_one() -> None:
    out = fed(b"\x1bc", 1)
    assert out == SOFT_RESET + b"\x1b[H\x1b[2J"


def test_keyboard_stack_of_the_viewer_is_not_touched() -> None:
    sanitizer = Sanitizer()
    assert sanitizer.feed(b"\x1b[<5u\x1b[=0u") == b"\x1b[>0u"
    assert sanitizer.feed(b"\x1b[>1u\x1b[>3u\x1b[<9u\x1b[<u\x1b[=1;3u") == b"\x1b[>1u\x1b[>3u\x1b[<3u"
    assert sanitizer.feed(b"\x1b[>1u\x1b[?1049h\x1b[<u\x1b[>7u") == b"\x1b[>1u\x1b[?1049h\x1b[>7u"
    restored = sanitizer.restore()
    assert restored.startswith(b"\x1b[<1u\x1b[?1049l") and restored.endswith(b"\x1b8\x1b[<1u")
    again = sanitizer.restore()
    assert b"u" not in again and b"1049" not in again


def test_leaving_keeps_the_cursor_where_it_is() -> None:
    screen = Screen(Size(rows=10, cols=40))
    sanitizer = Sanitizer()
    screen.feed(sanitizer.feed(b"one\r\ntwo\r\n\x1b[2;8rthree\x1b[4;6H"))
    before = screen.cursor
    screen.feed(sanitizer.restore())
    assert screen.cursor == before
    assert screen.text()[:2] == ["three", "two"]


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert fed(b"a\xff\xfeb\xe2\x82c", 1) == "a\ufffd\ufffdb\ufffdc".encode()


@pytest.mark.parametrize("introducer", [b"\x1b]0;", b"\x1b]52;c;", b"\x1bP", b"\x1b_G"])
def test_twenty_megabytes_without_an_end_take_no_memory(introducer: bytes) -> None:
    sanitizer = Sanitizer(allow_clipboard=True)
    assert sanitizer.feed(introducer) == b""
    for _ in range(320):
        assert sanitizer.feed(b"x" * 65536) == b""
    assert len(sanitizer._cutter.pending) < 10
    assert sanitizer.feed(b"\x1b\\now") == b"now"


CHUNKS = [*ATTACKS.values(), *HARMLESS.values()]
NASTY = st.one_of(
    st.sampled_from(CHUNKS),
    st.binary(max_size=8),
    st.sampled_from([b"\x1b", b"[", b"]", b"\\", b"?", b"\x07", b"52;c;?", b"6n", b"\xc2", b"\x9b", b"\x18", b"P", b"1;2"]),
)


@settings(max_examples=400)
@given(st.lists(NASTY, max_size=8), st.booleans(), st.data())
def test_any_mixture_in_any_pieces_is_harmless_and_the_same(pieces: list[bytes], clipboard: bool, data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    sanitizer = Sanitizer(allow_clipboard=clipboard)
    out = b"".join(sanitizer.feed(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))
    assert complain(out, clipboard) == []
    assert out == fed(stream, max(len(stream), 1), allow_clipboard=clipboard)
    assert fed(out, max(len(out), 1), allow_clipboard=clipboard) == out


def test_random_bytes_are_harmless() -> None:
    for seed in range(300):
        generator = random.Random(seed)
        alphabet = bytes(range(256)) if seed % 2 else b"\x1b\x1b\x1b[]PX^_?>=!$ \\0123456789;:cnRhlmtqu\x07\x18\x9b\xc2a\n"
        stream = bytes(generator.choices(alphabet, k=400))
        assert complain(fed(stream, generator.randrange(1, 400))) == [], f"seed {seed}"


KEYS = {
    "text": "hello ü 漢".encode(),
    "controls": bytes(range(0x20)).replace(b"\x1b", b"") + b"\x7f",
    "arrows": b"\x1b[A\x1b[B\x1bOC\x1bOD\x1b[1;5C\x1b[1;2R\x1b[1;16R",
    "function": b"\x1bOP\x1b[15~\x1b[24;2~\x1b[R\x1b[13;2~",
    "alt": b"\x1ba\x1bO\x1b]x\x1bPx\x1b_x\x1b^\x1bX\x1b\x1b",
    "kitty": b"\x1b[97;5u\x1b[27;1:3u\x1b[57399u",
    "modify other keys": b"\x1b[27;5;9~",
    "mouse": b"\x1b[<0;10;20M\x1b[<0;10;20m\x1b[M !!\x1b[32;10;20M",
    "focus": b"\x1b[I\x1b[O",
    "paste": b"\x1b[200~rm -rf\n\x1b[201~",
}
REPORTS = {
    "da1": b"\x1b[?62;22c",
    "da1 linux": b"\x1b[?6c",
    "da2": b"\x1b[>1;10;0c",
    "da3": b"\x1bP!|00000000\x1b\\",
    "dsr": b"\x1b[0n",
    "cpr": b"\x1b[24;80R",
    "cpr row one": b"\x1b[1;40R",
    "decxcpr": b"\x1b[?5;6;1R",
    "decrpm": b"\x1b[?2026;2$y\x1b[4;1$y",
    "kitty": b"\x1b[?5u",
    "modifier": b"\x1b[>4;2m",
    "xtversion": b"\x1bP>|xterm(390)\x1b\\",
    "decrpss": b"\x1bP1$r0m\x1b\\",
    "xtgettcap": b"\x1bP1+r544e=78\x1b\\",
    "foreground": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    "palette": b"\x1b]4;1;rgb:0/0/0\x07",
    "clipboard": b"\x1b]52;c;aGk=\x07",
    "title": b"\x1b]lrm -rf\x1b\\",
    "size": b"\x1b[8;24;80t\x1b[48;24;80;1;1t",
    "theme": b"\x1b[?997;1n",
    "parameters": b"\x1b[2;1;1;128;128;1;0x",
    "image": b"\x1b_Gi=1;OK\x1b\\",
    "sixel": b"\x1b[?1;0;256S",
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS.keys())
def test_keys_pass(keys: bytes) -> None:
    assert strip_reports(keys) == keys
    for size in (1, 2, 100):
        typed = InputFilter()
        out = b"".join(typed.feed(keys[at : at + size]) for at in range(0, len(keys), size))
        assert out + typed.flush() == keys
        assert not typed.pending


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())
def test_reports_are_dropped_even_in_pieces(report: bytes) -> None:
    assert strip_reports(b"a" + report + b"b") == b"ab"
    for at in range(len(report) + 1):
        typed = InputFilter()
        assert typed.feed(b"a" + report[:at]) + typed.feed(report[at:] + b"b") + typed.flush() == b"ab"


def test_escape_alone_waits_for_flush() -> None:
    typed = InputFilter()
    assert typed.feed(b"\x1b") == b""
    assert typed.pending
    assert typed.flush() == b"\x1b"
    assert typed.feed(b"x") == b"x"


def test_held_input_has_a_bound() -> None:
    typed = InputFilter()
    assert typed.feed(b"\x1b]1" + b"x" * 70_000).endswith(b"x")
    assert not typed.pending
