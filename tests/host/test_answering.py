"""An answer is typed at the place that it was made for, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from codewrap.host.answering import GONE, REFUSED, TYPED, Answering
from codewrap.host.door import Door
from codewrap.host.inputs import PendingInput
from codewrap.protocol.admission import Admission, Share


class Bench:
    """After 120 bytes of output and 7 of input, where something is asked."""

    def __init__(self, share: Share = Share.ASK) -> None:
        self.inputs = PendingInput()
        self.inputs.put_local(b"1234567")
        self.inputs.wrote(7)
        self.door = Door(Admission(share, "anna"), self.inputs, lambda *_: None, clock=lambda: 1000.0)
        self.answering = Answering(self.door, self.inputs)

    def answers(self, end: int | None = 120, only_at: Any = (120, 7), text: str = "y\r") -> str:
        place = None if only_at is None else dict(zip(("offset", "typed"), only_at, strict=True))
        link, outcome = self.answering.take({"id": "c1", "text": text, "only_at": place}, end)
        assert link == "c1"
        return outcome

    def written(self) -> bytes:
        found = b""
        while self.inputs:
            data = bytes(self.inputs.next())
            self.inputs.wrote(len(data))
            found += data
        return found


@pytest.mark.parametrize("share", [Share.ASK, Share.WRITE])
def test_answer_is_typed_where_it_was_asked(share: Share) -> None:
    bench = Bench(share)
    assert bench.answers(text="é\r") == TYPED
    assert bench.written() == "é\r".encode()


def test_same_answer_is_not_typed_again_though_nothing_was_written() -> None:
    bench = Bench()
    assert bench.answers() == TYPED
    assert bench.written() == b"y\r"
    assert bench.answers() == GONE
    assert bench.written() == b""


@pytest.mark.parametrize(("end", "only_at"), [(121, (120, 7)), (119, (120, 7)), (120, (120, 6)), (None, (120, 7)), (120, None)])
def test_answer_for_another_place_is_not_typed(end: int | None, only_at: Any) -> None:
    bench = Bench()
    assert bench.answers(end, only_at) == GONE
    assert bench.written() == b""


@pytest.mark.parametrize("who", ["here", "afar"])
def test_whatever_somebody_types_makes_it_too_late(who: str) -> None:
    bench = Bench()
    if who == "here":
        bench.inputs.put_local(b"n")
    else:
        bench.inputs.put_remote("w", 0, b"n", "bob")
    assert bench.answers() == GONE
    assert bench.written() == b"n"
    assert bench.answers() == GONE
    assert bench.answers(only_at=(120, 8)) == TYPED


def test_answer_waits_behind_nothing_that_was_not_read() -> None:
    bench = Bench()
    bench.inputs.put_local(b"n")
    assert bench.answers(only_at=(120, 8)) == GONE


def test_where_nobody_may_type_or_whose_session_it_is_may_not_it_is_refused() -> None:
    assert Bench(Share.VIEW).answers() == REFUSED
    bench = Bench()
    bench.door.revoke("anna", 1000.0, "server")
    assert bench.answers() == REFUSED
    assert bench.written() == b""
