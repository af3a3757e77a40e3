"""A snapshot drawn on a second screen is the first one, wherever a recording of a real program is cut."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codewrap.protocol.geometry import Size
from codewrap.protocol.queries import find_queries
from codewrap.protocol.safety import Sanitizer
from codewrap.terminal.emulator import Cell, Cursor, Row, Screen, ScreenState
from tests.terminal.recorder import COLS, PROGRAMS, ROWS, STORED, VECTORS, record

SIZE = Size(ROWS, COLS)
# What leaves a viewer's terminal in a bad way: nothing of it may show through a snapshot.
DIRT = (
    b"dirt\x1b[?1049h\x1b[5;10r\x1b[?6h\x1b[31;44mmore\x1b7\x1b[?25l\x1b[?2004;1003;1006;1004h\x1b[4h\x1b[20h\x1b[?7l"
    b"\x1b(0\x0e\x1b=\x1b[3 q\x1b]10;red\x07\x1b]4;1;red\x07\x1b]8;;http://a/\x07\x1b[3g\x1b[>4;2m\x1b[>5u\x1b[?5h\x1b[?2026h\x1b[3"
)


def recording(name: str) -> bytes:
    return (VECTORS / f"{name}.bin").read_bytes()


def state(screen: Screen) -> dict[str, object]:
    """Everything that can be told of a screen."""
    modes = screen.modes
    return {
        "text": screen.text(),
        "dump": screen._engine.dump().replace("\x9b?1h", ""),  # pens, saved cursors, margins, tab stops, both screens
        "cursor": screen.cursor,
        "title": screen.title,
        "alternate": modes.alternate,
        "modes": modes.known_modes(),
        "rest": (modes.cursor_style, modes.modify_other_keys, modes.colours, modes.link),
        "keyboards": modes.keyboards,
        "pending": screen._cutter.pending,
    }


def viewer(snapshot: bytes, size: Size = SIZE, before: bytes = b"") -> Screen:
    screen = Screen(size)
    screen.feed(before)
    screen.feed(snapshot)
    return screen


def assert_same_after(stream: bytes, cut: int, size: Size = SIZE) -> None:
    host = Screen(size)
    host.feed(stream[:cut])
    snapshot = host.snapshot()
    for before in (b"", DIRT):
        watcher = viewer(snapshot, size, before)
        assert state(watcher) == state(host)
        watcher.feed(stream[cut:])
        ahead = Screen(size)
        ahead.feed(stream)
        assert state(watcher) == state(ahead)
    assert host.failures == 0


@pytest.mark.parametrize("name", STORED)
def test_snapshot_anywhere_in_a_recording_gives_the_same_screen_then_and_later(name: str) -> None:
    stream = recording(name)
    generator = random.Random(name)
    for _ in range(40):
        assert_same_after(stream, generator.randrange(len(stream) + 1))


@pytest.mark.debian
@pytest.mark.parametrize("name", ["top", "htop", "vim", "less"])
def test_snapshot_of_a_program_on_this_machine(name: str) -> None:
    if shutil.which(PROGRAMS[name][0][0]) is None:
        pytest.skip(f"{name} is not installed")
    stream = record(name)
    assert len(stream) > 500
    generator = random.Random(name)
    for _ in range(8):
        assert_same_after(stream, generator.randrange(len(stream) + 1))


@pytest.mark.parametrize("name", STORED)
def test_sanitized_snapshot_and_output_draw_the_same(name: str) -> None:
    stream = recording(name)
    cut = len(stream) // 2
    host = Screen(SIZE)
    host.feed(stream[:cut])
    sanitizer = Sanitizer()
    watcher = Screen(SIZE)
    watcher.feed(sanitizer.feed(host.snapshot()))
    watcher.feed(sanitizer.feed(stream[cut:]))
    host.feed(stream[cut:])
    assert watcher.text() == host.text()
    assert watcher.cursor == host.cursor
    assert watcher.modes.known_modes() == host.modes.known_modes()


CASES = {
    "empty": b"",
    "wrap pending": b"x" * 80,
    "wrapped": b"x" * 200 + b"\r\ny",
    "wide at the edge": "漢".encode() * 45,
    "colours": b"\x1b[31;48;2;1;2;3;1;3;4;5;7;9mall\x1b[38;5;200mx\x1b[K",
    "coloured blanks": b"\x1b[44m\x1b[2J\x1b[H\x1b[mx",
    "scroll region": b"\x1b[5;10r\x1b[?6h\x1b[2;2Hx",
    "saved cursor": b"\x1b[5;5H\x1b[33m\x1b7\x1b[m\x1b[9;9H",
    "saved, then alternate": b"\x1b[5;5H\x1b[33mx\x1b[?1049h\x1b[35mq\x1b7\x1b[3;3H",
    "alternate 47": b"main\x1b[?47hother",
    "alternate 1047": b"main\x1b[?1047hother",
    "back from alternate": b"main\x1b[?1049hother\x1b[4;4H\x1b7\x1b[?1049l!",
    "tab stops": b"\x1b[3g\x1b[4G\x1bH\x1b[40G\x1bH\r\t|",
    "tab stops in alternate": b"\x1b[3g\x1b[4G\x1bH\x1b[?1049h\x1b[H\t|",
    "drawing characters": b"\x1b(0lqqk\x1b)B\x0e",
    "insert and newline": b"\x1b[4h\x1b[20hab\x1b[?7l",
    "modes": b"\x1b[?1h\x1b=\x1b[?1002;1006;2004;1004h\x1b[?25l\x1b[5 q\x1b[?5h",
    "keyboards": b"\x1b[>1u\x1b[?1049h\x1b[>3u\x1b[>4;2m",
    "title": "\x1b]2;ü title\x07".encode(),
    "colours set": b"\x1b]4;1;red\x07\x1b]11;#000\x07\x1b]8;;http://a\x07",
    "inside csi": b"a\x1b[38;2;1",
    "inside osc": b"a\x1b]0;half a ti",
    "inside osc end": b"a\x1b]0;half a ti\x1b",
    "inside dcs": b"a\x1bPq#0",
    "inside a character": "a漢".encode()[:-1],
    "inside a frame": b"\x1b[?2026hab",
    "a bell": b"\x07",
    "reset": b"\x1b[31m\x1b[?1049hxyz\x1bcnew",
    "invalid": b"\xff\xfe\x80\xc3(",
}


@pytest.mark.parametrize("size", [SIZE, Size(5, 33), Size(1, 2), Size(60, 200)], ids=str)
@pytest.mark.parametrize("stream", CASES.values(), ids=CASES.keys())
def test_snapshot_holds(stream: bytes, size: Size) -> None:
    assert_same_after(stream + b" and \x1b\\ on\r\n", len(stream), size)


def test_snapshot_asks_nothing_and_wraps_itself_in_a_frame() -> None:
    screen = Screen(SIZE)
    screen.feed(b"\x1b[6n\x1b[c\x1b]11;?\x07" + CASES["modes"])
    snapshot = screen.snapshot()
    assert find_queries(snapshot) == []
    assert snapshot.startswith(b"\x18\x1b[?2026h")
    assert b"\x1b[?2026l" in snapshot
    assert b"\x9b" not in snapshot
    assert b"\x1bc" not in snapshot


def test_snapshot_leaves_the_title_alone_until_there_is_one() -> None:
    screen = Screen(SIZE)
    assert b"\x1b]2;" not in screen.snapshot()
    screen.feed(b"\x1b]0;t\x07")
    assert b"\x1b]2;t\x1b\\" in screen.snapshot()


def test_snapshot_brings_the_lines_above() -> None:
    size = Size(5, 20)
    host = Screen(size)
    lines = [b"\x1b[3%dmline\x1b[m %d" % (number % 8, number) for number in range(50)]
    lines[40] = "漢字 \x1b[1;38;5;9;48;2;4;5;6mrather long line that wraps once or twice".encode()
    lines[41] = b"\x1b[m"
    host.feed(b"\r\n".join(lines))
    for wanted in (0, 1, 3, 30):
        watcher = viewer(host.snapshot(scrollback_lines=wanted), size, DIRT.replace(b"\x1b[?1049h", b""))
        assert watcher.text() == host.text()
        above = [str(line) for line in host._engine.lines()[:-5]]
        assert [str(line) for line in watcher._engine.lines()[:-5]][-wanted or 10_000 :] == above[-wanted or 10_000 :]
    host.feed(b"\x1b[?1049h")
    assert host.snapshot(scrollback_lines=30) == host.snapshot()


def test_scrollback_is_bounded() -> None:
    screen = Screen(Size(5, 20), scrollback_lines=10)
    screen.feed(b"x\r\n" * 1000)
    assert len(screen._engine.lines()) == 15


@pytest.mark.parametrize("name", STORED)
def test_feeding_byte_by_byte_is_the_same(name: str) -> None:
    stream = recording(name)[:4000]
    whole, pieces = Screen(SIZE), Screen(SIZE)
    whole.feed(stream)
    for byte in stream:
        pieces.feed(bytes([byte]))
    assert state(pieces) == state(whole)


def test_text_cursor_and_title_are_read() -> None:
    screen: ScreenState = Screen(Size(3, 10))
    screen.feed("\x1b]0;tïtle\x07ab\r\n\x1b[31mçd\x1b[?25l".encode())
    assert screen.text() == ["ab", "çd", ""]
    assert screen.cursor == Cursor(1, 2, visible=False)
    assert (screen.title, screen.size) == ("tïtle", Size(3, 10))


def test_changed_rows_are_told_once() -> None:
    screen = Screen(Size(4, 10))
    assert screen.take_changed_rows() == [0, 1, 2, 3]
    screen.feed(b"\x1b[2;1Hx\x1b[4;1Hy")
    assert set(screen.take_changed_rows()) >= {1, 3}
    assert screen.take_changed_rows() == []
    screen.resize(Size(2, 10))
    assert screen.take_changed_rows() == [0, 1]


@pytest.mark.parametrize("asked", [Size(0, 0), Size(1, 1), Size(-5, 10), Size(100_000, 100_000)])
def test_sizes_are_clamped(asked: Size) -> None:
    assert Screen(asked).size == asked.clamped()
    screen = Screen(SIZE)
    screen.feed("漢字\r\n".encode() * 30)
    screen.resize(asked)
    assert screen.size == asked.clamped()
    assert len(screen.text()) == asked.clamped().rows
    assert screen.failures == 0


def test_sequences_cannot_resize_the_engine() -> None:
    screen = Screen(SIZE)
    screen.feed(b"\x1b[8;5;20t\x1b[?40h\x1b[?3h")
    assert len(screen.text()) == ROWS
    assert screen._engine.size == (COLS, ROWS)


class Failing:
    """An engine whose every method fails as Rust's panics do."""

    class Panic(BaseException):
        pass

    def __getattr__(self, name: str) -> object:
        raise Failing.Panic(name)


@pytest.mark.parametrize("call", ["feed", "resize", "snapshot"])
def test_a_failing_engine_begins_anew_and_nothing_is_raised(call: str) -> None:
    screen = Screen(SIZE)
    screen.feed(b"\x1b]0;kept\x07lost")
    screen._engine = Failing()  # type: ignore[assignment]
    screen.take_changed_rows()
    if call == "feed":
        screen.feed(b"x")
    elif call == "resize":
        screen.resize(Size(10, 10))
    else:
        assert b"kept" in screen.snapshot()
    assert screen.failures == 1
    assert screen.take_changed_rows() == list(range(screen.size.rows))
    screen.feed(b"new")
    assert screen.text()[0] == "new"
    assert screen.title == "kept"


def test_interrupt_is_not_taken_for_a_failing_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def feed_str(self, text: str) -> None:
            raise KeyboardInterrupt

    screen = Screen(SIZE)
    screen._engine = Interrupted()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        screen.feed(b"x")


def test_random_output_and_sizes_do_no_harm() -> None:
    streams = [recording(name) for name in STORED]
    for seed in range(60):
        generator = random.Random(seed)
        stream = bytearray(generator.choice(streams)[: generator.randrange(1, 6000)])
        for _ in range(len(stream) // 40):
            stream[generator.randrange(len(stream))] = generator.randrange(256)
        screen = Screen(Size(generator.randrange(1, 40), generator.randrange(2, 120)))
        for at in range(0, len(stream), 500):
            screen.feed(bytes(stream[at : at + 500]))
            if generator.random() < 0.3:
                screen.resize(Size(generator.randrange(0, 50), generator.randrange(0, 150)))
            watcher = viewer(screen.snapshot(), screen.size)
            assert watcher.text() == screen.text(), f"seed {seed}"
        assert screen.failures == 0


def test_strings_without_an_end_take_no_memory() -> None:
    screen = Screen(SIZE)
    screen.feed(b"\x1bPq")
    for _ in range(320):
        screen.feed(b"x" * 65536)
    assert len(screen.snapshot()) < 2000
    assert screen.snapshot().endswith(b"\x1bP")
    screen.feed(b"\x1b\\shown")
    assert screen.text()[0] == "shown"


@settings(max_examples=150)
@given(st.lists(st.sampled_from(list(CASES.values())), max_size=5), st.data())
def test_any_mixture_cut_anywhere_holds(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    assert_same_after(stream, data.draw(st.integers(0, len(stream))))


def test_vectors_tell_nothing_of_the_machine() -> None:
    for name in STORED:
        stream = recording(name)
        assert str(Path.home()).encode() not in stream or str(Path.home()) == "/"
        assert b"/tmp/" not in stream


def test_cells_are_told_with_width_and_style() -> None:
    screen = Screen(Size(rows=2, cols=6))
    screen.feed("a日\x1b[1;38;2;1;2;3mb".encode())
    assert screen.cells(0) == [
        Cell("a", 1, ""),
        Cell("日", 2, ""),
        Cell(" ", 0, ""),
        Cell("b", 1, ";1;38;2;1;2;3"),
        Cell(" ", 1, ""),
        Cell(" ", 1, ""),
    ]


@pytest.mark.parametrize(
    ("output", "pen"),
    [
        (b"", ""),
        (b"a\x1b[1;31m", ";31;1"),
        (b"\x1b[38;2;1;2;3m\x1b[48;5;200mx", ";38;2;1;2;3;48;5;200"),
        (b"\x1b[2;3r", ""),
        (b"\x1b[?1049h\x1b[?25l\x1b[?1h\x1b)0x\x1b[3m", ";3"),
        (b"\x1b[31m\x1b7\x1b[m\x1b8", ";31"),
        (b"123456", None),
        (b"\x1b[?6h", None),
        (b"\x1b[?6h\x1b7\x1b[?6l\x1b[1;2r\x1b8", None),
        (b"\x1b[4hx", None),
        (b"\x1b(0x", None),
        (b"\x0ex", None),
        (b"\x1b)0\x0ex", None),
        (b"\x1b[?7lx", None),
    ],
)
def test_pen_is_told_where_printing_depends_on_nothing_else(output: bytes, pen: str | None) -> None:
    screen = Screen(Size(rows=3, cols=6))
    screen.feed(output)
    assert screen.pen() == pen


def test_it_is_known_where_the_output_ends_in_the_midst_of_something() -> None:
    screen = Screen(Size(rows=3, cols=10))
    assert screen.unfinished == b""
    screen.feed(b"a\x1b[3")
    held = screen.unfinished
    screen.feed(b"1mb")
    assert (held, screen.unfinished) == (b"\x1b[3", b"")


def test_rows_that_are_kept_no_longer_are_handed_out() -> None:
    gone: list[Row] = []
    screen = Screen(Size(rows=2, cols=5), 0, gone.append)
    screen.feed(b"0123456\r\nab\r\n")
    assert [(row.text, row.goes_on) for row in gone] == [("01234", True), ("56   ", False)]
    screen.feed(b"\x1b[31mx\x1b[m\r\n")
    screen.resize(Size(rows=1, cols=5))
    assert [row.text.rstrip() for row in gone[2:]] == ["ab", "x"]
    assert [cell.style for cell in gone[3].cells()[:2]] == [";31", ""]
    assert [row.text for row in screen.rows()] == ["     "]
