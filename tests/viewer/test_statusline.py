"""What is said, where, and for how long."""

from __future__ import annotations

from codewrap.viewer.statusline import NOTE_S, StatusLine


class Shown:
    """A terminal's status line; also what goes to stderr."""

    def __init__(self) -> None:
        self.status = ""
        self.written = b""

    def say(self, text: str) -> None:
        self.status = text

    def write(self, data: bytes) -> None:
        self.written += data


def test_a_note_stays_for_a_while_and_is_to_go_then() -> None:
    shown = Shown()
    line = StatusLine("demo", shown, shown)
    line.note("mind the gap", 1.0)
    assert shown.status == " [codewrap] mind the gap "
    assert not line.show_link("", 0, 1.0 + NOTE_S - 0.1)
    assert line.show_link("", 0, 1.0 + NOTE_S)
    assert shown.written == b""


def test_the_state_of_the_link_covers_a_note_and_goes_with_it() -> None:
    shown = Shown()
    line = StatusLine("demo", shown, shown)
    line.note("mind the gap", 1.0)
    assert not line.show_link("link lost 1 s ago", 0, 9.0)
    assert shown.status == " [codewrap] demo: link lost 1 s ago "
    assert line.show_link("", 0, 9.0)


def test_what_was_typed_meanwhile_is_told_with_it() -> None:
    shown = Shown()
    line = StatusLine("demo", shown, shown)
    line.show_link("link lost 1 s ago", 3, 1.0)
    assert shown.status.endswith("; 3 typed bytes wait ")
    line.dropped(3, 11.0)
    assert "3 typed bytes could not be delivered" in shown.status
    line.show_link("link lost 12 s ago", 0, 12.0)
    assert shown.status.endswith("; 3 typed bytes dropped ")
    line.connected()
    line.show_link("the host is away for 2 s", 0, 20.0)
    assert "dropped" not in shown.status


def test_what_others_show_there_is_left_alone() -> None:
    shown = Shown()
    shown.say(" ~. detach")
    assert not StatusLine("demo", shown, shown).show_link("", 0, 100.0)


def test_without_a_terminal_notes_go_to_stderr_and_the_link_is_not_told() -> None:
    shown = Shown()
    line = StatusLine("demo", None, shown)
    line.note("mind the gap", 1.0)
    assert not line.show_link("link lost 1 s ago", 0, 2.0)
    assert shown.written == b"[codewrap] mind the gap\n"


def test_a_note_has_its_time_though_the_screen_is_drawn_anew() -> None:
    """In a flood screens come many times a second."""
    shown = Shown()
    line = StatusLine("demo", shown, shown)
    line.note("mind the gap", 1.0)
    shown.say("")
    line.redrawn(1.0 + NOTE_S / 2)
    assert shown.status == " [codewrap] mind the gap "
    shown.say("")
    line.redrawn(1.0 + NOTE_S)
    assert shown.status == ""
