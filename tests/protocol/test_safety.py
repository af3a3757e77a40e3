"""Attacks on a viewer's terminal, and what must still get through. Attacks and judge are in `tests/support/attacks.py`."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codewrap.protocol.geometry import Size
from codewrap.protocol.queries import find_queries
from codewrap.protocol.safety import KEYBOARD_STACK_LIMIT, SOFT_RESET, InputFilter, Sanitizer, strip_reports
from codewrap.terminal.emulator import Screen
from codewrap.terminal.modes import ModeTracker
from tests.support.attacks import Attack, complain, corpus

CORPUS = corpus()
ATTACKS = {attack.name: attack.stream for attack in CORPUS}


def fed(stream: bytes, size: int, **options: bool) -> bytes:
    sanitizer = Sanitizer(**options)
    return b"".join(sanitizer.feed(stream[at : at + size]) for at in range(0, len(stream), size))


def test_the_judge_knows_good_from_bad() -> None:
    for attack in (b"\x1b[6n", b"\x1b]52;c;AAAA\x07", b"\x1bPq\x1b\\", b"\x05", b"\x1b[?3h", b"\x1bc", b"a\x1b[1", b"\xc2\x9b"):
        assert complain(attack)
    assert not complain(b"\x1b[1;31mtext\x1b]0;title\x1b\\\x1b]2;b\x07\r\n\x1b(0")


def test_the_corpus_covers_every_class() -> None:
    kinds = {"query", "title", "window", "clipboard", "known weakness", "printing", "string", "notification", "link"}
    kinds |= {"eight bit", "mode", "charset", "reset", "huge", "parser"}
    assert {attack.kind for attack in CORPUS} == kinds
    assert len({attack.name for attack in CORPUS}) == len(CORPUS)
    assert all(all(attack.never) for attack in CORPUS)


@pytest.mark.parametrize("clipboard", [False, True])
@pytest.mark.parametrize("attack", CORPUS, ids=lambda attack: attack.name)
def test_attack_is_harmless_however_it_is_cut(attack: Attack, clipboard: bool) -> None:
    stream = b"before " + attack.stream + b"\x18 after"
    whole = fed(stream, len(stream), allow_clipboard=clipboard)
    assert complain(whole, clipboard) == []
    assert whole.startswith(b"before ")
    assert whole.endswith(b" after")
    if not (clipboard and attack.kind == "clipboard"):
        assert [never for never in attack.never if never in whole] == []
    assert fed(stream, 1, allow_clipboard=clipboard) == whole
    for at in attack.cuts(most=300):
        sanitizer = Sanitizer(allow_clipboard=clipboard)
        assert sanitizer.feed(stream[: at + 7]) + sanitizer.feed(stream[at + 7 :]) == whole, at


@pytest.mark.parametrize("attack", CORPUS, ids=lambda attack: attack.name)
def test_attack_puts_no_question_to_a_viewers_terminal(attack: Attack) -> None:
    assert find_queries(fed(attack.stream + b"\x18", 4096)) == []


@pytest.mark.parametrize("attack", CORPUS, ids=lambda attack: attack.name)
def test_a_viewers_terminal_is_put_back_after_an_attack(attack: Attack) -> None:
    sanitizer = Sanitizer()
    reached = sanitizer.feed(attack.stream) + sanitizer.restore()
    assert complain(reached) == []
    left = ModeTracker()
    left.feed(reached)
    assert left.known_modes() == ModeTracker().known_modes()
    assert not left.alternate
    stack = 0
    for pushed, popped in re.findall(rb"\x1b\[(?:(>)\d*|<(\d*))u", reached):
        stack += 1 if pushed else -int(popped or b"1")
        assert 0 <= stack <= KEYBOARD_STACK_LIMIT
    assert stack == 0


@pytest.mark.parametrize("name", ["da1", "cpr", "xtversion", "decrqss", "kitty image file", "media copy", "far cursor"])
def test_text_round_an_attack_survives(name: str) -> None:
    out = fed(b"before " + ATTACKS[name] + b" after", 1)
    assert out.startswith(b"before ")
    assert out.endswith(b" after")


@pytest.mark.parametrize(
    "attack",
    [attack for attack in CORPUS if attack.kind in ("query", "window", "notification") and attack.never == (attack.stream,)],
    ids=lambda attack: attack.name,
)
def test_refused_sequence_leaves_nothing_behind(attack: Attack) -> None:
    assert fed(b"<" + attack.stream + b"\x18>", 3) == b"<>"


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


def test_keyboards_of_the_alternate_screen_are_popped_there_and_not_from_the_viewers_stack() -> None:
    sanitizer = Sanitizer()
    reset = sanitizer.feed(b"\x1b[?1049h\x1b[>1u\x1b[>5u\x1bc")
    assert reset.startswith(b"\x1b[?1049h\x1b[>1u\x1b[>5u\x1b[<2u\x1b[?1049l")
    assert b"\x1b[<" not in sanitizer.restore()
    assert sanitizer.feed(b"\x1b[?1049h\x1b[>1u\x1b[?1049l") == b"\x1b[?1049h\x1b[>1u\x1b[?1049l"
    assert sanitizer.restore().startswith(b"\x1b[?1047h\x1b[<1u\x1b[?1047l")


def test_a_session_takes_few_places_on_the_keyboard_stack_and_gives_back_as_many() -> None:
    sanitizer = Sanitizer()
    assert sanitizer.feed(b"\x1b[>1u" * 6) == b"\x1b[>1u" * 4 + b"\x1b[=1;1u" * 2
    assert sanitizer.feed(b"\x1b[<u") == b""
    assert sanitizer.feed(b"\x1b[<2u") == b"\x1b[<1u"
    assert sanitizer.restore().endswith(b"\x1b[<3u")


@pytest.mark.parametrize("change", [b"\x1b[3g", b"\x1b[8G\x1b[g", b"\x1b[4G\x1bH", b"\x1b[\r3g"])
def test_tab_stops_are_put_back_where_they_were_changed(change: bytes) -> None:
    screen = Screen(Size(rows=10, cols=40))
    sanitizer = Sanitizer()
    assert b"\x1b[3g" not in sanitizer.restore(40)
    screen.feed(sanitizer.feed(b"text\r\n" + change + b"\x1b[3;7H"))
    before = screen.cursor
    screen.feed(sanitizer.restore(40))
    assert screen.cursor == before
    screen.feed(b"\r\ta\tb\t\t\tc")
    assert screen.text()[2].split() == ["a", "b", "c"]
    assert [screen.text()[2].index(letter) for letter in "abc"] == [8, 16, 39]


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


CHUNKS = [*(stream for stream in ATTACKS.values() if len(stream) < 500), *HARMLESS.values()]
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
