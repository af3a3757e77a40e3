"""What the host is told of its own terminal: the picture is whole, and says where it was taken."""

from __future__ import annotations

from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Kind
from codewrap.terminal.emulator import Screen
from codewrap.uplink.portrait import portrait

SIZE = Size(rows=4, cols=20)


class Feeding:
    """A composer whose log has more than was fed so far."""

    def __init__(self, engine: Screen, *blocks: bytes) -> None:
        self._engine = engine
        self._blocks = list(blocks)
        self.fed_to = 0

    def catch_up(self, most_bytes: int) -> bool:
        assert most_bytes > 0
        if self._blocks:
            block = self._blocks.pop(0)
            self._engine.feed(block)
            self.fed_to += len(block)
        return bool(self._blocks)


def test_the_picture_is_of_the_log_s_end() -> None:
    engine = Screen(SIZE)
    told = portrait(Feeding(engine, b"one \x1b[31mred\x1b[m\r\n", b"two"), engine)
    assert told.kind is Kind.PICTURE
    assert (told.header["offset"], told.header["rows"], told.header["cols"]) == (20, 4, 20)
    assert told.header["top"] == "one \x1b[0;31mred\x1b[m"
    assert told.header["unfinished"] == ""
    seen = Screen(SIZE)
    seen.feed(told.body)
    assert seen.text() == ["one red", "two", "", ""]


def test_it_says_when_the_terminal_is_in_the_midst_of_something() -> None:
    engine = Screen(SIZE)
    assert portrait(Feeding(engine, b"a\x1b[3"), engine).header["unfinished"] == b"\x1b[3".hex()
