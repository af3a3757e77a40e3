"""Evidence is gathered when output has paused, the state is written down, and prompts are told: the clock is turned by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Kind, Message
from codewrap.store.activity import Activity, read_activity
from codewrap.terminal.emulator import Screen
from codewrap.terminal.foreground import Blocked, Foreground
from codewrap.uplink.attendant import ANSWER_S, Attendant, OverhearingScreen, Senses
from codewrap.uplink.attention import LOOK_FIRST_S, PAUSE_S
from codewrap.uplink.notifier import SETTLE_S, Notifier
from codewrap.uplink.occurrence import KEYS, LINE, SECRET, Occurrence, Place

SIZE = Size(rows=6, cols=30)
EPOCH_S = 1_800_000_000.0


class Bench:
    """An attendant, a screen, and a host whose answers the test gives."""

    def __init__(self, directory: Path, *, silent_until: int = 0, pty: bool = True, calls: bool = False) -> None:
        self.directory = directory
        self.now_s = 1000.0
        self.sent: list[Message] = []
        self.told: list[Occurrence] = []
        self.found = Foreground(Blocked.BUSY, "make")
        self.engine = Screen(SIZE)
        self.end = self.fed_to = 0
        self.log = b""
        senses = Senses(self._send, lambda: self.now_s, lambda: EPOCH_S + self.now_s, lambda _, __: self.found)
        self.attendant = Attendant(directory, senses, Notifier("build", "run", self.told.append, lambda: EPOCH_S), calls=calls)
        self.screen = OverhearingScreen(self.engine, self.attendant, silent_until)
        self.attendant.begin(self, self.engine if pty else None)

    def _send(self, message: Message) -> bool:
        self.sent.append(message)
        return True

    def catch_up(self, most_bytes: int) -> bool:
        """As `Composer` does."""
        block = self.log[self.fed_to : self.fed_to + most_bytes]
        self.screen.feed(block)
        self.fed_to += len(block)
        return self.fed_to < len(self.log)

    def writes(self, data: bytes) -> None:
        self.log += data
        self.attendant.turn(len(self.log))

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.attendant.turn(len(self.log))

    def looks(self) -> int:
        return sum(message.kind is Kind.LOOK for message in self.sent)

    def answers(self, **changes: Any) -> None:
        header = {"here": False, "typed_s": 0.0, "canonical": True, "echo": True, "pid": 1, "group": 1} | changes
        self.attendant.hear(Message(Kind.LOOKED, header))

    def activity(self) -> Activity:
        found = read_activity(self.directory)
        assert found is not None
        return found

    def asks(self) -> None:
        """The command asks, and is looked at."""
        self.found = Foreground(Blocked.READS, "python3")
        self.writes(b"\r\nName: ")
        self.passes(PAUSE_S)
        self.answers()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_session_that_has_begun_works(bench: Bench) -> None:
    assert bench.activity() == Activity("working", EPOCH_S + 1000.0, ("it has begun",))


def test_look_is_taken_once_output_has_paused(bench: Bench) -> None:
    bench.writes(b"one\r\n")
    bench.passes(PAUSE_S / 2)
    bench.writes(b"two\r\n")
    bench.passes(PAUSE_S / 2)
    assert bench.looks() == 0
    assert bench.attendant.wait_s() == pytest.approx(PAUSE_S / 2)
    bench.passes(PAUSE_S / 2)
    assert bench.looks() == 1


def test_question_is_written_down_marked_and_told_once(bench: Bench) -> None:
    bench.asks()
    said = bench.activity()
    assert (said.state, said.prompt, said.offset, said.told) == ("awaiting input", "Name:", len(bench.log), False)
    assert said.since == EPOCH_S + bench.now_s
    marks = [message for message in bench.sent if message.kind is Kind.MARK]
    assert marks == [Message(Kind.MARK, {"what": "prompt", "values": ["Name:"]})]
    assert bench.told == []
    bench.passes(SETTLE_S)
    bench.answers()
    assert [told.text for told in bench.told] == ["Name:"]
    assert bench.activity().told
    assert bench.activity().since == said.since
    bench.passes(100.0)
    bench.answers()
    assert len(bench.told) == 1
    assert len([message for message in bench.sent if message.kind is Kind.MARK]) == 1


@pytest.mark.parametrize(
    ("modes", "reads"),
    [({}, LINE), ({"echo": False}, SECRET), ({"canonical": False}, KEYS), ({"canonical": False, "echo": False}, KEYS)],
)
def test_prompt_is_told_with_the_place_where_it_stands(bench: Bench, modes: dict[str, bool], reads: str) -> None:
    bench.found = Foreground(Blocked.READS, "python3")
    bench.writes(b"\r\nGo on? [y/N] ")
    bench.passes(PAUSE_S)
    bench.answers(typed=7, **modes)
    bench.passes(SETTLE_S)
    bench.answers(typed=9, **modes)
    assert [told.place for told in bench.told] == [Place(len(bench.log), 9, reads)]


def test_what_became_of_an_answer_is_passed_on(tmp_path: Path) -> None:
    said: list[tuple[str, ...]] = []
    attendant = Attendant(tmp_path, Senses(lambda _: True, answered=lambda *what: said.append(what)), None)
    attendant.hear(Message(Kind.ANSWERED, {"id": "c1", "outcome": "gone"}))
    assert said == [("c1", "gone")]


def test_line_above_speaks_where_the_cursor_stands_alone(bench: Bench) -> None:
    bench.found = Foreground(Blocked.READS, "sh")
    bench.writes("Wie heißt du, 你?\r\n\r\n".encode())
    bench.passes(PAUSE_S)
    bench.answers()
    assert bench.activity().prompt == "Wie heißt du, 你?"


def test_what_is_beyond_the_cursor_is_not_the_prompt(bench: Bench) -> None:
    bench.found = Foreground(Blocked.READS, "sh")
    bench.writes("你 Name: [anna]\x1b[6D".encode())
    bench.passes(PAUSE_S)
    bench.answers()
    assert bench.activity().prompt == "你 Name:"


def test_host_that_does_not_answer_is_not_asked_all_the_time(bench: Bench) -> None:
    bench.writes(b"one")
    bench.passes(PAUSE_S)
    assert bench.looks() == 1
    bench.passes(LOOK_FIRST_S)
    assert bench.looks() == 1
    bench.passes(ANSWER_S)
    assert bench.looks() == 2


def test_call_is_heard_in_the_output_and_forgotten_when_somebody_types(bench: Bench) -> None:
    bench.found = Foreground(Blocked.POLLS, "agent")
    bench.writes(b"\x1b]9;Approve?\x07> ")
    bench.passes(PAUSE_S)
    bench.answers(canonical=False, echo=False)
    assert bench.activity().prompt == "Approve?"
    bench.passes(1.0)
    bench.attendant.hear(Message(Kind.WRITTEN, {"acks": {"w": 1}}))
    bench.passes(PAUSE_S)
    bench.answers(canonical=False, echo=False)
    assert bench.activity().state == "idle"


def test_who_types_at_the_host_is_known_by_the_next_look(bench: Bench) -> None:
    bench.asks()
    bench.passes(SETTLE_S)
    bench.answers(here=True, typed_s=bench.now_s - 1.0)
    assert bench.told == []


def test_prompt_is_held_back_from_who_watches(bench: Bench) -> None:
    bench.attendant.watched_by(1)
    bench.asks()
    bench.passes(SETTLE_S)
    bench.answers()
    assert bench.told == []


def test_answer_that_nobody_asked_for_is_no_evidence(bench: Bench) -> None:
    bench.found = Foreground(Blocked.READS)
    bench.writes(b"Name: ")
    bench.answers()
    assert bench.activity().state == "working"


def test_end_is_told_and_nothing_is_asked_any_more(bench: Bench) -> None:
    bench.asks()
    bench.attendant.hear(Message(Kind.FINISH, {"code": 3, "signal": None}))
    assert [told.text for told in bench.told] == ["exit 3"]
    assert bench.attendant.wait_s() is None
    looks = bench.looks()
    bench.passes(100.0)
    assert bench.looks() == looks


@pytest.mark.parametrize(("output", "called"), [(b"", True), (b"\x1b[3", False)])
def test_terminal_of_the_host_calls_where_that_is_asked_for_and_it_is_at_rest(
    tmp_path: Path, output: bytes, called: bool
) -> None:
    bench = Bench(tmp_path, calls=True)
    bench.found = Foreground(Blocked.READS, "python3")
    bench.writes(b"Name: " + output)
    bench.passes(PAUSE_S)
    bench.answers()
    bench.passes(SETTLE_S)
    bench.answers()
    bench.passes(SETTLE_S)
    bench.answers()
    calls = [message.header for message in bench.sent if message.kind is Kind.CALL]
    assert calls == ([{"offset": len(bench.log), "text": "codewrap: Name:"}] if called else [])
    assert len(bench.told) == 1


def test_host_that_is_gone_is_not_asked(bench: Bench) -> None:
    bench.writes(b"one")
    bench.attendant.host_left()
    assert bench.attendant.wait_s() is None
    assert [told.text for told in bench.told] == ["lost: its host process is gone"]


def test_output_that_goes_on_is_written_down_as_work(bench: Bench) -> None:
    bench.asks()
    for _ in range(20):
        bench.now_s += 0.1
        bench.writes(b"line\r\n")
    assert bench.activity().state == "working"
    assert bench.looks() == 1


def test_next_uplink_goes_on_where_this_one_was(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.asks()
    first.passes(SETTLE_S)
    first.answers()
    assert len(first.told) == 1
    since = first.activity().since
    second = Bench(tmp_path, silent_until=100)
    assert second.activity().since == since
    second.now_s += 50.0
    second.asks()
    second.passes(SETTLE_S)
    second.answers()
    assert second.told == []
    assert [message for message in second.sent if message.kind is Kind.MARK] == []


def test_call_that_an_uplink_before_heard_is_not_heard_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, silent_until=5)
    bench.found = Foreground(Blocked.POLLS, "agent")
    bench.writes(b"ding\x07")
    bench.passes(PAUSE_S)
    bench.answers(canonical=False, echo=False)
    assert bench.activity().state == "working"


def test_of_pipes_only_the_end_is_known(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pty=False)
    bench.writes(b"Name: ")
    bench.passes(100.0)
    assert bench.sent == []
    assert bench.attendant.wait_s() is None
    bench.attendant.hear(Message(Kind.FINISH, {"code": 0, "signal": None}))
    assert [told.text for told in bench.told] == ["exit 0"]


def test_disk_that_refuses_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    bench = Bench(tmp_path / "there")
    (tmp_path / "there" / "activity.json").unlink()
    (tmp_path / "there").rmdir()
    bench.asks()
    bench.passes(SETTLE_S)
    bench.answers()
    assert len(bench.told) == 1


def test_screen_is_drawn_and_resized_as_without(bench: Bench) -> None:
    bench.screen.feed(b"x")
    bench.screen.resize(Size(rows=3, cols=10))
    assert bench.engine.size == Size(rows=3, cols=10)
    assert bench.screen.snapshot() == bench.engine.snapshot()
