"""The byte-level tracker: what it follows, what it writes, what it does not fall for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.protocol.safety import Sanitizer
from codewrap.terminal.modes import STACK_LIMIT, ModeTracker


def tracked(*blocks: bytes) -> ModeTracker:
    tracker = ModeTracker()
    for block in blocks:
        tracker.feed(block)
    return tracker


def test_plain_text_changes_nothing() -> None:
    assert tracked(b"text [?25l ]0;title\x07\r\n\x1b[1;31mred\x1b[4 A") == ModeTracker()


@pytest.mark.parametrize(
    ("block", "redrawn"),
    [
        (b"\x1b[?2004h", b"\x1b[?2004h"),
        (b"\x1b[?2004h\x1b[?2004l", b""),
        (b"\x1b[?2004;1004h", b"\x1b[?1004h\x1b[?2004h"),
        (b"\x1b[?5h\x1b[?45h", b"\x1b[?5h\x1b[?45h"),
        (b"\x1b[?12l", b"\x1b[?12l"),
        (b"\x1b[?1000h\x1b[?1006h", b"\x1b[?1000h\x1b[?1006h"),
        (b"\x1b[?1000h\x1b[?1003h", b"\x1b[?1003h"),
        (b"\x1b[?1003h\x1b[?1000l", b""),
        (b"\x1b[?1006h\x1b[?1015h", b"\x1b[?1015h"),
        (b"\x1b=", b"\x1b="),
        (b"\x1b=\x1b>", b""),
        (b"\x1b[?66h", b"\x1b="),
        (b"\x1b[5 q", b"\x1b[5 q"),
        (b"\x1b[5 q\x1b[ q", b""),
        (b"\x1b[>4;2m", b"\x1b[>4;2m"),
        (b"\x1b[>4;2m\x1b[>4m", b""),
        (b"\x1b]11;#102030\x07", b"\x1b]11;#102030\x1b\\"),
        (b"\x1b]11;?\x07", b""),
        (b"\x1b]11;#102030\x07\x1b]111\x07", b""),
        (b"\x1b]4;1;red;300;blue;2;rgb:0/1/2\x07", b"\x1b]4;1;red\x1b\\\x1b]4;2;rgb:0/1/2\x1b\\"),
        (b"\x1b]4;1;red;2;blue\x07\x1b]104;1\x07", b"\x1b]4;2;blue\x1b\\"),
        (b"\x1b]4;1;red;2;blue\x07\x1b]10;red\x07\x1b]104\x07", b"\x1b]10;red\x1b\\"),
        (b"\x1b]8;id=1;https://a/\x1b\\", b"\x1b]8;id=1;https://a/\x1b\\"),
        (b"\x1b]8;id=1;https://a/\x1b\\x\x1b]8;;\x1b\\", b""),
        (b"\x1b[?2026h", b"\x1b[?2026h"),
        (b"\x1b[?1h\x1b[?25l\x1b[?7l", b"\x1b[?1h"),
        (b"\x1b[?9999h", b""),
        (b"\x1b=\x1b[?45h\x1b[?2004h\x1b[!p", b"\x1b[?2004h"),
    ],
)
def test_state_is_written_as_it_stands(block: bytes, redrawn: bytes) -> None:
    tracker = tracked(block)
    assert tracker.redraw() == redrawn
    assert Sanitizer().feed(redrawn) == redrawn
    assert tracked(redrawn).redraw() == redrawn


def test_title_is_kept_clean_and_short() -> None:
    tracker = tracked(b"\x1b]0;one\x07", "\x1b]2;grüße\u009b\r\x1b\\".encode())
    assert tracker.title == "grüße"
    assert tracker.retitle() == "\x1b]2;grüße\x1b\\".encode()
    assert tracked(b"\x1b]1;icon\x07").retitle() == b""
    assert tracked(b"\x1b]2;\x07").retitle() == b"\x1b]2;\x1b\\"
    assert len(tracked(b"\x1b]2;" + b"t" * 4000 + b"\x07").title) == 1024


def test_alternate_screen_remembers_how_it_was_entered() -> None:
    assert tracked(b"\x1b[?47h").alternate == 47
    assert tracked(b"\x1b[?1049h", b"\x1b[?47h").alternate == 1049
    assert tracked(b"\x1b[?1049h", b"\x1b[?1047l").alternate == 0


def test_each_screen_has_its_own_keyboard_stack() -> None:
    tracker = tracked(b"\x1b[>1u\x1b[?1049h\x1b[>3u\x1b[>7u\x1b[<u\x1b[=4;2u")
    assert tracker.keyboards == ([1], [7])
    assert tracker.keyboard_flags == 7
    assert tracker.keyboard(alternate=False) == b"\x1b[>1u"
    assert tracker.redraw() == b"\x1b[>7u"
    tracker.feed(b"\x1b[=2;3u\x1b[=1;2u")
    assert tracker.keyboard_flags == 5
    tracker.feed(b"\x1b[?1049l\x1b[<9u")
    assert (tracker.keyboards, tracker.keyboard_flags) == (([], []), 0)
    tracker.feed(b"\x1b[>1u" * 100)
    assert len(tracker.keyboards[0]) == STACK_LIMIT


def test_full_reset_forgets_all_but_the_title() -> None:
    everything = b"\x1b[?1049h\x1b[?1003;1006;2004;5h\x1b=\x1b[3 q\x1b[>1u\x1b[>4;1m\x1b]10;red\x07\x1b]8;;http://a\x07"
    assert tracked(b"\x1b]0;title\x07", everything, b"\x1bc") == tracked(b"\x1b]0;title\x07")


def test_modes_are_known_as_a_query_wants_them() -> None:
    modes = tracked(b"\x1b[?1049;1003;1006;2004h\x1b[?25l\x1b=").known_modes()
    on = {number for number, state in modes.items() if state}
    assert on == {7, 66, 1003, 1006, 1049, 2004}
    assert modes[25] is False
    assert 4711 not in modes


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\x1b[", b"\x1b]", b"?", b"1049", b";", b"h", b"\x07"])))
def test_nothing_raises(pieces: list[bytes]) -> None:
    tracker = tracked(b"".join(pieces))
    assert Sanitizer().feed(tracker.redraw()) == tracker.redraw()
