"""Input for the child: in order, each byte once, acknowledged when it is written and not before."""

from __future__ import annotations

import random

import pytest

from codewrap.host.inputs import MAX_PENDING_BYTES, MAX_WRITERS, PendingInput


def write(pending: PendingInput, most: int = 1 << 30) -> bytes:
    """As a child that takes at most ``most`` bytes."""
    out = b""
    while pending and len(out) < most:
        block = bytes(pending.next()[: most - len(out)])
        pending.wrote(len(block))
        out += block
    return out


def test_nothing_waits_at_first() -> None:
    pending = PendingInput()
    pending.put_local(b"")
    assert not pending
    assert not pending.full
    assert pending.take_acknowledgements() == {}


def test_keyboard_and_writers_are_written_in_the_order_they_came() -> None:
    pending = PendingInput()
    pending.put_local(b"local ")
    pending.put_remote("a", 0, b"from a ")
    pending.put_remote("b", 0, b"from b ")
    pending.put_local(b"local again")
    assert write(pending) == b"local from a from b local again"
    assert pending.take_acknowledgements() == {"a": 7, "b": 7}
    assert pending.take_acknowledgements() == {}


def test_input_is_acknowledged_when_all_of_it_is_written() -> None:
    pending = PendingInput()
    pending.put_remote("a", 0, b"12345")
    pending.put_remote("a", 5, b"678")
    assert pending.take_acknowledgements() == {}
    assert write(pending, 3) == b"123"
    assert pending.take_acknowledgements() == {}
    assert write(pending, 2) == b"45"
    assert pending.take_acknowledgements() == {"a": 5}
    assert write(pending) == b"678"
    assert pending.take_acknowledgements() == {"a": 8}


def test_a_repeat_is_written_once_and_acknowledged_again() -> None:
    pending = PendingInput()
    pending.put_remote("a", 0, b"rm ")
    pending.put_remote("a", 0, b"rm ")
    assert pending.take_acknowledgements() == {"a": 0}, "somebody is there, and nothing is written yet"
    assert write(pending) == b"rm "
    assert pending.take_acknowledgements() == {"a": 3}
    pending.put_remote("a", 0, b"rm ")
    assert not pending
    assert pending.take_acknowledgements() == {"a": 3}
    pending.put_remote("a", 1, b"m file")
    assert write(pending) == b"file"


def test_input_ahead_of_a_loss_waits_and_is_not_acknowledged() -> None:
    pending = PendingInput()
    pending.put_remote("a", 3, b"def")
    assert not pending
    assert pending.take_acknowledgements() == {}
    pending.put_remote("a", 3, b"def")
    assert pending.take_acknowledgements() == {}
    pending.put_remote("a", 0, b"abc")
    assert write(pending) == b"abcdef"
    assert pending.take_acknowledgements() == {"a": 6}


def test_writers_have_streams_of_their_own() -> None:
    pending = PendingInput()
    pending.put_remote("a", 0, b"aa")
    pending.put_remote("b", 2, b"bb")
    pending.put_remote("a", 2, b"aa")
    assert write(pending) == b"aaaa"
    pending.put_remote("b", 0, b"BB")
    assert write(pending) == b"BBbb"


def test_a_child_that_does_not_read_stops_new_input_of_writers_and_repeats_go_on_after() -> None:
    pending = PendingInput()
    pending.put_remote("a", 0, b"first")
    pending.put_local(bytes(MAX_PENDING_BYTES - 6))
    assert not pending.full
    pending.put_local(b"x")
    assert pending.full
    pending.put_remote("a", 5, b"second")
    pending.put_remote("b", 0, b"other")
    assert len(write(pending)) == MAX_PENDING_BYTES
    assert not pending.full
    assert pending.take_acknowledgements() == {"a": 5, "b": 0}
    pending.put_remote("a", 5, b"second")
    pending.put_remote("b", 0, b"other")
    assert write(pending) == b"secondother"


def test_a_repeat_is_acknowledged_even_while_full() -> None:
    pending = PendingInput()
    pending.put_remote("a", 0, b"first")
    write(pending)
    pending.take_acknowledgements()
    pending.put_local(bytes(MAX_PENDING_BYTES))
    pending.put_remote("a", 0, b"first")
    assert pending.take_acknowledgements() == {"a": 5}


def test_a_child_that_reads_no_more_makes_all_void() -> None:
    pending = PendingInput()
    pending.put_local(bytes(MAX_PENDING_BYTES))
    pending.put_remote("a", 0, b"")
    pending.drop()
    assert not pending
    assert not pending.full
    pending.put_local(b"x")
    assert write(pending) == b"x"


def test_of_too_many_writers_the_one_that_was_silent_longest_is_forgotten() -> None:
    pending = PendingInput()
    pending.put_remote("first", 0, b"1")
    for number in range(MAX_WRITERS - 1):
        pending.put_remote(f"w{number}", 0, b".")
    pending.put_remote("first", 1, b"2")
    pending.put_remote("one more", 0, b".")
    pending.put_remote("first", 2, b"3")
    assert write(pending) == b"1" + b"." * (MAX_WRITERS - 1) + b"2.3"
    pending.put_remote("w0", 1, b"lost its place")
    assert not pending


@pytest.mark.parametrize("seed", range(20))
def test_writers_on_a_bad_relay_are_written_exactly_once(seed: int) -> None:
    rng = random.Random(seed)
    pending, out = PendingInput(), b""
    sent = {f"w{number}": bytes([65 + number]) * 100 for number in range(3)}
    acknowledged = dict.fromkeys(sent, 0)
    for _ in range(10_000):
        writer = rng.choice(list(sent))
        offset = rng.randrange(acknowledged[writer], 101)
        if rng.random() < 0.7:
            pending.put_remote(writer, offset, sent[writer][offset : offset + rng.randrange(30)])
        out += write(pending, rng.randrange(8))
        for name, end in pending.take_acknowledgements().items():
            assert acknowledged[name] <= end <= out.count(sent[name][:1]), f"seed {seed}"
            acknowledged[name] = end
        if all(end == 100 for end in acknowledged.values()):
            break
    assert acknowledged == dict.fromkeys(sent, 100), f"seed {seed}"
    assert sorted(out) == sorted(b"".join(sent.values())), f"seed {seed}"


def test_what_waits_of_some_writers_can_be_withdrawn() -> None:
    pending = PendingInput()
    pending.put_remote("b", 0, b"abc")
    pending.put_local(b"local")
    pending.put_remote("c", 0, b"def")
    pending.wrote(1)
    assert pending.withdraw({"b", "nobody"}) == ["b"]
    assert pending.withdraw({"b"}) == []
    assert bytes(pending.next()) == b"local"
    pending.wrote(5)
    assert bytes(pending.next()) == b"def"
    pending.wrote(3)
    assert not pending
    assert pending.take_acknowledgements() == {"c": 3}


def test_what_is_withdrawn_makes_room() -> None:
    pending = PendingInput()
    pending.put_remote("b", 0, bytes(MAX_PENDING_BYTES))
    was_full = pending.full
    pending.withdraw({"b"})
    assert (was_full, pending.full) == (True, False)


def test_a_stream_is_that_of_the_user_who_was_first_heard_with_it() -> None:
    pending = PendingInput()
    pending.put_remote("a", 0, b"mine ", "alice")
    for offset in (0, 5):
        pending.put_remote("a", offset, b"not yours", "mallory")
    pending.put_remote("a", 5, b"still mine", "alice")
    assert write(pending) == b"mine still mine"
    pending.put_remote("a", 0, b"mine ", "mallory")
    assert pending.take_acknowledgements() == {"a": 15}


def posted(at: int, number: int) -> str:
    return f"http-{at}-{number:032x}"


def test_nobody_can_make_what_another_typed_be_forgotten_and_written_again() -> None:
    pending = PendingInput()
    pending.put_remote("alice-1", 0, b"rm -r build\n", "alice")
    for number in range(3 * MAX_WRITERS):
        pending.put_remote(f"m{number}", 0, b".", "mallory")
        pending.put_remote(posted(1000, number), 0, b".", "alice")
    write(pending)
    pending.put_remote("alice-1", 0, b"rm -r build\n", "alice")
    assert not pending


def test_of_what_was_posted_and_forgotten_nothing_is_written_again() -> None:
    pending = PendingInput()
    for number in range(MAX_WRITERS + 500):
        pending.put_remote(posted(1000 + number, number), 0, b".", "alice")
    assert len(write(pending)) == MAX_WRITERS + 500
    for number in range(MAX_WRITERS + 500):
        pending.put_remote(posted(1000 + number, number), 0, b".", "alice")
    assert not pending
    pending.put_remote(posted(1000 + MAX_WRITERS + 500, 0), 0, b"new", "alice")
    pending.put_remote(posted(1, 0), 0, b"of another user", "bob")
    assert write(pending) == b"newof another user"
