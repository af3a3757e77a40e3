"""The keyboard on its way: which keys are for codewrap itself, however the input is cut."""

from __future__ import annotations

import pytest

from codewrap.errors import ConfigError
from codewrap.viewer.keys import Action, KeyFilter, key_names, parse_detach_keys

CTRL_BRACKET = b"\x1d"
PASTE = b"\x1b[200~%s\x1b[201~"


def fed(*blocks: bytes, keys: bytes = CTRL_BRACKET, tilde: bool = True) -> tuple[bytes, Action | None]:
    """What goes on, and the first action."""
    keyboard = KeyFilter(keys, tilde=tilde)
    sent = b""
    for block in blocks:
        out, action = keyboard.feed(block)
        sent += out
        if action is not None:
            return sent, action
    return sent, None


CASES = [
    (b"plain text\r", b"plain text\r", None),
    (b"~.", b"", Action.DETACH),
    (b"ls\r~.", b"ls\r", Action.DETACH),
    (b"ls\n~.", b"ls\n", Action.DETACH),
    (b"ls ~.", b"ls ~.", None),
    (b"~~", b"~", None),
    (b"~~.", b"~.", None),
    (b"~/x", b"~/x", None),
    (b"\r~\r~.", b"\r~\r", Action.DETACH),
    (b"~\x1a", b"", Action.SUSPEND),
    (b"~?", b"", Action.HELP),
    (b"ab\x1dcd", b"ab", Action.DETACH),
    (PASTE % b"\r~.\x1d\r~?", PASTE % b"\r~.\x1d\r~?", None),
    (PASTE % b"x" + b"\x1d", PASTE % b"x", Action.DETACH),
    (PASTE % b"x\r" + b"~.", PASTE % b"x\r" + b"~.", None),  # the end of a paste is no start of a line
    (PASTE % b"x" + b"\r~.", PASTE % b"x" + b"\r", Action.DETACH),
    (b"\x1b[A\x1b[B", b"\x1b[A\x1b[B", None),
    (b"\x1b[3~.", b"\x1b[3~.", None),
    ("grüße ~.\r".encode(), "grüße ~.\r".encode(), None),
]


@pytest.mark.parametrize(("typed", "sent", "action"), CASES)
def test_keys_for_us_are_found_however_the_input_is_cut(typed: bytes, sent: bytes, action: Action | None) -> None:
    assert fed(typed) == (sent, action)
    for cut in range(1, len(typed)):
        for second in range(cut, len(typed)):
            assert fed(typed[:cut], typed[cut:second], typed[second:]) == (sent, action), (cut, second)
    assert fed(*(bytes((byte,)) for byte in typed)) == (sent, action)


@pytest.mark.parametrize("before", [b"", b"x", b"\r", b"\r~", b"~", b"\x10", b"\r\x10", b"\x1b[200~", b"\x1b[20"])
@pytest.mark.parametrize("filler", [b"x", b"\r", b"ab\n"])
@pytest.mark.parametrize("behind", [b"", b".", b"~.", b"\r~.", b"\x11", b"\x10\x11", b"\x1b[201~\r~."])
def test_a_long_block_is_what_its_bytes_are_one_by_one(before: bytes, filler: bytes, behind: bytes) -> None:
    typed = before + filler * 200 + behind
    keys = b"\x10\x11"
    expected = fed(*(bytes((byte,)) for byte in typed), keys=keys)
    assert fed(typed, keys=keys) == expected
    assert fed(before, filler * 200, behind, keys=keys) == expected
    assert fed(before + filler * 200, behind, keys=keys) == expected


def test_what_follows_the_keys_that_detach_is_not_sent() -> None:
    assert fed(b"a\x1drm -rf\r") == (b"a", Action.DETACH)


@pytest.mark.parametrize(
    ("typed", "sent", "action"),
    [
        (b"\x10\x11", b"", Action.DETACH),
        (b"a\x10b", b"a\x10b", None),
        (b"\x10\x10\x11", b"\x10", Action.DETACH),
        (b"\x11\x10", b"\x11", None),  # held: the next key decides
        (b"\x10\r~.", b"\x10\r", Action.DETACH),
        (b"\r\x10a~.", b"\r\x10a~.", None),
    ],
)
def test_a_sequence_of_keys_detaches_and_its_beginning_alone_goes_on(typed: bytes, sent: bytes, action: Action | None) -> None:
    assert fed(typed, keys=b"\x10\x11") == (sent, action)
    assert fed(*(bytes((byte,)) for byte in typed), keys=b"\x10\x11") == (sent, action)


def test_a_sequence_that_begins_within_itself_is_found() -> None:
    assert fed(b"aaab", keys=b"aab") == (b"a", Action.DETACH)


def test_without_keys_and_tilde_everything_goes_on() -> None:
    typed = bytes(range(256))
    assert fed(typed, keys=b"", tilde=False) == (typed, None)
    assert fed(b"~.", keys=b"", tilde=False) == (b"~.", None)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-]", b"\x1d"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("CTRL-A,d", b"\x01d"),
        ("ctrl-@", b"\x00"),
        ("ctrl-\\", b"\x1c"),
        ("ctrl-^", b"\x1e"),
        ("ctrl-_", b"\x1f"),
        ("q", b"q"),
        ("none", b""),
    ],
)
def test_keys_are_spelt_as_docker_spells_them(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["", ",", "ctrl-", "ctrl-pq", "ctrl-p,", "ab", "ctrl-é", "alt-x", "ctrl-1", " "])
def test_what_is_no_sequence_of_keys_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_detach_keys(text, "CODEWRAP_DETACH_KEYS")
    assert caught.value.setting == "CODEWRAP_DETACH_KEYS"


def test_keys_are_named_for_people() -> None:
    assert key_names(parse_detach_keys("ctrl-p,ctrl-q")) == "Ctrl-P Ctrl-Q"
    assert key_names(b"\x1d") == "Ctrl-]"
    assert key_names(b"q") == "q"
