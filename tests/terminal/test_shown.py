"""What a terminal shows as values: what programs are promised of it."""

from __future__ import annotations

import json

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.terminal.shown import Run, Shown, Style


def shown(data: bytes) -> Shown:
    screen = Screen(Size(rows=3, cols=20))
    screen.feed(data)
    return Shown.of(screen)


def test_text_is_the_rows_without_the_blank_ones_below() -> None:
    at = shown(b"one  \r\n\r\n  \x1b[2;3Htwo")
    assert at.rows == ("one", "  two", "")
    assert at.text == "one\n  two"


def test_plain_text_turns_nothing_round_and_hides_nothing() -> None:
    assert shown("a\u202eb\u200bc\r\nnext".encode()).plain == "a\ufffdb\ufffdc\nnext\n"
    assert shown(b"").plain == ""


@pytest.mark.parametrize(
    ("sequence", "style"),
    [
        (b"1;31", Style(bold=True, fg=1)),
        (b"2;3;4;5;7;9", Style(faint=True, italic=True, underline=True, blink=True, inverse=True, strike=True)),
        (b"97;104", Style(fg=15, bg=12)),
        (b"37;47", Style(fg=7, bg=7)),
        (b"38;5;200;48;5;17", Style(fg=200, bg=17)),
        (b"38;2;1;2;255", Style(fg="#0102ff")),
        (b"", Style()),
    ],
)
def test_a_style_is_what_the_session_set(sequence: bytes, style: Style) -> None:
    ((run,), *_) = shown(b"\x1b[%smx" % sequence).runs
    assert run == Run(0, 1, "x", style)


@pytest.mark.parametrize("broken", [";38", ";38;5", ";48;7;1"])
def test_a_colour_that_is_none_is_the_default(broken: str) -> None:
    assert Style.read(broken) in (Style(), Style(bold=True))


def test_runs_tell_the_columns_of_wide_characters_and_leave_out_the_blank_end() -> None:
    at = shown("a\u4e2d\u6587b \x1b[44m \x1b[m  ".encode())
    assert [(run.col, run.width, run.text) for run in at.runs[0]] == [
        (0, 1, "a"),
        (1, 2, "\u4e2d\u6587"),
        (5, 1, "b "),
        (7, 1, " "),
    ]
    assert at.runs[1] == ()


def test_the_document_is_json_of_a_shape_that_stays() -> None:
    at = shown(b"\x1b]2;a title\x07\x1b[?1h\x1b[?2004h\x1b[?1002h\x1b[?1049h\x1b[1mhi\x1b[m there\x1b[?25l")
    assert json.loads(json.dumps(at.document())) == {
        "v": 1,
        "size": {"rows": 3, "cols": 20},
        "cursor": {"row": 0, "col": 8, "visible": False},
        "title": "a title",
        "modes": {
            "application_cursor": True,
            "application_keypad": False,
            "bracketed_paste": True,
            "alternate_screen": True,
            "focus_events": False,
            "inverse_video": False,
            "mouse": "drag",
        },
        "rows": [
            {
                "text": "hi there",
                "runs": [{"col": 0, "width": 1, "text": "hi", "bold": True}, {"col": 2, "width": 1, "text": " there"}],
            },
            {"text": "", "runs": []},
            {"text": "", "runs": []},
        ],
    }


def test_palette_colour_nought_is_a_colour() -> None:
    assert Style.read(";30;40").document() == {"fg": 0, "bg": 0}
