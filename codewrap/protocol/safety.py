"""What a viewer's terminal may be shown, and what a viewer's keyboard may send back.

A wrapped command, or whoever writes through it, must not make a viewer's terminal answer, reach its clipboard, printer or
window, or stay in a state that cannot be undone. Allow-list: what is not known here to be harmless is dropped. Pure; no I/O.

Every ESC in the output begins a complete allowed sequence, written without a control character inside, and the output is
valid UTF-8 without C1 controls. Nothing can therefore come together out of harmless pieces. The viewer's terminal must be in
UTF-8 mode: in an 8-bit one, bytes of ordinary characters are controls, and nothing could be shown safely.
"""

from __future__ import annotations

import re
from typing import Final

from codewrap.protocol.sequences import CSI_LIMIT, INTERMEDIATE_LIMIT, STRING_LIMIT, SequenceCutter

TITLE_LIMIT: Final = 256
"""Characters of a title; more would be shown nowhere."""
LINK_LIMIT: Final = 2083
"""Bytes of a link, as in VTE and kitty."""
CLIPBOARD_LIMIT: Final = 100_000
"""Bytes of base64 in a clipboard write; most terminals refuse more."""
NUMBER_LIMIT: Final = 9999
"""Largest count or coordinate: some terminals loop once for each (CVE-2012-2385 in mosh)."""
REPEAT_LIMIT: Final = 999
"""Largest repeat count: REP is used within a row, and multiplies what must be drawn."""

# 1001 is left out of the mouse modes: a terminal in it stops until the program answers. 3 and 40 resize, 2 is VT52
# mode; 2031 and 2048 make the terminal speak on its own. 1007 is on in most terminals and off in some: nobody could put
# it back.
_MOUSE_MODES: Final = (9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016)
_MODES: Final = frozenset((1, 5, 6, 7, 12, 25, 45, 47, 66, 69, *_MOUSE_MODES, 1047, 1048, 1049, 2004, 2026))
_ANSI_MODES: Final = frozenset((4, 20))
_SCREEN_MODES: Final = frozenset((47, 1047, 1049))
_MODE: Final = b"(?:%s)" % b"|".join(b"%d" % mode for mode in sorted(_MODES - _SCREEN_MODES, reverse=True))

_ALLOWED: Final = rb"""
    \[ (?: [\d;:]{0,128} m
         | (?:\d{0,4} (?:;\d{0,4})?)? [@A-IL-MPSTXZ`adefr]
         | \d{0,3} b | [03]? g | [su] | \d{1,4} ; \d{1,4} s
         | \?? [0-2]? [JK]
         | \? MODE (?:;MODE)* [hl]
         | (?:4|20) [hl]
         | !p | [0-6]?\x20q | \d{0,4}\x20[@A] | \d{0,4}'[}~] | [0-2]?"q
         | [\d;]{0,48} \$ [rtvxz{]
         | >4 (?:;[0-3])? m )
    | [()*+] [0-9A-Z<=>`] | [-./] [A-Z]
    | [6-9=>DEHMNOno|}~] | \# [3-68]
""".replace(b"MODE", _MODE)

_REFUSED: Final = re.compile(
    rb"""
    \x1b (?! %s )
    (?: \[ (?P<csi> [\x07-\x0f\x20-\x3f]{0,%d} ) (?P<final> [\x40-\x7e] )?
      | \] (?P<osc> [^\x07\x18\x1a\x1b]* ) (?P<end> \x07 | \x1b\\ )?
      | [PX^_] [^\x18\x1a\x1b]* (?: \x1b\\ )?
      | (?P<other> [\x20-\x2f]{0,%d} [\x30-\x7e]? ) )
    | \x18 | \x1a | \xc2 [\x80-\x9f]
    """
    % (_ALLOWED, CSI_LIMIT, INTERMEDIATE_LIMIT),
    re.VERBOSE,
)
_ALLOWED_CSI: Final = re.compile(rb"\x1b(?:%s)" % _ALLOWED, re.VERBOSE)
# NUL, ENQ (answerback), DEL and what else draws nothing. CAN, SUB and ESC end sequences and are seen to later.
_SILENT: Final = bytes((*range(0x07), *range(0x10, 0x18), 0x19, *range(0x1C, 0x20), 0x7F))
_SILENT_WITH_ABORTS: Final = _SILENT + b"\x18\x1a"
_DRAWING_CONTROL: Final = re.compile(rb"[\x07-\x0f]+")
_NUMBER: Final = re.compile(rb"\d+")
# Controls, and what turns text round or is not seen, which makes one title look like another. Not the joiners: scripts and
# emoji need them.
_NOT_IN_TITLES: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_TAB_STOPS: Final = re.compile(rb"\x1b(?:H|\[[03]?g)")
_KEYBOARD: Final = re.compile(rb"(?P<way>[<>=])(?P<number>\d{0,2})(?:;(?P<how>[1-3]))?")
_ALL: Final = 1 << 60
_COUNTED: Final = frozenset(b"@ABCDEFGHILMPSTXZ`adefrb")

_COLOUR: Final = rb"(?:\#[0-9A-Fa-f]{3,12}|rgba?:[0-9A-Fa-f]{1,4}(?:/[0-9A-Fa-f]{1,4}){2,3}|[A-Za-z][A-Za-z0-9 ]{0,31})"
_COLOUR_COMMAND: Final = re.compile(rb"4(?:;\d{1,3};%s)+|1[0-2];%s|104(?:;\d{1,3})*;?|11[0-2];?" % (_COLOUR, _COLOUR))
_LINK: Final = re.compile(rb"8;(?P<params>[\w:=.-]{0,256});(?P<uri>(?:https?://|mailto:)[\x21-\x7e]+)?")
_CLIPBOARD: Final = re.compile(rb"52;[cpqs0-7]{0,8};(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,4}={0,2}")

_RESET_MODES: Final = (
    b"\x1b[?69l\x1b[?5l\x1b[?6l\x1b[?7h\x1b[?25h\x1b[?1;9;45;66;1000;1002;1003;1004;1005;1006l"
    b"\x1b[?1015;1016;2004l\x1b[4l\x1b[20l\x1b[r\x1b>\x1b(B\x1b)B\x1b*B\x1b+B\x0f\x1b[>4m\x1b[0 q\x1b[m"
    b"\x1b]8;;\x1b\\\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\"
)
SOFT_RESET: Final = b"\x1b[?2026l\x1b[?1049l\x1b[!p" + _RESET_MODES
"""Undoes what the allowed sequences can change, without RIS: that destroys scrollback and, in xterm.js, resets too little.

Leaves the alternate screen. Neither clears nor moves the cursor on purpose; the keyboard stack is ``Sanitizer.restore``'s.
"""

_INSTEAD_OF_RIS: Final = SOFT_RESET + b"\x1b[H\x1b[2J"

KEYBOARD_STACK_LIMIT: Final = 4
"""Entries of a session on the terminal's keyboard stack. Terminals hold about eight and drop the oldest: the viewer's own."""


class Sanitizer:
    """Lets through the safe subset of one output stream. One for each stream and viewer; not shared by threads.

    ``feed`` accepts any split and its concatenated results do not depend on it. Bytes that are not UTF-8 become U+FFFD, as
    on any terminal in UTF-8 mode. C1 controls are dropped, however they are written. Erasing scrollback (``CSI 3 J``) is
    refused: it is the viewer's own. A clear-everything (RIS) becomes ``SOFT_RESET`` and an empty screen.
    """

    def __init__(self, *, allow_clipboard: bool = False) -> None:
        self._allow_clipboard = allow_clipboard
        self._cutter = SequenceCutter()
        self._alternate = False
        # Entries pushed on the main and on the alternate screen's stack; those beyond the limit are ours to count alone.
        self._keyboard_depth = [0, 0]
        self._tab_stops_changed = False

    def feed(self, data: bytes) -> bytes:
        """Return what of ``data``, and of what was held back before, may be written to the viewer's terminal."""
        block = self._cutter.feed(data.translate(None, _SILENT))
        if block.isascii() and b"\x1b" not in block:
            return block.translate(None, _SILENT_WITH_ABORTS)
        safe = _REFUSED.sub(self._replace, _well_formed(block))
        if not self._tab_stops_changed:
            self._tab_stops_changed = _TAB_STOPS.search(safe) is not None
        return safe

    def restore(self, cols: int = 80) -> bytes:
        """What undoes everything let through so far: write it when the viewer leaves. Forgets what was held back.

        ``cols`` is how wide the terminal is now: tab stops go back to every eighth column of it.

        The cursor stays where it is: resetting margins homes it, and so does leaving an alternate screen that does not show.
        """
        leave = self._left_alternate()
        tab_stops = b"\r\x1b[3g" + b"\x1b[8C\x1bH" * ((cols - 1) // 8) if self._tab_stops_changed else b""
        self._tab_stops_changed = False
        self._cutter = SequenceCutter()
        return leave + b"\x1b[?2026l\x1b[!p\x1b7" + _RESET_MODES + tab_stops + b"\x1b8" + self._popped(_ALL)

    def _replace(self, found: re.Match[bytes]) -> bytes:
        kind = found.lastgroup
        if kind == "final":
            return self._control(found["csi"], found["final"])
        if kind == "end":
            return self._command(found["osc"], found["end"])
        if kind == "other" and found["other"] == b"c":
            return self._left_alternate() + self._popped(_ALL) + _INSTEAD_OF_RIS
        return b""

    def _left_alternate(self) -> bytes:
        """Back to the main screen, with nothing of the session's on the other one's keyboard stack."""
        shows, self._alternate = self._alternate, True
        popped = self._popped(_ALL)
        self._alternate = False
        if shows:
            return popped + b"\x1b[?1049l"
        return b"\x1b[?1047h" + popped + b"\x1b[?1047l" if popped else b""  # it can be reached there only

    def _control(self, body: bytes, final: bytes) -> bytes:
        """A control sequence that is not plainly allowed: repaired, or nothing."""
        drawn = b"".join(_DRAWING_CONTROL.findall(body))
        if drawn:  # a terminal obeys these at once and goes on with the sequence
            return drawn + self._repaired(_DRAWING_CONTROL.sub(b"", body), final)
        return self._repaired(body, final)

    def _repaired(self, body: bytes, final: bytes) -> bytes:
        sequence = b"\x1b[" + body + final
        if _ALLOWED_CSI.fullmatch(sequence):
            return sequence
        if final in b"hl":
            return self._modes(body, final)
        if final == b"u":
            found = _KEYBOARD.fullmatch(body)
            return self._keyboard(found["way"], int(found["number"] or b"0"), found["how"]) if found else b""
        if final[0] in _COUNTED and len(body) <= 64:
            capped = b"\x1b[" + _NUMBER.sub(_capped_repeat if final == b"b" else _capped_number, body) + final
            return capped if _ALLOWED_CSI.fullmatch(capped) else b""
        return b""

    def _modes(self, body: bytes, final: bytes) -> bytes:
        """Those modes of one set or reset that may pass."""
        private = body[:1] == b"?"
        known = _MODES if private else _ANSI_MODES
        asked = body[1:] if private else body
        if len(asked) > 128 or not re.fullmatch(rb"[\d;]*", asked):
            return b""
        kept = [int(number) for number in asked.split(b";") if number and int(number) in known]
        if private and not _SCREEN_MODES.isdisjoint(kept):
            self._alternate = final == b"h"
        passed = b";".join(b"%d" % number for number in kept)
        return b"\x1b[" + (b"?" if private else b"") + passed + final if kept else b""

    def _keyboard(self, way: bytes, number: int, how: bytes | None) -> bytes:
        """The Kitty keyboard stack. The viewer's shell may have entries there: never change or pop one that is not ours."""
        if way == b"<":
            return self._popped(number or 1)
        if way == b"=" and self._keyboard_depth[self._alternate]:
            return b"\x1b[=%d;%su" % (number, how or b"1")
        if way == b"=" and how == b"3":
            return b""
        depth = self._keyboard_depth[self._alternate] = self._keyboard_depth[self._alternate] + 1
        return b"\x1b[>%du" % number if depth <= KEYBOARD_STACK_LIMIT else b"\x1b[=%d;1u" % number

    def _popped(self, wanted: int) -> bytes:
        before = self._keyboard_depth[self._alternate]
        after = self._keyboard_depth[self._alternate] = max(0, before - wanted)
        count = min(before, KEYBOARD_STACK_LIMIT) - min(after, KEYBOARD_STACK_LIMIT)
        return b"\x1b[<%du" % count if count else b""

    def _command(self, body: bytes, end: bytes) -> bytes:
        """An operating system command with its proper end."""
        if len(body) + len(b"\x1b]") > STRING_LIMIT:
            return b""  # as where it comes in pieces
        if body[:2] in (b"0;", b"1;", b"2;"):
            title = _NOT_IN_TITLES.sub("", body[2:].decode(errors="replace"))[:TITLE_LIMIT]
            return b"\x1b]" + body[:2] + title.encode() + end
        if body[:2] == b"8;":
            # A refused link must at least end the one before it, or its text would lead there.
            safe = len(body) <= LINK_LIMIT and _LINK.fullmatch(body)
            return b"\x1b]" + (body if safe else b"8;;") + end
        if len(body) <= 4096 and _COLOUR_COMMAND.fullmatch(body):
            return b"\x1b]" + body + end
        if self._allow_clipboard and len(body) <= CLIPBOARD_LIMIT and _CLIPBOARD.fullmatch(body):
            return b"\x1b]" + body + end
        return b""


def _capped_number(found: re.Match[bytes]) -> bytes:
    return b"%d" % min(int(found[0]), NUMBER_LIMIT)


def _capped_repeat(found: re.Match[bytes]) -> bytes:
    return b"%d" % min(int(found[0]), REPEAT_LIMIT)


def _well_formed(block: bytes) -> bytes:
    try:
        block.decode()
    except UnicodeDecodeError:
        return block.decode(errors="replace").encode()
    return block


# What terminals say by themselves or in answer to a query: DA, DSR, CPR, DECRPM, keyboard flags, window reports, locator,
# DECREPTPARM, key format reports. Not among them: keys, mouse (M, m, <), focus (I, O), paste (200~, 201~).
_REPORT: Final = re.compile(
    rb"""
    \x1b\[ (?: [?>=][\d;:]* [cnuRSmtx] | \??[\d;]*\$[y] | \d{0,3} n | \d[\d;]* [tc] | \d[\d;]*&w | [23](?:;\d+)+ x
             | (?! 1; (?:[2-9]|1[0-6]) R ) \d+;\d+ R )
    | \x1b\] [\dlL] [^\x07\x18\x1a\x1b]* (?: \x07 | \x1b\\ )
    | \x1bP [\d>!|$+=] [^\x18\x1a\x1b]* \x1b\\
    | \x1b_ G [^\x18\x1a\x1b]* \x1b\\
    """,
    re.VERBOSE,
)
_BEGINNING: Final = re.compile(
    rb"""\x1b (?: \[ [?>=]? [\d;:]* [$&]? | \] (?:[\dlL] [^\x07\x18\x1a\x1b]* \x1b?)?
              | P (?:[\d>!|$+=] [^\x18\x1a\x1b]* \x1b?)? | _ (?:G [^\x18\x1a\x1b]* \x1b?)? )? \Z""",
    re.VERBOSE,
)
_INPUT_LIMIT: Final = 1 << 16


def strip_reports(data: bytes) -> bytes:
    """Drop the terminal's own reports from what was typed; keys, mouse, focus and paste pass. Whole reports only.

    A cursor position in row 1, columns 2 to 16 passes: ``CSI 1 ; 2 R`` is Shift-F3 too, and a key must not be lost. All
    others are dropped. The sanitizer lets no question through in the first place; this is the second line.
    """
    return _REPORT.sub(b"", data) if b"\x1b" in data else data


class InputFilter:
    """``strip_reports`` over a stream, where a report may arrive in pieces.

    What could be the beginning of a report is held back, even a lone ESC. It may as well be a key: so after about 30 ms
    without more the caller calls ``flush`` and passes the result on. ``pending`` says whether there is anything to flush.
    """

    def __init__(self) -> None:
        self._held = b""

    @property
    def pending(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """Return what may be sent on to the command."""
        data, self._held = strip_reports(self._held + data), b""
        beginning = _BEGINNING.search(data) if b"\x1b" in data else None
        if beginning is None or len(data) - beginning.start() > _INPUT_LIMIT:
            return data
        self._held = data[beginning.start() :]
        return data[: beginning.start()]

    def flush(self) -> bytes:
        """Nothing more came: what was held back was typed."""
        data, self._held = self._held, b""
        return data
