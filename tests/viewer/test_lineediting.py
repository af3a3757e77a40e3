"""What keys do to a line."""

from __future__ import annotations

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.viewer.lineediting import MAX_TYPED_BYTES, KeyReader, Kind, Line, character_width

COLS = 20


def line(text: str, col: int) -> Line:
    screen = Screen(Size(rows=2, cols=COLS))
    screen.feed(text.encode())
    return Line(tuple(screen.cells(0)), col)


def typed(start: Line, keys: str) -> tuple[str, int] | None:
    """Text and cursor after ``keys``; None where that was not foreseen."""
    now: Line | None = start
    for key in KeyReader().read(keys.encode()):
        now = None if now is None else now.after(key, "")
    if now is None:
        return None
    assert len(now.cells) == COLS
    return "".join(cell.char for cell in now.cells if cell.width).rstrip(), now.col


def kinds(*blocks: bytes) -> list[tuple[Kind, int]]:
    reader = KeyReader()
    return [(key.kind, key.size_bytes) for block in blocks for key in reader.read(block)]


# -- keys ------------------------------------------------------------------------------------------------------


def test_keys_are_told_apart_and_every_byte_belongs_to_one() -> None:
    assert kinds(b"a", "日".encode(), b"\x7f\x08", b"\x1b[D\x1bOC") == [
        (Kind.PRINT, 1),
        (Kind.PRINT, 3),
        (Kind.ERASE, 1),
        (Kind.ERASE, 1),
        (Kind.LEFT, 3),
        (Kind.RIGHT, 3),
    ]


@pytest.mark.parametrize("data", [b"\r", b"\t", b"\x1b", b"\x1b[A", b"\x03", b"\x1b[1;5C", b"\xff", "\u0301".encode(), b"\x1bb"])
def test_what_is_not_known_is_anything(data: bytes) -> None:
    assert kinds(data) == [(Kind.OTHER, len(data))]


def test_behind_a_key_that_is_anything_all_is() -> None:
    assert kinds(b"ab\rcd") == [(Kind.PRINT, 1), (Kind.PRINT, 1), (Kind.OTHER, 3)]


def test_a_character_may_come_in_pieces() -> None:
    reader = KeyReader()
    whole = "🙂".encode()
    for number in range(1, 4):
        assert reader.read(whole[number - 1 : number]) == []
        assert reader.held_bytes == number
    assert [key.char for key in reader.read(whole[3:])] == ["🙂"]
    assert reader.held_bytes == 0


def test_an_escape_sequence_in_pieces_is_not_taken_for_letters() -> None:
    assert kinds(b"\x1b", b"[D", b"D") == [(Kind.OTHER, 1), (Kind.OTHER, 2), (Kind.PRINT, 1)]
    assert kinds(b"\x1b[", b"A", b"A") == [(Kind.OTHER, 2), (Kind.OTHER, 1), (Kind.PRINT, 1)]


def test_a_paste_is_not_typed() -> None:
    assert kinds(b"x" * (MAX_TYPED_BYTES + 1)) == [(Kind.OTHER, MAX_TYPED_BYTES + 1)]


@pytest.mark.parametrize(("char", "width"), [("a", 1), ("é", 1), ("日", 2), ("🙂", 2), ("─", 1), ("\ue0b0", 1)])
def test_width_that_all_terminals_agree_on(char: str, width: int) -> None:
    assert character_width(char) == width


@pytest.mark.parametrize("char", ["\u0301", "\u200d", "\ufe0f", "\U0001f3fd", "\U0001f1e9", "\u1161", "\x1b", "\u0085"])
def test_width_that_they_do_not_agree_on(char: str) -> None:
    assert character_width(char) == 0


# -- the line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "col", "keys", "wanted"),
    [
        ("$ ", 2, "ls", ("$ ls", 4)),
        ("$ ", 2, "日x", ("$ 日x", 5)),
        ("$ ls", 3, "x", ("$ lxs", 4)),
        ("$ a b", 2, "x", ("$ xa b", 3)),
        ("a    |", 1, "b", ("ab   |", 2)),
        ("|ab  |", 1, "x", ("|xab |", 2)),
        ("$ ls", 4, "\x7f", ("$ l", 3)),
        ("$ lxs", 4, "\x7f", ("$ ls", 3)),
        ("a日b", 3, "\x7f", ("ab", 1)),
        ("$ ls", 4, "\x1b[D\x1b[D", ("$ ls", 2)),
        ("a日b", 3, "\x1b[D", ("a日b", 1)),
        ("a日b", 1, "\x1b[C", ("a日b", 3)),
        ("$ ls", 2, "\x1b[C\x1b[C", ("$ ls", 4)),
        ("$ ", 2, "ab\x7f\x7fc", ("$ c", 3)),
    ],
)
def test_line_is_edited_as_editors_do(text: str, col: int, keys: str, wanted: tuple[str, int]) -> None:
    assert typed(line(text, col), keys) == wanted


@pytest.mark.parametrize(
    ("text", "col", "keys"),
    [
        ("", 0, "\x7f"),
        ("", 0, "\x1b[D"),
        ("$ ls", 4, "\x1b[C"),
        ("x" * 18, 18, "ab"),
        ("x" * 18, 18, "日"),
        ("x" * 19, 3, "a"),
        ("x" * 20, 20, "a"),
        ("x" * 20, 3, "\x7f"),
        ("日", 1, "\x7f"),
        ("$ ", 2, "a\r"),
    ],
)
def test_what_leaves_the_line_is_not_foreseen(text: str, col: int, keys: str) -> None:
    assert typed(line(text, col), keys) is None


def test_a_line_proves_true_by_what_was_typed_and_not_by_what_moved() -> None:
    start = line("$ ls", 2)
    key = KeyReader().read(b"x")[0]
    after = start.after(key, ";4")
    assert after is not None
    assert after.agrees(line("$ xls", 0).cells)
    assert after.agrees(line("$ xll -l", 0).cells)
    assert not after.agrees(line("$ *ls", 0).cells)
    assert after.is_news_to(start.cells)
    assert not after.is_news_to(line("$ xls", 0).cells)


def test_a_blank_proves_nothing() -> None:
    start = line("$ ls", 4)
    for keys in (b" ", b"\x7f", b"\x1b[D"):
        after = start.after(KeyReader().read(keys)[0], "")
        assert after is not None
        assert not after.is_news_to(start.cells)


def test_what_was_typed_and_taken_back_proves_nothing() -> None:
    start = line("$ ", 2)
    after: Line | None = start
    for key in KeyReader().read(b"a\x7f"):
        after = None if after is None else after.after(key, "")
    assert after is not None
    assert after.agrees(start.cells)
    assert not after.is_news_to(start.cells)
