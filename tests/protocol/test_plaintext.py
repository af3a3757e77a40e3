"""Lines of text out of a terminal's stream: whole, byte by byte, and with what a line does to itself."""

from __future__ import annotations

import random

import pytest

from codewrap.protocol.plaintext import MAX_LINE, PlainText
from tests.support.attacks import corpus


def plain(*blocks: bytes) -> str:
    text = PlainText()
    return "".join(map(text.feed, blocks)) + text.end()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b"one\ntwo", "one\ntwo"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\\n", "red xlink\n"),
        (b"\x1bPq#0;1\x1b\\a\x1b_Gb\x1b\\c\x1b(Bd\x1b=e\x1bcf\n", "acdef\n"),
        (b"10%\r50%\r100%\n", "100%\n"),
        (b"long text\rab\n", "abng text\n"),
        (b"long text\r\x1b[Kab\n", "ab\n"),
        (b"long text\x1b[2K\rab\n", "ab\n"),
        (b"abc\b\b\x1b[0KX\n", "aX\n"),
        (b"abc\b\b\bxy\n", "xyc\n"),
        (b"a\tb\x07\x00\x01\x0b\x0e\x7f\n", "a\tb\n"),
        ("ä好\u009b31m\n".encode(), "ä好31m\n"),
        (b"\xff\xfe\n", "��\n"),
        (b"\x1b[1;1Hhome\x1b[5;5H\n", "home\n"),
        (b"unfinished \x1b[3", "unfinished "),
        (b"\r\r\n\n", "\n\n"),
    ],
)
def test_a_stream_is_these_lines_however_it_is_cut(stream: bytes, expected: str) -> None:
    assert plain(stream) == expected
    assert plain(*(stream[at : at + 1] for at in range(len(stream)))) == expected


def test_lines_come_when_they_are_whole() -> None:
    text = PlainText()
    assert text.feed(b"one\ntw") == "one\n"
    assert text.feed(b"o") == ""
    assert text.feed(b"\n") == "two\n"
    assert text.end() == ""


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    text = PlainText()
    assert len(text.feed(b"x" * (MAX_LINE + 1))) == MAX_LINE + 1


@pytest.mark.parametrize("attack", corpus(), ids=lambda attack: attack.name)
def test_nothing_of_an_attack_is_left_but_text(attack: object) -> None:
    shown = plain(attack.stream)  # type: ignore[attr-defined]
    assert all(character in "\n\t" or ord(character) >= 0x20 for character in shown)
    assert not any(0x7F <= ord(character) < 0xA0 for character in shown)


@pytest.mark.parametrize("seed", range(10))
def test_cuts_make_no_difference(seed: int) -> None:
    chance = random.Random(seed)
    alphabet = [b"\x1b[", b"K", b"2K", b"\r", b"\b", b"abc", b"\n", b"\x1b]0;", b"\x07", b"\xc3", b"\xa4", b"m", b"\x1b", b"\x18"]
    stream = b"".join(chance.choices(alphabet, k=300))
    cuts = sorted(chance.choices(range(len(stream)), k=20))
    blocks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert plain(*blocks) == plain(stream), seed
