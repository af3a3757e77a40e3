"""Keeping a connection: fresh signatures, back-off, silence, and leaving from anywhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from codewrap.errors import AuthError, LocalProtocolError, TransportError
from codewrap.protocol.grants import Grant
from codewrap.transport.base import (
    Authorization,
    Authorizer,
    ClientEventsRefused,
    ConnectionState,
    Received,
    Renewed,
    RetryLater,
    Silence,
    StateChanged,
    Subscribed,
    SubscriberEvent,
    SubscriptionFailed,
)
from codewrap.transport.channels_client import MAX_CHANNELS
from codewrap.transport.keeper import KeptSubscriber, Timing
from tests.support.deliveries import Deliveries
from tests.support.wires import MemoryWire, ScriptedAuthorizer, Wires

QUICK = Timing(first_retry_s=0.01, longest_retry_s=0.02)
SUCCEEDED = "pusher_internal:subscription_succeeded"


@contextmanager
def kept(
    wires: Wires, deliveries: Deliveries, authorizer: Authorizer | None = None, timing: Timing = QUICK, *, sign_in: bool = False
) -> Iterator[KeptSubscriber]:
    subscriber = KeptSubscriber(wires, authorizer or ScriptedAuthorizer(), deliveries, timing=timing, sign_in=sign_in)
    subscriber.start()
    try:
        yield subscriber
    finally:
        subscriber.close()


def work(wire: MemoryWire, channel: str, socket_id: str = "1.1") -> None:
    """Play a broker until ``channel`` is subscribed."""
    wire.greets(socket_id)
    assert wire.hears("pusher:subscribe")["data"] == {"channel": channel, "auth": f"k:{socket_id}"}
    wire.says(SUCCEEDED, "{}", channel)


def test_each_connection_is_authorized_afresh_and_off_the_wires_thread() -> None:
    wires, deliveries, authorizer = Wires(), Deliveries(), ScriptedAuthorizer()
    with kept(wires, deliveries, authorizer) as subscriber:
        subscriber.subscribe("private-a")
        wire = wires.next()
        work(wire, "private-a", "1.1")
        deliveries.wait_for(Subscribed)
        wire.ends(None, "gone")
        waited = deliveries.wait_for_state(ConnectionState.RECONNECTING)
        assert waited.reason == "gone"
        assert waited.retry_in_s is not None
        work(wires.next(), "private-a", "2.2")
        deliveries.wait_for(Subscribed)
    assert authorizer.asked == [("private-a", "1.1"), ("private-a", "2.2")]
    assert set(authorizer.threads) == {"subscriber-authorizer"}


def test_states_are_told_in_order() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries):
        wires.next().ends(None, "no route")
        wires.next().greets()
        deliveries.wait_for_state(ConnectionState.CONNECTED)
    states = [event.state.name for event in deliveries.all if isinstance(event, StateChanged)]
    assert states == ["CONNECTING", "UNAVAILABLE", "RECONNECTING", "CONNECTING", "CONNECTED", "CLOSED"]


@pytest.mark.parametrize("by_frame", [True, False])
def test_a_final_code_ends_the_attempts(by_frame: bool) -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries):
        wire = wires.next()
        if by_frame:
            wire.says("pusher:error", {"code": 4001, "message": "no such app"})
        wire.ends(4001, "no such app")
        failed = deliveries.wait_for_state(ConnectionState.FAILED)
        assert failed.reason == "no such app (4001)"
        assert wire.closed.wait(5)
    assert [event.state.name for event in deliveries.all if isinstance(event, StateChanged)] == ["CONNECTING", "FAILED", "CLOSED"]


@pytest.mark.parametrize("by_frame", [True, False])
def test_who_was_let_in_and_is_sent_away_asks_once_more_why(by_frame: bool) -> None:
    authorizer = ScriptedAuthorizer(Authorization("k:1.1"), AuthError("serve-auth", "this token was revoked", 401))
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, authorizer) as subscriber:
        subscriber.subscribe("private-a")
        wire = wires.next()
        work(wire, "private-a")
        deliveries.wait_for(Subscribed)
        if by_frame:
            wire.says("pusher:error", {"code": 4009, "message": "sent away"})
        wire.ends(4009, "sent away")
        waited = deliveries.wait_for_state(ConnectionState.RECONNECTING)
        assert waited.retry_in_s is not None
        assert waited.retry_in_s >= 1.0
        again = wires.next()
        again.greets()
        refused = deliveries.wait_for(SubscriptionFailed)
        assert (refused.status, "revoked" in refused.reason) == (401, True)
        again.ends(4009, "sent away")  # and was not let in this time
        deliveries.wait_for_state(ConnectionState.FAILED)


def test_an_error_frame_counts_more_than_the_close_after_it() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries):
        wire = wires.next()
        wire.greets()
        wire.says("pusher:error", {"code": 4100, "message": "over capacity"})
        wire.ends(1006, "lost")
        waited = deliveries.wait_for_state(ConnectionState.RECONNECTING)
    assert waited.reason == "over capacity"
    assert waited.retry_in_s is not None
    assert waited.retry_in_s >= 1.0


def test_a_server_that_always_says_at_once_does_not_make_it_spin() -> None:
    wires, deliveries = Wires(), Deliveries()
    timing = Timing(first_retry_s=0.02, longest_retry_s=10)
    subscriber = KeptSubscriber(wires, ScriptedAuthorizer(), deliveries, timing=timing, random=lambda: 1.0)
    subscriber.start()
    for _ in range(5):
        wires.next().ends(4200, "restart")
    deliveries.wait_for(StateChanged, lambda event: event.retry_in_s == 0.32)
    subscriber.close()
    waits = [event.retry_in_s for event in deliveries.all if isinstance(event, StateChanged) and event.retry_in_s is not None]
    assert waits[:5] == [0.1, 0.04, 0.08, 0.16, 0.32]


def test_a_quiet_link_is_pinged_and_kept_when_it_answers() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, timing=Timing(ping_after_s=0.05, dead_after_s=5)):
        wire = wires.next()
        wire.greets()
        for _ in range(3):
            wire.hears("pusher:ping")
            wire.says("pusher:pong", {})
        assert not wire.closed.is_set()


def test_a_link_that_leaves_a_ping_unanswered_is_called_silent_until_it_speaks() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, timing=Timing(ping_after_s=0.05, silent_after_s=0.05, dead_after_s=60)):
        wire = wires.next()
        wire.greets()
        wire.hears("pusher:ping")
        silence = deliveries.wait_for(Silence)
        assert silence.for_s is not None
        assert silence.for_s >= 0.1
        wire.says("pusher:pong", "{}")
        assert deliveries.wait_for(Silence) == Silence(None)


def test_a_dead_link_is_noticed_and_replaced() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, timing=Timing(ping_after_s=0.05, dead_after_s=0.1, first_retry_s=0.01)):
        wire = wires.next()
        wire.greets()
        wire.hears("pusher:ping")
        assert deliveries.wait_for_state(ConnectionState.RECONNECTING).reason == "the connection went dead"
        assert wire.closed.is_set()
        wires.next().greets()
        deliveries.wait_for_state(ConnectionState.CONNECTED)


def test_a_server_that_wants_activity_sooner_gets_it() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, timing=Timing(ping_after_s=600)):
        wire = wires.next()
        wire.greets(activity_timeout=1)
        wire.hears("pusher:ping")


def test_a_connection_that_never_greets_is_given_up() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, timing=Timing(connect_timeout_s=0.1, first_retry_s=0.01)):
        wire = wires.next()
        assert deliveries.wait_for_state(ConnectionState.UNAVAILABLE).reason == "no answer in time"
        assert wire.closed.is_set()
        wires.next()


def test_a_refused_signature_is_told_and_tried_again_at_the_next_connection() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, ScriptedAuthorizer(AuthError("server", "viewers only", 403))) as subscriber:
        subscriber.subscribe("private-a")
        wire = wires.next()
        wire.greets()
        failed = deliveries.wait_for(SubscriptionFailed)
        assert (failed.channel, failed.status) == ("private-a", 403)
        assert "viewers only" in failed.reason
        wire.ends()
        work(wires.next(), "private-a", "2.2")
        deliveries.wait_for(Subscribed)


def test_an_authorizer_that_cannot_be_asked_is_asked_again() -> None:
    wires, deliveries = Wires(), Deliveries()
    authorizer = ScriptedAuthorizer(TransportError("server", "down"), RetryLater("server", "busy", retry_after_s=0.05))
    with kept(wires, deliveries, authorizer) as subscriber:
        subscriber.subscribe("private-a")
        work(wires.next(), "private-a")
        deliveries.wait_for(Subscribed)
    assert len(authorizer.asked) == 3


@pytest.mark.parametrize("problem", [TransportError("server", "nonsense", retry=False), ValueError("hush")])
def test_other_failures_of_the_authorizer_are_told(problem: Exception, caplog: pytest.LogCaptureFixture) -> None:
    wires, deliveries = Wires(), Deliveries()
    with caplog.at_level(logging.CRITICAL), kept(wires, deliveries, ScriptedAuthorizer(problem)) as subscriber:
        subscriber.subscribe("private-a")
        wire = wires.next()
        wire.greets()
        failed = deliveries.wait_for(SubscriptionFailed)
        assert "hush" not in failed.reason
        subscriber.subscribe("private-b")
        assert wire.hears("pusher:subscribe")["data"] == {"channel": "private-b", "auth": "k:1.1"}


def test_a_subscription_without_any_answer_is_told_once_and_still_counts_when_it_comes() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, timing=Timing(ping_after_s=0.05, connect_timeout_s=0.2)) as subscriber:
        subscriber.subscribe("news")
        wire = wires.next()
        wire.greets()
        wire.hears("pusher:subscribe")
        assert deliveries.wait_for(SubscriptionFailed) == SubscriptionFailed("news", None, "the broker does not answer")
        for _ in range(6):  # long enough to be told again
            wire.hears("pusher:ping")
            wire.says("pusher:pong", {})
        wire.says(SUCCEEDED, "{}", "news")
        deliveries.wait_for(Subscribed)
    assert len([event for event in deliveries.all if isinstance(event, SubscriptionFailed)]) == 1


def test_a_slow_authorizer_does_not_hold_up_events() -> None:
    wires, deliveries, authorizer = Wires(), Deliveries(), ScriptedAuthorizer()
    with kept(wires, deliveries, authorizer) as subscriber:
        subscriber.subscribe("news")
        wire = wires.next()
        wire.greets()
        wire.hears("pusher:subscribe")
        authorizer.may_answer.clear()
        subscriber.subscribe("private-slow")
        wire.says(SUCCEEDED, "{}", "news")
        wire.says("event", "while it waits", "news")
        assert deliveries.wait_for(Received).data == "while it waits"
        authorizer.may_answer.set()


def test_an_answer_for_a_connection_that_is_gone_is_not_used() -> None:
    wires, deliveries, authorizer = Wires(), Deliveries(), ScriptedAuthorizer()
    with kept(wires, deliveries, authorizer) as subscriber:
        authorizer.may_answer.clear()
        subscriber.subscribe("private-a")
        first = wires.next()
        first.greets("1.1")
        first.ends()
        second = wires.next()
        authorizer.may_answer.set()
        work(second, "private-a", "2.2")
        assert first.heard.empty()


def test_client_events_are_sent_only_while_subscribed() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries) as subscriber:
        subscriber.subscribe("private-a")
        assert not subscriber.send("private-a", "client-e", "x")
        wire = wires.next()
        work(wire, "private-a")
        deliveries.wait_for(Subscribed)
        assert subscriber.send("private-a", "client-e", "x")
        assert wire.hears("client-e") == {"event": "client-e", "channel": "private-a", "data": "x"}
        assert not subscriber.send("private-b", "client-e", "x")
        wire.is_writable = False
        assert not subscriber.send("private-a", "client-e", "x")
        wire.ends()
        deliveries.wait_for_state(ConnectionState.RECONNECTING)
        assert not subscriber.send("private-a", "client-e", "x")


@pytest.mark.parametrize(
    ("channel", "name", "data"),
    [
        ("private-a", "output", "x"),
        ("news", "client-e", "x"),
        ("private-encrypted-a", "client-e", "x"),
        ("private-a", "client-e", "x" * 200_000),
    ],
)
def test_client_events_that_no_broker_takes_are_our_bug(channel: str, name: str, data: str) -> None:
    subscriber = KeptSubscriber(Wires(), ScriptedAuthorizer(), Deliveries())
    with pytest.raises(LocalProtocolError):
        subscriber.send(channel, name, data)


def test_refused_client_events_are_told() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries) as subscriber:
        subscriber.subscribe("private-a")
        wire = wires.next()
        work(wire, "private-a")
        wire.says("pusher:error", {"code": 4301, "message": "off"}, "private-a")
        assert deliveries.wait_for(ClientEventsRefused).code == 4301


def test_channels_are_bounded() -> None:
    subscriber = KeptSubscriber(Wires(), ScriptedAuthorizer(), Deliveries())
    for number in range(MAX_CHANNELS):
        subscriber.subscribe(f"c{number}")
    subscriber.subscribe("c0")
    with pytest.raises(LocalProtocolError):
        subscriber.subscribe("one-more")


def test_signing_in_happens_at_every_connection() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries, ScriptedAuthorizer(user="anna"), sign_in=True):
        for socket_id in ("1.1", "2.2"):
            wire = wires.next()
            wire.greets(socket_id)
            assert wire.hears("pusher:signin")["data"] == {"auth": f"k:{socket_id}", "user_data": '{"id": "anna"}'}
            wire.ends()


def test_keys_and_members_are_known_while_connected() -> None:
    wires, deliveries = Wires(), Deliveries()
    authorizer = ScriptedAuthorizer(Authorization("k:1.1", None, b"s" * 32))
    with kept(wires, deliveries, authorizer) as subscriber:
        assert subscriber.shared_secret("private-encrypted-a") is None
        subscriber.subscribe("private-encrypted-a")
        work(wires.next(), "private-encrypted-a")
        deliveries.wait_for(Subscribed)
        assert subscriber.shared_secret("private-encrypted-a") == b"s" * 32
        assert subscriber.members("private-encrypted-a") == ()


def test_a_wire_that_speaks_before_it_is_handed_over_is_answered() -> None:
    wires, deliveries = Wires(MemoryWire.greets), Deliveries()
    with kept(wires, deliveries) as subscriber:
        subscriber.subscribe("news")
        wire = wires.next()
        assert wire.hears("pusher:subscribe")["data"] == {"channel": "news"}


def test_a_wire_that_cannot_be_written_to_is_replaced() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries) as subscriber:
        subscriber.subscribe("news")
        wire = wires.next()
        wire.is_writable = False
        wire.greets()
        assert "written" in deliveries.wait_for_state(ConnectionState.RECONNECTING).reason
        wires.next()


def test_closing_returns_within_a_second_even_when_the_authorizer_hangs() -> None:
    wires, deliveries, authorizer = Wires(), Deliveries(), ScriptedAuthorizer()
    with kept(wires, deliveries, authorizer) as subscriber:
        authorizer.may_answer.clear()
        subscriber.subscribe("private-a")
        wire = wires.next()
        wire.greets()
        started_s = time.monotonic()
        subscriber.close()
        assert time.monotonic() - started_s < 1.0
        assert wire.closed.is_set()
        authorizer.may_answer.set()


def test_closing_during_the_wait_between_attempts_is_quick_and_final() -> None:
    wires, deliveries = Wires(), Deliveries()
    subscriber = KeptSubscriber(wires, ScriptedAuthorizer(), deliveries, timing=Timing(first_retry_s=60), random=lambda: 0.999)
    subscriber.start()
    wires.next().ends()
    deliveries.wait_for_state(ConnectionState.RECONNECTING)
    started_s = time.monotonic()
    subscriber.close()
    assert time.monotonic() - started_s < 0.5
    assert isinstance(deliveries.all[-1], StateChanged)
    assert deliveries.all[-1].state is ConnectionState.CLOSED


def test_nothing_is_delivered_after_closing() -> None:
    wires, deliveries = Wires(), Deliveries()
    with kept(wires, deliveries) as subscriber:
        subscriber.subscribe("news")
        wire = wires.next()
        wire.greets()
        wire.hears("pusher:subscribe")
        wire.says(SUCCEEDED, "{}", "news")
        deliveries.wait_for(Subscribed)
        subscriber.close()
        count = len(deliveries.all)
        wire.says("event", "late", "news")
        assert len(deliveries.all) == count


def test_closing_from_within_a_delivery_does_not_deadlock() -> None:
    wires, done = Wires(), threading.Event()

    def deliver(event: SubscriberEvent) -> None:
        if isinstance(event, StateChanged) and event.state is ConnectionState.CONNECTED:
            subscriber.close()
        if isinstance(event, StateChanged) and event.state is ConnectionState.CLOSED:
            done.set()

    subscriber = KeptSubscriber(wires, ScriptedAuthorizer(), deliver)
    subscriber.start()
    started_s = time.monotonic()
    wires.next().greets()
    assert done.wait(5)
    assert time.monotonic() - started_s < 0.5, "it waited for threads that wait for it"


def test_closing_what_was_never_started_is_fine() -> None:
    subscriber = KeptSubscriber(Wires(), ScriptedAuthorizer(), Deliveries())
    subscriber.close()
    subscriber.start()
    assert not any(thread.name.startswith("subscriber-") and thread.is_alive() for thread in subscriber._threads)


OLD, NEW = Grant(b"o" * 32, "a.http", 1), Grant(b"n" * 32, "a.http", 2)


def test_a_grant_is_renewed_off_the_callers_thread_and_the_old_one_is_known_meanwhile() -> None:
    wires, deliveries = Wires(), Deliveries()
    authorizer = ScriptedAuthorizer(
        Authorization("k:1.1", grant=OLD), TransportError("s", "away"), Authorization("k:1.1", grant=NEW)
    )
    with kept(wires, deliveries, authorizer) as subscriber:
        assert subscriber.grant("private-a") is None
        subscriber.subscribe("private-a")
        subscriber.renew("private-a")
        wire = wires.next()
        work(wire, "private-a")
        deliveries.wait_for(Subscribed)
        authorizer.may_answer.clear()
        for _ in range(3):
            subscriber.renew("private-a")
        assert subscriber.grant("private-a") == OLD
        authorizer.may_answer.set()
        deliveries.wait_for(Renewed)
        assert subscriber.grant("private-a") == NEW
        wire.ends()
    assert len(authorizer.asked) == 3, "one renewal at a time, and again after a server that was away"
    assert set(authorizer.threads) == {"subscriber-authorizer"}


def test_a_renewal_that_is_refused_is_told_and_the_subscription_stays() -> None:
    wires, deliveries = Wires(), Deliveries()
    authorizer = ScriptedAuthorizer(Authorization("k:1.1", grant=OLD), AuthError("s", "revoked", status=401))
    with kept(wires, deliveries, authorizer) as subscriber:
        subscriber.subscribe("private-a")
        wire = wires.next()
        work(wire, "private-a")
        deliveries.wait_for(Subscribed)
        subscriber.renew("private-a")
        assert deliveries.wait_for(SubscriptionFailed).status == 401
        assert subscriber.send("private-a", "client-x", "{}")
        subscriber.renew("private-a")
        deliveries.wait_for(Renewed)


def test_a_channel_that_is_to_be_renewed_is_authorized_again_and_again() -> None:
    wires, deliveries, authorizer = Wires(), Deliveries(), ScriptedAuthorizer()
    with kept(wires, deliveries, authorizer) as subscriber:
        subscriber.subscribe("private-a", renew_s=0.01)
        wire = wires.next()
        work(wire, "private-a")
        for _ in range(3):
            deliveries.wait_for(Renewed)
