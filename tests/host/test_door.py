"""What becomes of frames of input: by whom they are, and what was said of those."""

from __future__ import annotations

from dataclasses import dataclass, field

from codewrap.host.door import MAX_CLOSED, MAX_EARLY, NOTICES_AT_ONCE, Door
from codewrap.host.inputs import PendingInput
from codewrap.protocol.admission import DENIED_S, HERE, MAX_REQUESTS, Admission, Share


@dataclass
class Book:
    """Where a door writes to."""

    entries: list[tuple[str, str, str, str]] = field(default_factory=list)
    decisions: list[tuple[str, str, str]] = field(default_factory=list)

    def accepted(self, *, writer: str, user: str, role: str, offset: int, size: int) -> None:
        assert (offset >= 0, size > 0) == (True, True)
        self.entries.append((user, role, writer, ""))

    def refused(self, *, writer: str, user: str, role: str, offset: int, size: int, why: str) -> None:
        assert (offset >= 0, size > 0, bool(why)) == (True, True, True)
        self.entries.append((user, role, writer, why))

    def decided(self, what: str, *, user: str, by: str, writer: str = "") -> None:
        assert writer or what != "asked"
        self.decisions.append((what, user, by))


class Bench:
    """A door, with the child's queue behind it and a clock beside it."""

    def __init__(self, share: Share = Share.ASK, own_user: str | None = "anna") -> None:
        self.now_s = 1000.0
        self.inputs = PendingInput()
        self.told: list[tuple[str, str]] = []
        self.book = Book()
        self.door = Door(Admission(share, own_user), self.inputs, self._tell, self.book, lambda: self.now_s)

    def _tell(self, kind: str, text: str, writer: str) -> None:
        assert text
        self.told.append((kind, writer))

    def types(self, user: str, writer: str, data: bytes = b"x", offset: int = 0) -> bool:
        return self.door.typed(user, "123456", writer, offset, data)

    def written(self) -> bytes:
        found = b""
        while self.inputs:
            data = bytes(self.inputs.next())
            self.inputs.wrote(len(data))
            found += data
        return found


def test_who_runs_the_session_types_without_asking() -> None:
    bench = Bench()
    assert bench.types("anna", "a1", b"ls")
    assert bench.types(HERE, "a2", b"\r")
    assert bench.written() == b"ls\r"
    assert bench.told == []


def test_answer_by_a_link_is_by_leave_of_who_runs_the_session_and_is_written_down_by_its_link() -> None:
    bench = Bench()
    assert bench.door.answered("c1", b"y\r", "")
    assert not bench.door.answered("c2", b"y\r", "the prompt has gone")
    bench.door.revoke("anna", 1000.0, "server")
    assert not bench.door.answered("c3", b"y\r", "")
    assert bench.written() == b"y\r"
    assert bench.book.entries == [
        ("link:c1", "answer", "", ""),
        ("link:c2", "answer", "", "the prompt has gone"),
        ("link:c3", "answer", "", "revoked"),
    ]


def test_nothing_is_answered_where_nobody_may_type_or_nobody_knows_whose_session_it_is() -> None:
    for bench in (Bench(Share.VIEW), Bench(own_user=None)):
        assert not bench.door.answered("c1", b"y\r", "")
        assert bench.written() == b""


def test_what_is_typed_before_leave_is_given_is_never_written() -> None:
    bench = Bench()
    assert not bench.types("bob", "b1", b"rm ")
    assert bench.told == [("asked", "b1")]
    bench.door.approve("bob", "here")
    assert bench.told[1:] == [("approved", "b1")]
    bench.now_s += 10
    assert not bench.types("bob", "b1", b"rm ")  # sent again: the word that it was dropped may be lost
    assert not bench.types("bob", "b1", b"-rf", offset=3)
    assert bench.told[2:] == [("approved", "b1")]
    assert bench.types("bob", "b2", b"ls")
    assert bench.written() == b"ls"


def test_another_user_cannot_close_a_stream() -> None:
    bench = Bench()
    bench.types("anna", "a1", b"one")
    bench.types("eve", "a1", b"two", offset=3)
    assert bench.types("anna", "a1", b"2", offset=3)
    assert bench.written() == b"one2"


def test_who_is_denied_hears_of_it_and_what_waits_is_dropped() -> None:
    bench = Bench()
    bench.door.approve("bob", "here")
    bench.types("bob", "b1", b"yes")
    bench.types("anna", "a1", b"ls")
    bench.door.deny("bob", "here")
    assert bench.told == [("denied", "b1")]
    assert bench.written() == b"ls"
    bench.now_s += 1
    assert not bench.types("bob", "b2")
    assert bench.told[1:] == [("denied", "b2")]
    bench.now_s += DENIED_S
    assert not bench.types("bob", "b3")
    assert bench.told[2:] == [("asked", "b3")]


def test_after_a_revocation_nothing_that_waits_is_written_and_no_more_is_taken() -> None:
    bench = Bench(Share.WRITE)
    bench.types("bob", "b1", b"yes")
    bench.door.revoke("bob", bench.now_s, "server")
    assert not bench.types("bob", "b2", b"no")
    assert bench.written() == b""
    assert [kind for kind, _ in bench.told] == ["revoked", "revoked"]
    bench.door.approve("bob", "here")
    bench.now_s += 1
    assert not bench.types("bob", "b1", b"yes"), "a stream that lacks something cannot go on"
    assert bench.types("bob", "b3", b"again")


def test_where_nobody_may_type_everybody_is_told() -> None:
    bench = Bench(Share.VIEW)
    assert not bench.types("anna", "a1")
    bench.now_s += 1
    assert not bench.types(HERE, "a2")
    assert not bench.types("bob", "b1")
    assert bench.told == [("denied", "a1"), ("denied", "a2"), ("denied", "b1")]
    assert not bench.door.approve("bob", "here")
    assert bench.written() == b""


def test_a_stream_may_come_by_the_lane_and_by_the_broker() -> None:
    bench = Bench()
    bench.types(HERE, "a1", b"one")
    bench.types("anna", "a1", b"onetwo")
    assert bench.written() == b"onetwo"


def test_until_it_is_known_whose_session_it_is_frames_wait_for_the_word() -> None:
    bench = Bench(own_user=None)
    assert not bench.types("anna", "a1", b"ls")
    assert not bench.types("bob", "b1", b"rm")
    assert not bench.door.admits("anna")
    assert bench.told == []
    bench.door.own_user("anna")
    bench.door.own_user("bob")  # said once
    assert bench.written() == b"ls"
    assert bench.told == [("asked", "b1")]
    assert bench.door.admits("anna")
    assert not bench.door.admits("bob")


def test_only_so_many_frames_wait_for_it() -> None:
    bench = Bench(own_user=None)
    for number in range(2 * MAX_EARLY):
        bench.types("anna", "a1", b"x", offset=number)
    bench.door.own_user("anna")
    assert len(bench.book.entries) == MAX_EARLY


def test_a_flood_of_frames_makes_few_notices() -> None:
    bench = Bench()
    for number in range(5000):
        bench.types("bob", f"b{number}")
        bench.now_s += 0.001
    assert 1 <= len(bench.told) <= 12
    for number in range(5000):
        bench.types(f"user{number}", "w")
    assert len(bench.told) <= 12 + NOTICES_AT_ONCE
    assert len(bench.door.admission.requests(bench.now_s)) == MAX_REQUESTS
    bench.told.clear()
    bench.now_s += 60
    bench.types("last", "l1")
    assert bench.told == [("denied", "l1")]


def test_a_clock_that_was_set_back_silences_nobody() -> None:
    bench = Bench()
    bench.types("bob", "b1")
    bench.now_s -= 500
    bench.types("bob", "b2")
    assert bench.told == [("asked", "b1"), ("asked", "b2")]


def test_it_is_written_down_what_became_of_each_frame() -> None:
    bench = Bench()
    bench.types("anna", "a1")
    bench.types(HERE, "a2")
    bench.types("bob", "b1")
    bench.door.approve("bob", "anna")
    bench.types("bob", "b1")
    bench.types("bob", "b2")
    bench.door.deny("bob", "anna")
    bench.door.revoke("bob", bench.now_s, "server")
    assert bench.book.entries == [
        ("anna", "host", "a1", ""),
        ("anna", "host", "a2", ""),
        ("bob", "writer", "b1", "asked"),
        ("bob", "writer", "b1", "typed before leave was given"),
        ("bob", "writer", "b2", ""),
    ]
    assert bench.book.decisions == [
        ("asked", "bob", "bob"),
        ("approved", "bob", "anna"),
        ("denied", "bob", "anna"),
        ("revoked", "bob", "server"),
    ]


def test_a_closed_stream_stays_closed_while_many_others_are() -> None:
    bench = Bench()
    bench.types("bob", "b1", b"rm")
    for number in range(2 * MAX_CLOSED):
        bench.types("eve", f"e{number}")
    bench.door.approve("bob", "here")
    assert not bench.types("bob", "b1", b"rm")


def test_a_frame_in_another_s_stream_is_neither_written_nor_taken_for_accepted() -> None:
    bench = Bench(Share.WRITE)
    assert bench.types("bob", "b1", b"ls")
    assert not bench.types("eve", "b1", b"rm", offset=2)
    assert bench.written() == b"ls"
    assert bench.book.entries[-1] == ("eve", "writer", "b1", "not this user's stream")
