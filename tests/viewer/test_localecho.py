"""Predictions from the keyboard to the terminal: they come early where they should, and nothing of them is ever left."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codewrap.errors import ConfigError
from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.viewer.localecho import LocalEcho, Predict, parse_predict
from codewrap.viewer.screen import TerminalScreen
from tests.support.node import Node
from tests.terminal.test_xterm import drawn

SIZE = Size(rows=6, cols=20)


class Window:
    """A viewer's terminal, and beside it one that is shown the session alone. Stands in for a `Sink`."""

    full = waiting = closed = False

    def __init__(self, size: Size = SIZE) -> None:
        self.terminal = Screen(size)
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data
        self.terminal.feed(data)

    def drain(self, timeout_s: float) -> None:
        """All is written."""


class Attached:
    """One attachment with the session ``session`` in size, on a window of ``shown``."""

    def __init__(self, predict: Predict = Predict.ALWAYS, session: Size = SIZE, shown: Size = SIZE) -> None:
        self.session = Screen(session)
        self.window, self.plain = Window(shown), Window(shown)
        self.screen = TerminalScreen(cast(Any, self.window), shown, raw=False, allow_clipboard=False)
        self.truth = TerminalScreen(cast(Any, self.plain), shown, raw=False, allow_clipboard=False)
        self.echo = LocalEcho(predict, self.screen)
        self.now_s = 100.0
        self.typed = self.acknowledged = 0
        self.redrawn()

    def redrawn(self) -> None:
        data = self.session.snapshot()
        self.screen.redraw(data, self.session.size)
        self.truth.redraw(data, self.session.size)
        self.echo.redrawn()

    def types(self, keys: str) -> None:
        self.typed += len(keys.encode())
        self.echo.typed(keys.encode(), self.now_s)

    def acknowledges(self, count: int = 1_000_000) -> None:
        self.acknowledged = min(self.typed, self.acknowledged + count)
        self.echo.confirmed(self.typed - self.acknowledged, self.now_s)
        self.echo.look()

    def says(self, output: bytes) -> None:
        self.session.feed(output)
        self.truth.show(output)
        with self.screen.at_once():
            self.screen.show(output)
            self.echo.look()

    def later(self, seconds: float) -> bool:
        self.now_s += seconds
        return self.echo.mind(self.now_s)

    def answers(self, output: bytes, after_s: float = 0.6) -> None:
        """A round trip: everything typed arrives, and its echo comes."""
        self.now_s += after_s
        self.acknowledges()
        self.says(output)
        self.echo.mind(self.now_s)

    @property
    def row(self) -> str:
        """The row of the cursor, with what is underlined in brackets."""
        screen = self.window.terminal
        text = ""
        for cell in screen.cells(screen.cursor.row):
            if cell.width:
                text += f"[{cell.char}]" if ";4" in cell.style else cell.char
        return text.replace("][", "").rstrip()

    def is_exact(self) -> bool:
        return self.window.terminal.snapshot(100) == self.plain.terminal.snapshot(100)


def proven(predict: Predict = Predict.ALWAYS, session: Size = SIZE, shown: Size = SIZE) -> Attached:
    """At a prompt that was seen to echo."""
    viewer = Attached(predict, session, shown)
    viewer.says(b"$ ")
    viewer.types("e")
    viewer.answers(b"e")
    return viewer


# -- what is shown ---------------------------------------------------------------------------------------------


def test_first_character_waits_for_its_echo_and_those_behind_it_come_with_that() -> None:
    viewer = Attached()
    viewer.says(b"$ ")
    viewer.types("ls")
    assert viewer.row == "$"
    viewer.now_s += 0.6
    viewer.acknowledges(1)
    viewer.says(b"l")
    assert viewer.row == "$ l[s]"
    assert viewer.window.terminal.cursor.col == 4
    viewer.answers(b"s")
    assert viewer.row == "$ ls"
    assert viewer.is_exact()


def test_once_an_echo_was_seen_characters_are_shown_at_once_underlined_until_they_are_confirmed() -> None:
    viewer = proven()
    viewer.types("cho 日é")
    assert viewer.row == "$ e[cho 日é]"
    viewer.answers(b"cho")
    assert viewer.row == "$ echo[ 日é]"
    viewer.says(" 日é".encode())
    assert viewer.row == "$ echo 日é"
    assert viewer.is_exact()


def test_characters_take_the_style_that_the_echo_will_have() -> None:
    viewer = Attached()
    viewer.says(b"$ \x1b[1;32m")
    viewer.types("a")
    viewer.answers(b"a")
    viewer.types("b")
    assert viewer.window.terminal.cells(0)[3].style == ";1;4;32"
    viewer.answers(b"b")
    assert viewer.is_exact()


def test_backspace_and_arrows_are_foreseen_too() -> None:
    viewer = proven()
    viewer.types("cho")
    viewer.answers(b"cho")
    viewer.types("\x7f")
    assert (viewer.row, viewer.window.terminal.cursor.col) == ("$ ech", 5)
    viewer.answers(b"\b \b")
    viewer.types("\x1b[D\x1b[D")
    assert viewer.window.terminal.cursor.col == 3
    viewer.types("X")
    assert viewer.row == "$ e[X]ch"
    viewer.answers(b"\b\bXch\b\b")
    assert (viewer.row, viewer.window.terminal.cursor.col) == ("$ eXch", 4)
    viewer.types("\x1bOC")
    assert viewer.window.terminal.cursor.col == 5
    viewer.answers(b"c")
    assert viewer.is_exact()


def test_nothing_is_shown_of_a_line_that_begins_after_return_until_it_is_echoed() -> None:
    viewer = proven()
    viewer.types("\rx")
    assert viewer.row == "$ e"
    viewer.answers(b"\r\n$ ")
    viewer.types("y")
    assert viewer.row == "$"
    viewer.answers(b"x")
    assert viewer.row.startswith("$ x")


def test_no_password_is_shown() -> None:
    viewer = proven()
    viewer.types("\r")
    viewer.answers(b"\r\nPassword: ")
    for key in "s3cret\x7ft":
        viewer.types(key)
        assert viewer.row == "Password:"
        viewer.now_s += 0.6
        viewer.acknowledges()
        viewer.later(1.0)
        assert viewer.row == "Password:"
    assert viewer.is_exact()


def test_a_password_that_is_asked_for_in_the_midst_of_a_line_is_not_shown() -> None:
    viewer = proven()
    viewer.says(b"\r\nPassword: ")
    viewer.types("s3cret\x7f\x7f")
    assert viewer.row == "Password:"
    viewer.answers(b"")
    viewer.later(1.0)
    viewer.types("x")
    assert viewer.row == "Password:"


def test_letters_that_are_commands_show_only_what_they_do() -> None:
    viewer = Attached()
    viewer.says(b"\x1b[?1049h\x1b[Hone\r\ntwo\r\nthree\x1b[H")
    for _ in range(2):
        viewer.types("j")
        assert "j" not in viewer.row
        viewer.answers(b"\n")
        viewer.later(1.0)
        assert viewer.is_exact()


def test_what_is_not_echoed_in_time_is_withdrawn() -> None:
    viewer = proven()
    viewer.types("cho")
    assert viewer.row == "$ e[cho]"
    viewer.now_s += 0.6
    viewer.acknowledges()
    assert viewer.echo.wait_s(viewer.now_s) == pytest.approx(0.6)
    viewer.later(0.59)
    assert viewer.row == "$ e[cho]"
    viewer.later(0.02)
    assert viewer.row == "$ e"
    assert viewer.is_exact()
    assert viewer.echo.wait_s(viewer.now_s) is None


def test_what_comes_otherwise_takes_its_place_at_once() -> None:
    viewer = proven()
    viewer.types("cho")
    viewer.answers(b"***")
    assert viewer.row == "$ e***"
    assert viewer.is_exact()


def test_what_was_not_acknowledged_stays() -> None:
    viewer = proven()
    viewer.types("cho")
    viewer.later(30.0)
    assert viewer.row == "$ e[cho]"
    viewer.echo.forget()
    assert viewer.row == "$ e"
    assert viewer.is_exact()


def test_the_last_column_is_left_to_the_session() -> None:
    viewer = proven()
    viewer.types("x" * 30)
    assert viewer.row == "$ e[" + "x" * 16 + "]"
    assert viewer.window.terminal.cursor.col == 19
    viewer.answers(b"x" * 30)
    assert viewer.is_exact()


@pytest.mark.parametrize(
    "strange",
    [
        b"\x1b[4h",
        b"\x1b(0",
        b"\x1b[?6h\x1b[2;3H",
        b"\x1b[?7l",
        b"\x1b[8m",
        b"\x1b]8;;https://example.com\x1b\\",
        "e\u0301".encode(),
    ],
)
def test_where_it_cannot_be_said_how_it_would_look_nothing_is_shown(strange: bytes) -> None:
    viewer = proven()
    viewer.says(strange)
    viewer.types("a")
    viewer.answers(b"a")
    before = viewer.window.written
    viewer.types("b")
    assert viewer.window.written == before


def test_a_hidden_cursor_is_no_line_that_is_typed_into() -> None:
    viewer = proven()
    viewer.says(b"\x1b[?25l")
    viewer.types("a")
    assert viewer.row == "$ e"


def test_in_another_size_predictions_are_drawn_where_the_session_s_screen_is() -> None:
    viewer = proven(session=Size(rows=30, cols=100), shown=SIZE)
    viewer.types("cho")
    assert viewer.row == "$ e[cho]"
    viewer.answers(b"cho")
    viewer.says(b"\x1b[25;60H> ")
    viewer.types("a")
    viewer.answers(b"a")
    viewer.types("b")
    assert viewer.row.endswith("> a[b]") or viewer.row.endswith("> a")  # the last column that is shown is left free
    viewer.answers(b"b")
    assert viewer.is_exact()


def test_a_status_line_is_not_drawn_over() -> None:
    viewer = proven()
    viewer.types("a")
    viewer.screen.say("the link is slow")
    viewer.later(0.0)
    viewer.types("b")
    assert "[" not in viewer.row
    viewer.says(b"\r\n")
    viewer.redrawn()
    assert viewer.is_exact()


def test_leaving_takes_predictions_along() -> None:
    viewer = proven()
    viewer.types("cho")
    viewer.screen.leave()
    viewer.truth.leave()
    assert viewer.is_exact()


# -- when ------------------------------------------------------------------------------------------------------


def test_on_a_fast_link_nothing_is_kept_and_nothing_shown() -> None:
    viewer = Attached(Predict.AUTO)
    viewer.says(b"$ ")
    for _ in range(20):
        viewer.types("a")
        viewer.answers(b"a", after_s=0.01)
    viewer.types("b")
    assert viewer.row.endswith("a")
    assert not viewer.echo.active
    assert viewer.screen.canvas is None


def test_on_a_slow_link_predictions_begin_with_the_next_screen_and_end_when_it_is_fast() -> None:
    viewer = Attached(Predict.AUTO)
    viewer.says(b"$ ")
    viewer.types("a")
    viewer.now_s += 0.2
    viewer.acknowledges()
    viewer.says(b"a")
    assert viewer.echo.is_due
    assert viewer.later(0.0)  # a screen is asked for
    viewer.types("b")
    assert viewer.row == "$ a"
    viewer.answers(b"b", after_s=0.2)
    viewer.redrawn()
    viewer.types("c")
    viewer.answers(b"c", after_s=0.2)
    viewer.types("d")
    assert viewer.row == "$ abc[d]"
    viewer.answers(b"d", after_s=0.2)
    for _ in range(30):
        viewer.types("\r")
        viewer.answers(b"\r\n", after_s=0.001)
        viewer.later(1.0)
    assert not viewer.echo.active
    assert viewer.screen.canvas is None


def test_never_is_never() -> None:
    viewer = proven(Predict.NEVER)
    viewer.types("abc")
    assert viewer.row == "$ e"
    assert viewer.echo.round_trip.smoothed_s is None


def test_the_option_is_one_of_three_words() -> None:
    assert [parse_predict(word) for word in ("auto", "Always", "never")] == list(Predict)
    with pytest.raises(ConfigError, match="--predict"):
        parse_predict("sometimes")


# -- never left wrong ------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [*"aab x日é🙂", "\x7f", "\x7f", "\x1b[D", "\x1b[C", "\r", "\t", "\x1b", "\x1b[A", "\x03", "hello", "e\u0301"]
)
WORDS = """a b ab hello 日 é 12345678901234567890 1234567890123456789 e\u0301""".split()
CONTROLS = ["\b \b", "\b", "x\b", "\r\n$ ", "\r\n", "\n\n\n", "\x0e", "\x0f", " "]
SEQUENCES = """[H [2J [K [3;5H [6;19H [1;31m [m [4;7m [48;5;200m [4h [4l [?6h [?6l [2;4r [r [?7l [?7h 7 8 [?1049h [?1049l (0 (B
    [P [@ [L [M M [?25l [?25h [!p c [5X [8m [?2026h [?2026l [b [3b""".split()
SAID = [*WORDS, *CONTROLS, *("\x1b" + sequence for sequence in SEQUENCES)]
OUTPUTS = st.one_of(st.sampled_from([text.encode() for text in SAID]), st.binary(max_size=12))
STEPS = st.one_of(
    st.tuples(st.just("type"), KEYS),
    st.tuples(st.just("say"), OUTPUTS),
    st.tuples(st.just("echo"), st.integers(1, 8)),
    st.tuples(st.just("acknowledge"), st.integers(1, 8)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.05, 0.3, 2.0])),
    st.tuples(st.just("redraw"), st.none()),
    st.tuples(st.just("forget"), st.none()),
)
SIZES = st.sampled_from([SIZE, Size(rows=10, cols=40), Size(rows=3, cols=8)])


def played(viewer: Attached, steps: list[tuple[str, Any]]) -> int:
    """Act it out. Returns how often a prediction lay on the terminal; whenever none does, the terminal must be exact."""
    unechoed = ""
    seen = 0
    for what, how in steps:
        if what == "type":
            viewer.types(how)
            unechoed += how
        elif what == "say":
            viewer.says(how)
        elif what == "echo":
            said, unechoed = unechoed[:how], unechoed[how:]
            viewer.acknowledges(len(said.encode()))
            viewer.says(said.replace("\x7f", "\b \b").replace("\r", "\r\n$ ").encode())
        elif what == "acknowledge":
            viewer.acknowledges(how)
        elif what == "wait":
            viewer.later(how)
        elif what == "redraw":
            viewer.redrawn()
        else:
            viewer.echo.forget()
        seen += not viewer.is_exact()
    return seen


@settings(max_examples=300, deadline=None)
@given(SIZES, st.lists(STEPS, max_size=60))
@example(SIZE, [("say", b"$ "), ("type", "a"), ("echo", 1), ("type", "b"), ("type", "\x7f"), ("wait", 2.0)])
def test_whatever_happens_the_terminal_shows_the_session_exactly_when_all_is_over(
    session: Size, steps: list[tuple[str, Any]]
) -> None:
    viewer = Attached(session=session)
    played(viewer, steps)
    viewer.acknowledges()
    viewer.later(60.0)
    viewer.later(60.0)
    assert viewer.window.terminal.text() == viewer.plain.terminal.text()
    assert viewer.is_exact()


@settings(max_examples=150, deadline=None)
@given(SIZES, st.lists(STEPS, max_size=40), OUTPUTS)
def test_output_takes_a_prediction_away_before_it_is_shown(session: Size, steps: list[tuple[str, Any]], output: bytes) -> None:
    viewer = Attached(session=session)
    played(viewer, steps)
    viewer.screen.show(output)
    viewer.truth.show(output)
    assert viewer.is_exact()


STRANGE = [
    "e\u0301",
    "\u26a0\ufe0f",
    "\U0001f44d\U0001f3fd",
    "\x1b]8;;https://example.com\x1b\\",
    "\x1b]8;;\x1b\\",
    "\x1b[4:3m",
    "\x1b[53m",
]
STRANGE += ["\x1b[2 @", "\x1b[?69h\x1b[3;9s", "\x1b#6", "\x1bn", "\x1b(A", "\x1b[?2J", "\x1b[2;2;3;5$z", "\x1b[?45h", "\x1b[2'}"]
ORDINARY = [
    "a",
    "b",
    "ab",
    "hello",
    " ",
    "\b \b",
    "\b",
    "\r\n$ ",
    "\r\n",
    "日",
    "é",
    "\x1b[H",
    "\x1b[H\x1b[2J",
    "\x1b[K",
    "\x1b[3;5H",
]
ORDINARY += [
    "\x1b[1;31m",
    "\x1b[m",
    "\x1b[4;7m",
    "\x1b[48;5;20m",
    "\x1b[2;4r",
    "\x1b[r",
    "\x1b7",
    "\x1b8",
    "\x1b[?1049h",
    "\x1b[?1049l",
]


def some_steps(generator: random.Random) -> list[tuple[str, Any]]:
    """Somebody types at a prompt that mostly echoes; now and then something else is said."""
    steps: list[tuple[str, Any]] = [("say", b"$ ")]
    for _ in range(40):
        roll = generator.random()
        if roll < 0.45:
            steps.append(("type", generator.choice([*"abc x日", "\x7f", "\x1b[D", "\r"])))
        elif roll < 0.8:
            steps.append(("echo", generator.randint(1, 4)))
        elif roll < 0.93:
            steps.append(("say", generator.choice(ORDINARY).encode()))
        elif roll < 0.96:
            steps.append(("say", generator.choice(STRANGE).encode()))
        else:
            steps.append(("wait", 2.0))
    return steps


def test_another_author_s_terminal_shows_the_session_exactly_too(node: Node) -> None:
    """The engine that predictions are drawn by is not the terminal that they are drawn on."""
    probe = b"probe\x1b8saved"  # in the style that is left, and where the session has saved its cursor
    streams: list[list[bytes]] = []
    seen = 0
    for seed in range(250):
        viewer = Attached(session=SIZE if seed % 4 else Size(rows=10, cols=40))
        seen += played(viewer, some_steps(random.Random(seed)))
        viewer.acknowledges()
        viewer.later(60.0)
        for shown in (viewer.screen, viewer.truth):
            shown.show(probe)
        streams += [[viewer.window.written], [viewer.plain.written]]
    states = drawn(node, streams, SIZE)
    assert [number for number in range(250) if states[2 * number] != states[2 * number + 1]] == []
    assert seen > 500


def test_such_a_session_does_show_predictions() -> None:
    steps = [("say", b"$ "), ("type", "a"), ("echo", 1), *[("type", "x"), ("type", "b"), ("echo", 1)] * 5]
    assert played(Attached(), steps) >= 5
