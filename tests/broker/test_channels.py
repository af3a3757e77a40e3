"""Membership, fan-out and the cache."""

from __future__ import annotations

from codewrap.broker.channels import Channels, EventCache
from codewrap.broker.connections import Connection
from codewrap.broker.names import parse_channel
from tests.support.hub import Recorder


def test_a_frame_goes_to_all_but_the_excepted_socket() -> None:
    channel = Channels().open(parse_channel("a", 10))
    sinks = [Recorder() for _ in range(3)]
    for number, sink in enumerate(sinks):
        channel.subscribers[Connection(f"1.{number}", sink, 7, 0.0, 0.0)] = None
    channel.send("{}", except_socket="1.1")
    assert [len(sink.texts) for sink in sinks] == [1, 0, 1]


def test_channels_are_made_once_and_forgotten() -> None:
    channels = Channels()
    channel = channels.open(parse_channel("presence-a", 20))
    assert channels.open(parse_channel("presence-a", 20)) is channel
    assert channel.roster is not None
    assert list(channels) == [channel]
    channels.drop(channel)
    assert channels.get("presence-a") is None


def test_the_cache_keeps_the_last_event_until_it_expires() -> None:
    cache = EventCache(ttl_s=10, max_events=5)
    cache.keep("a", "one", "1", now_s=0)
    cache.keep("a", "two", "2", now_s=5)
    event = cache.get("a", 14.9)
    assert event is not None
    assert (event.name, event.data) == ("two", "2")
    assert cache.get("a", 15) is None
    assert cache.get("b", 0) is None


def test_the_cache_is_bounded_and_the_oldest_goes_first() -> None:
    cache = EventCache(ttl_s=10, max_events=2)
    for number, channel in enumerate(["a", "b", "a", "c"]):
        cache.keep(channel, "e", "d", now_s=number)
    assert cache.get("b", 4) is None
    assert cache.get("a", 4) is not None
    cache.forget_expired(12.5)
    assert cache.get("a", 4) is None
    assert cache.get("c", 4) is not None
