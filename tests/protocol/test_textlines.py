"""A terminal's stream as the lines that a person saw."""

from __future__ import annotations

import pytest

from codewrap.protocol.textlines import SNAPSHOT_BYTES, TextLines


def lines(*data: bytes) -> list[str]:
    """All of a stream that comes in these pieces."""
    text = TextLines()
    return [line for piece in data for line in text.feed(piece)] + text.end()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"one\n\n  \nthe rest", ["one", "the rest"]),
        (b"\x1b[1;31mconnection \x1b[0mrefused\x1b[K\r\n", ["connection refused"]),
        (b"\x1b]0;a title\x07hello\r\n", ["hello"]),
        (b" 10%\r 50%\r100%\r\n", ["100%"]),
        (b"a\x1b[1Gab\x1b[1G\x1b[0Jabc\r\n", ["abc"]),
        (b"abd\x1b[Dc\r\n", ["abc"]),
        (b"left\x1b[3Cright\r\n", ["left   right"]),
        (b"Starting\x1b[60G[ OK ]\r\n", ["Starting [ OK ]"]),
        (b"\x1b[?1049h\x1b[2J\x1b[1;1Htop row\x1b[2;1Hnext row\x1b[?1049lshell\r\n", ["top row", "next row", "shell"]),
        (b"\x1b7\x1b[24;1Hstatus\x1b8line\r\n", ["status", "line"]),
        ("zażółć €\r\n".encode(), ["zażółć €"]),
        (b"\xff\xfe odd\r\n", ["\ufffd\ufffd odd"]),
        (b"bell\x07 and \x00zero\x1b\r\n", ["bell and zero"]),
        (b"", []),
    ],
)
def test_lines_are_what_was_to_be_seen_however_they_are_cut(data: bytes, shown: list[str]) -> None:
    assert lines(data) == shown
    assert lines(*(bytes([byte]) for byte in data)) == shown


def test_a_progress_bar_without_end_is_a_line_now_and_then() -> None:
    steps = [b"\rdone: %06d" % step for step in range(4 * SNAPSHOT_BYTES // 13)]
    shown = lines(*steps, b"\r\nready\r\n")
    assert shown[-1] == "ready"
    assert 3 <= len(shown) <= 6
    assert all(line.startswith("done: ") and len(line) == 12 for line in shown[:-1])


def test_a_long_line_without_returns_stays_whole() -> None:
    data = b"x" * (3 * SNAPSHOT_BYTES) + b"needle" + b"y" * SNAPSHOT_BYTES
    assert lines(data[:5000], data[5000:]) == [data.decode()]


def test_nothing_that_could_do_anything_to_a_terminal_is_left() -> None:
    every = bytes(byte for byte in range(256) if byte not in b"\t\n")
    shown = "".join(lines(every * 3, b"\x1b[", b"\x9b31m\xc2\x9b31m\r\n"))
    assert not [c for c in shown if (c < " " and c != "\t") or "\x7f" <= c < "\xa0"]
