"""What is left out of a flood was not to be seen any more: the terminal ends the same, byte for byte of its redrawing."""

from __future__ import annotations

import random

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal import emulator
from codewrap.terminal.emulator import Screen
from codewrap.terminal.fastforward import WORTH_BYTES, shortened

SIZE = Size(rows=7, cols=30)
SCROLLBACK = 20
WORDS = ("make", "ok", "naïve", "日本語", "e\u0301", "\t", "\x07", "👩‍🚀", " " * 9, "x" * 70, "\rover", "a\b", "\x0b")
COLOURS = ("\x1b[31m", "\x1b[0m", "\x1b[m", "\x1b[1;44m", "\x1b[38;2;1;2;3m", "\x1b[48:5:9m", "\x1b[27m")
# What a program may have left behind before the flood begins.
BEFORE = (
    b"",
    b"half a line",
    b"\x1b[2;5H\x1b[45mhere",
    b"\x1b[?1049h\x1b[Halternate",
    b"\x1b[?7l",
    b"\x1b[4h",
    b"\x1b[20h",
    b"\x1b(0lqk",
    b"\x1b[?6h",
    b"\x1b[3g\x1b[9G\x1bH\x1b[1G",
    b"\x1b[2;4r\x1b[3;1H",
    b"x" * 30,
)


def flood(seed: int) -> bytes:
    """Lines of everything that a plain flood may hold."""
    chance = random.Random(seed)
    colourful = chance.random() < 0.5
    parts: list[str] = []
    for _ in range(WORTH_BYTES // 2):
        parts += chance.choices(WORDS, k=chance.randrange(6))
        if colourful and chance.random() < 0.3:
            parts.append(chance.choice(COLOURS))
        parts.append("\r\n" if chance.random() < 0.95 else "\n")
    parts.append(chance.choice(("", "prompt$ ", "\x1b[7m")))
    return "".join(parts).encode()


def drawn(before: bytes, data: bytes, monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> bytes:
    """The terminal's state after both; ``whole``: with nothing left out."""
    with monkeypatch.context() as patched:
        if whole:
            patched.setattr(emulator, "WORTH_BYTES", len(data) + 1)
        screen = Screen(SIZE, SCROLLBACK)
        screen.feed(before)
        screen.feed(data)
        return screen.snapshot(SCROLLBACK)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("seed", range(6))
def test_a_shortened_flood_leaves_the_terminal_as_it_was_whole(seed: int, before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = flood(seed)
    assert drawn(before, data, monkeypatch, whole=False) == drawn(before, data, monkeypatch, whole=True), seed


@pytest.mark.parametrize("seed", range(6))
def test_most_of_a_flood_is_left_out(seed: int) -> None:
    data = flood(seed)
    assert len(shortened(data, 30)) < len(data) / 4, seed


@pytest.mark.parametrize("special", [b"\x1b[2J", b"\x1b[H", b"\x1b]0;title\x07", b"\x0e", b"\xc2\x9b2J", b"\x1bc", b"\x1b[1;3r"])
def test_what_is_more_than_text_and_colours_is_left_whole(special: bytes) -> None:
    data = b"line\r\n" * WORTH_BYTES + special + b"line\r\n" * 100
    assert shortened(data, 30) is data


NO_LINES = b"x" * 4 * WORTH_BYTES


@pytest.mark.parametrize(
    "data", [b"", b"line\r\n", NO_LINES, b"line\n" * WORTH_BYTES, b"\r\n" * 29, NO_LINES + b"\r\nnow"], ids=len
)
def test_what_is_short_or_has_no_place_to_begin_is_left_whole(data: bytes) -> None:
    assert shortened(data, 30) is data


def test_colours_are_carried_over_from_the_last_reset_on() -> None:
    head = b"\x1b[31m" + b"line\r\n" * WORTH_BYTES + b"\x1b[0m\x1b[4m\x1b[32mgreen\r\n"
    short = shortened(head + b"l\r\n" * 30, 30)
    assert short.startswith(b"\x1b[0m\x1b[4m\x1b[32m\r\n")
