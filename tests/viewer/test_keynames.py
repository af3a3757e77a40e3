"""Keys by name: what is sent for them, and what is no key."""

from __future__ import annotations

import pytest

from codewrap.viewer.keynames import UnknownKey, check, encode, split


def sent(name: str, *, application_cursor: bool = False, enter: bytes = b"\r") -> bytes:
    return encode([name], application_cursor=application_cursor, enter=enter)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("C-c", b"\x03"),
        ("^C", b"\x03"),
        ("C-[", b"\x1b"),
        ("C-@", b"\0"),
        ("C-Space", b"\0"),
        ("C-?", b"\x7f"),
        ("M-x", b"\x1bx"),
        ("C-M-a", b"\x1b\x01"),
        ("M-C-a", b"\x1b\x01"),
        ("M-Enter", b"\x1b\r"),
        ("x", b"x"),
        ("é", "é".encode()),
        ("^", b"^"),
        ("-", b"-"),
        ("Comma", b","),
        ("Enter", b"\r"),
        ("Tab", b"\t"),
        ("BTab", b"\x1b[Z"),
        ("S-Tab", b"\x1b[Z"),
        ("Escape", b"\x1b"),
        ("Esc", b"\x1b"),
        ("Space", b" "),
        ("BSpace", b"\x7f"),
        ("Up", b"\x1b[A"),
        ("down", b"\x1b[B"),
        ("Home", b"\x1b[H"),
        ("S-Up", b"\x1b[1;2A"),
        ("C-Right", b"\x1b[1;5C"),
        ("C-M-S-Left", b"\x1b[1;8D"),
        ("PPage", b"\x1b[5~"),
        ("PageDown", b"\x1b[6~"),
        ("C-DC", b"\x1b[3;5~"),
        ("F1", b"\x1bOP"),
        ("S-F4", b"\x1b[1;2S"),
        ("F5", b"\x1b[15~"),
        ("F6", b"\x1b[17~"),
        ("F12", b"\x1b[24~"),
    ],
)
def test_a_key_sends_what_xterm_sends(name: str, data: bytes) -> None:
    assert sent(name) == data


def test_the_arrows_follow_application_cursor_mode_unless_modified() -> None:
    assert sent("Up", application_cursor=True) == b"\x1bOA"
    assert sent("End", application_cursor=True) == b"\x1bOF"
    assert sent("C-Up", application_cursor=True) == b"\x1b[1;5A"
    assert sent("PgUp", application_cursor=True) == b"\x1b[5~"


def test_enter_is_what_the_session_takes_for_it() -> None:
    assert encode(["a", "Enter"], application_cursor=False, enter=b"\n") == b"a\n"


@pytest.mark.parametrize("name", ["", "Foo", "C-", "C-é", "C-1", "S-a", "F13", "F0", "X-a", "C-Enter", "S-Space", "ab", "^xy"])
def test_what_is_no_key_is_said_by_name(name: str) -> None:
    with pytest.raises(UnknownKey) as caught:
        check(["Enter", name])
    assert caught.value.key == name


def test_names_are_separated_by_commas_and_a_blank_is_a_key() -> None:
    assert split("C-c, Enter,Up") == ["C-c", "Enter", "Up"]
    assert split(" ") == [" "]
    assert sent(" ") == b" "
