"""Webhook events as values."""

from __future__ import annotations

import time

import pusher

from codewrap.broker.webhooks import HookEvent, HookEvents, retry_delays_s, signed_request
from tests.support.hub import APP


def test_a_return_within_three_seconds_takes_the_departure_back() -> None:
    told: list[HookEvent] = []
    hooks = HookEvents(told.append, 3.0)
    hooks.channel_vacated("a", 0.0)
    hooks.member_removed("a", "ann", 0.0)
    hooks.member_added("a", "ann")
    hooks.release(2.9)
    assert told == []
    hooks.release(3.0)
    assert told == [{"name": "channel_vacated", "channel": "a"}]
    hooks.channel_occupied("a")
    assert told[-1] == {"name": "channel_occupied", "channel": "a"}


def test_a_client_event_outside_presence_names_no_user() -> None:
    told: list[HookEvent] = []
    HookEvents(told.append, 3.0).client_event("private-a", "client-x", "1", "1.2", None)
    assert "user_id" not in told[0]


def test_counts_and_misses_are_told_at_once() -> None:
    told: list[HookEvent] = []
    hooks = HookEvents(told.append, 3.0)
    hooks.cache_miss("cache-a")
    hooks.subscription_count("a", 2)
    assert told == [
        {"name": "cache_miss", "channel": "cache-a"},
        {"name": "subscription_count", "channel": "a", "subscription_count": 2},
    ]


def test_the_official_library_accepts_the_signature() -> None:
    time_ms = int(time.time() * 1000)  # it refuses what is older than five minutes
    events: list[HookEvent] = [{"name": "channel_occupied", "channel": "é"}]
    body, headers = signed_request(APP, events, time_ms)
    official = pusher.Pusher(APP.app_id, APP.key, APP.secret)
    key, signature = headers["X-Pusher-Key"], headers["X-Pusher-Signature"]
    assert official.validate_webhook(key, signature, body.decode()) == {"time_ms": time_ms, "events": events}
    assert official.validate_webhook(key, signature, body.decode() + " ") is None


def test_attempts_go_on_for_about_five_minutes_with_growing_waits() -> None:
    delays = list(retry_delays_s())
    assert delays[:4] == [1, 2, 4, 8]
    assert max(delays) == 60
    assert 240 <= sum(delays) <= 300
