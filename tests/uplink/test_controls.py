"""A server's word is heard once, and only while it is fresh."""

from __future__ import annotations

from codewrap.protocol.frames import Control
from codewrap.uplink.controls import MADE_WITHIN_S, MAX_HEARD, Heard

NOW = 1_800_000_000


def approval(name: str, at: int = NOW) -> Control:
    return Control(name, at, "approve", "alice")


def test_each_is_new_once() -> None:
    heard = Heard()
    assert heard.is_new(approval("a"), NOW)
    assert not heard.is_new(approval("a"), NOW + 1.0)
    assert not heard.is_new(approval("a", NOW + 5), NOW + 5.0), "whatever time it says it was made at"
    assert heard.is_new(approval("b"), NOW + 1.0)


def test_what_is_old_or_not_made_yet_is_not_heard() -> None:
    heard = Heard()
    assert heard.is_new(approval("a"), NOW + MADE_WITHIN_S)
    assert heard.is_new(approval("b"), NOW - MADE_WITHIN_S)
    assert not heard.is_new(approval("c"), NOW + MADE_WITHIN_S + 1)
    assert not heard.is_new(approval("d"), NOW - MADE_WITHIN_S - 1)


def test_what_was_forgotten_is_too_old_by_then() -> None:
    heard = Heard()
    for number in range(MAX_HEARD):
        assert heard.is_new(approval(f"c{number}"), NOW)
    later = NOW + 700
    assert heard.is_new(approval("fresh", later), later)
    assert not any(heard.is_new(approval(f"c{number}"), later) for number in range(MAX_HEARD))


def test_of_too_many_fresh_ones_none_is_heard_twice() -> None:
    heard = Heard()
    words = [approval(f"c{number}", NOW + number // 100) for number in range(3 * MAX_HEARD)]
    for word in words:
        heard.is_new(word, NOW)
    assert not any(heard.is_new(word, NOW) for word in words)
    assert heard.is_new(approval("after the flood", NOW + 500), NOW)
