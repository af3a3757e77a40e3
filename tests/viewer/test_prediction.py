"""Keys, the host's word that it has them, and the screen: what is foreseen, proven, and given up."""

from __future__ import annotations

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.viewer.prediction import ECHO_S, MAX_KEYS, Predictor

SIZE = Size(rows=4, cols=40)


class Typist:
    """Somebody at a session of which ``screen`` has come so far."""

    def __init__(self, shown: bytes = b"$ ") -> None:
        self.screen = Screen(SIZE)
        self.screen.feed(shown)
        self.predictor = Predictor()
        self.predictor.look(self.screen)
        self.now_s = 10.0
        self.typed_bytes = 0

    def types(self, keys: bytes) -> None:
        self.typed_bytes += len(keys)
        self.predictor.typed(keys, self.typed_bytes, self.screen)

    def acknowledged(self, offset: int | None = None) -> None:
        self.predictor.acknowledged(self.typed_bytes if offset is None else offset, self.now_s)

    def shows(self, output: bytes) -> None:
        self.screen.feed(output)
        self.predictor.look(self.screen)

    def echoed(self, output: bytes) -> None:
        self.acknowledged()
        self.shows(output)

    def later(self, seconds: float, round_trip_s: float = 0.0) -> bool:
        self.now_s += seconds
        return self.predictor.mind(self.screen, self.now_s, round_trip_s)

    @property
    def text(self) -> str | None:
        foreseen = self.predictor.foreseen()
        return None if foreseen is None else "".join(cell.char for cell in foreseen.cells if cell.width).rstrip()


def trusted() -> Typist:
    """One whose first key was echoed."""
    typist = Typist()
    typist.types(b"l")
    assert typist.text is None
    typist.echoed(b"l")
    assert typist.predictor.idle
    return typist


def test_an_echo_proves_the_epoch_and_keys_of_it_are_shown_at_once() -> None:
    typist = trusted()
    typist.types(b"s -l")
    assert typist.text == "$ ls -l"
    foreseen = typist.predictor.foreseen()
    assert foreseen is not None
    assert (foreseen.row, foreseen.col) == (0, 7)


def test_keys_are_answered_one_by_one_or_together_in_whatever_pieces() -> None:
    typist = trusted()
    typist.types(b"s -l")
    typist.acknowledged(3)
    typist.shows(b"s ")
    assert typist.text == "$ ls -l"
    typist.acknowledged()
    typist.shows(b"-")
    typist.shows(b"l")
    assert typist.text is None
    assert typist.predictor.idle


def test_an_echo_before_its_acknowledgement_is_somebody_else_s() -> None:
    typist = trusted()
    typist.types(b"s")
    typist.shows(b"s")
    assert typist.text is None
    typist.echoed(b"s")
    assert typist.predictor.idle


@pytest.mark.parametrize("key", [b"\r", b"\t", b"\x1b[A", b"\x03"])
def test_behind_a_key_of_unknown_effect_nothing_is_foreseen_until_it_has_come(key: bytes) -> None:
    typist = trusted()
    typist.types(b"s" + key)
    for char in (b"a", b"b", b"c"):
        typist.types(char)
    assert typist.text == "$ ls"
    typist.acknowledged(2 + len(key))
    typist.shows(b"s\r\n$ ")
    assert typist.text is None
    typist.acknowledged(3 + len(key))
    typist.shows(b"a")
    assert typist.text == "$ abc"  # the echo has proven the epoch that began behind the key


def test_a_key_of_no_effect_is_over_after_a_while() -> None:
    typist = trusted()
    typist.types(b"\x03")
    typist.acknowledged()
    assert typist.predictor.wait_s(typist.now_s, 0.0) == ECHO_S
    assert not typist.later(ECHO_S / 2)
    assert typist.later(ECHO_S / 2)
    assert typist.predictor.idle


def test_what_is_not_echoed_makes_everything_behind_it_doubtful() -> None:
    typist = trusted()
    typist.types(b"s")
    typist.acknowledged()
    typist.types(b"ecret")
    assert typist.text == "$ lsecret"
    assert typist.later(ECHO_S)
    assert typist.text is None
    assert not typist.predictor.idle


def test_on_a_slow_link_an_echo_may_take_a_round_trip_longer() -> None:
    typist = trusted()
    typist.types(b"s")
    typist.acknowledged()
    assert typist.predictor.wait_s(typist.now_s, 2.0) == 2.0
    assert not typist.later(1.9, round_trip_s=2.0)
    assert typist.text == "$ ls"
    assert typist.later(0.2, round_trip_s=2.0)


def test_what_is_taken_back_before_it_was_echoed_is_no_echo() -> None:
    typist = Typist(b"Password: ")
    typist.types(b"a\x7f")
    typist.acknowledged()
    typist.later(ECHO_S)
    typist.types(b"secret")
    assert typist.text is None


def test_movements_of_the_cursor_that_nobody_typed_end_the_trust() -> None:
    typist = trusted()
    typist.shows(b"\r\nPassword: ")
    typist.types(b"secret")
    assert typist.text is None


def test_output_elsewhere_does_not() -> None:
    typist = trusted()
    typist.types(b"s")
    typist.shows(b"\x1b7\x1b[4;1H12:00\x1b8")
    assert typist.text == "$ ls"


def test_where_it_cannot_be_said_how_it_would_look_nothing_is_foreseen() -> None:
    typist = trusted()
    typist.shows(b"\x1b[4h")
    typist.types(b"s")
    assert typist.text is None
    typist.echoed(b"s\x1b[4l")
    typist.types(b"x")
    typist.echoed(b"x")
    typist.types(b"y")
    assert typist.text == "$ lsxy"


def test_too_many_keys_under_way_are_not_followed() -> None:
    typist = trusted()
    for _ in range(MAX_KEYS + 1):
        typist.types(b"x")
    assert typist.predictor.idle
    assert typist.text is None


def test_what_is_forgotten_is_not_shown_and_not_waited_for() -> None:
    typist = trusted()
    typist.types(b"s")
    typist.predictor.forget()
    assert typist.text is None
    assert typist.predictor.wait_s(typist.now_s, 0.0) is None
    assert not typist.later(100.0)


def test_nothing_is_waited_for_before_it_is_acknowledged() -> None:
    typist = trusted()
    typist.types(b"s")
    assert typist.predictor.wait_s(typist.now_s, 0.0) is None
    assert not typist.later(100.0)
    assert typist.text == "$ ls"
