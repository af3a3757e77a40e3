"""Publisher and subscriber together with a real Soketi."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from codewrap.errors import AuthError, TransportError
from codewrap.protocol.sealing import seal, shared_secret
from codewrap.transport.authorize import SecretAuthorizer
from codewrap.transport.base import (
    AppCredentials,
    ClientEventsRefused,
    ConnectionState,
    Event,
    Member,
    MemberAdded,
    MemberRemoved,
    Received,
    StateChanged,
    Subscribed,
    SubscriptionFailed,
)
from codewrap.transport.keeper import Timing
from codewrap.transport.publish import PusherPublisher
from codewrap.transport.subscribe import PysherSubscriber
from tests.support.deliveries import Deliveries
from tests.support.node import Node
from tests.support.soketi import SoketiServer

pytestmark = pytest.mark.soketi
MASTER_KEY = b"k" * 32
PRESENCE = "presence-command-s"
ENCRYPTED = "private-encrypted-command-s"
QUICK = Timing(first_retry_s=0.05, longest_retry_s=0.2)


class Signer(SecretAuthorizer):
    """Remembers which sockets were signed for."""

    def __init__(self, credentials: AppCredentials, user: str, master_key: bytes = MASTER_KEY) -> None:
        super().__init__(credentials, master_key, lambda _: (user, {"name": user}))
        self.sockets: set[str] = set()

    def authorize(self, channel: str, socket_id: str):  # type: ignore[no-untyped-def]
        self.sockets.add(socket_id)
        return super().authorize(channel, socket_id)


@contextmanager
def on(
    server: SoketiServer, *channels: str, user: str = "anna", signer: Signer | None = None
) -> Iterator[tuple[PysherSubscriber, Deliveries]]:
    """A subscriber that has all ``channels``."""
    deliveries = Deliveries()
    subscriber = PysherSubscriber(server.endpoint, signer or Signer(server.credentials, user), deliveries, timing=QUICK)
    for channel in channels:
        subscriber.subscribe(channel)
    subscriber.start()
    try:
        for _ in channels:
            deliveries.wait_for(Subscribed)
        yield subscriber, deliveries
    finally:
        subscriber.close()


@pytest.fixture
def publisher(soketi: SoketiServer) -> Iterator[PusherPublisher]:
    publisher = PusherPublisher(soketi.credentials, soketi.endpoint)
    yield publisher
    publisher.close()


@pytest.mark.parametrize("channel", ["news", "private-command-s", PRESENCE])
def test_published_events_arrive_in_order(channel: str, soketi: SoketiServer, publisher: PusherPublisher) -> None:
    with on(soketi, channel) as (_, deliveries):
        for first in range(0, 50, 10):
            publisher.publish([Event(channel, "output", f"─{number}") for number in range(first, first + 10)])
        deliveries.wait_for(Received, lambda received: received.data == "─49")
    received = [event for event in deliveries.all if isinstance(event, Received)]
    assert [(event.channel, event.name, event.data) for event in received] == [
        (channel, "output", f"─{number}") for number in range(50)
    ]


def test_encrypted_events_are_opened(soketi: SoketiServer, publisher: PusherPublisher) -> None:
    with on(soketi, ENCRYPTED) as (subscriber, deliveries):
        key = shared_secret(ENCRYPTED, MASTER_KEY)
        assert subscriber.shared_secret(ENCRYPTED) == key
        publisher.publish([Event(ENCRYPTED, "output", seal("secret text", key, b"n" * 24))])
        assert deliveries.wait_for(Received).data == "secret text"


def test_a_key_that_no_longer_fits_is_asked_for_again(soketi: SoketiServer, publisher: PusherPublisher) -> None:
    signer = Signer(soketi.credentials, "anna", b"old" + b"k" * 29)
    with on(soketi, ENCRYPTED, signer=signer) as (_, deliveries):
        signer._master_key = MASTER_KEY
        publisher.publish([Event(ENCRYPTED, "output", seal("after the change", shared_secret(ENCRYPTED, MASTER_KEY), b"n" * 24))])
        assert deliveries.wait_for(Received).data == "after the change"


def test_members_are_seen_coming_and_going(soketi: SoketiServer, publisher: PusherPublisher) -> None:
    with on(soketi, PRESENCE, user="anna") as (anna, deliveries):
        with on(soketi, PRESENCE, user="bob") as (_, of_bob):
            joined = next(event for event in of_bob.all if isinstance(event, Subscribed))
            assert joined.me == "bob"
            assert {member.user_id for member in joined.members} == {"anna", "bob"}
            assert deliveries.wait_for(MemberAdded).member == Member("bob", {"name": "bob"})
            assert {member.user_id for member in anna.members(PRESENCE)} == {"anna", "bob"}
            assert set(publisher.users(PRESENCE)) == {"anna", "bob"}
        assert deliveries.wait_for(MemberRemoved).member.user_id == "bob"


def test_client_events_reach_the_others_with_the_senders_name(soketi: SoketiServer) -> None:
    with on(soketi, PRESENCE, user="anna") as (anna, of_anna), on(soketi, PRESENCE, user="bob") as (_, of_bob):
        assert anna.send(PRESENCE, "client-sync", '{"from":3}')
        assert of_bob.wait_for(Received) == Received(PRESENCE, "client-sync", '{"from":3}', "anna")
        assert not [event for event in of_anna.all if isinstance(event, Received)]


def test_client_events_that_are_switched_off_are_said_to_be(soketi_without_client_events: SoketiServer) -> None:
    with on(soketi_without_client_events, "private-command-s") as (subscriber, deliveries):
        assert subscriber.send("private-command-s", "client-input", "x")
        refused = deliveries.wait_for(ClientEventsRefused)
        assert (refused.channel, refused.code) == ("private-command-s", 4301)


def test_a_wrong_key_fails_for_good(soketi: SoketiServer) -> None:
    deliveries = Deliveries()
    endpoint = dataclasses.replace(soketi.endpoint, key="no-such-key")
    subscriber = PysherSubscriber(endpoint, Signer(soketi.credentials, "anna"), deliveries, timing=QUICK)
    subscriber.start()
    assert "4001" in deliveries.wait_for_state(ConnectionState.FAILED).reason
    subscriber.close()
    assert [event.state.name for event in deliveries.all if isinstance(event, StateChanged)].count("CONNECTING") == 1


def test_a_wrong_secret_fails_the_channel_and_the_publisher(soketi: SoketiServer) -> None:
    wrong = dataclasses.replace(soketi.credentials, secret="hush-wrong")
    deliveries = Deliveries()
    subscriber = PysherSubscriber(soketi.endpoint, Signer(wrong, "anna"), deliveries, timing=QUICK)
    subscriber.subscribe("private-command-s")
    subscriber.start()
    failed = deliveries.wait_for(SubscriptionFailed)
    subscriber.close()
    assert (failed.channel, failed.status) == ("private-command-s", 401)
    publisher = PusherPublisher(wrong, soketi.endpoint)
    with pytest.raises(AuthError) as refused:
        publisher.publish([Event("private-command-s", "output", "x")])
    publisher.close()
    assert "hush" not in str(refused.value)


def test_an_event_larger_than_soketi_takes_is_refused_by_it(soketi: SoketiServer) -> None:
    publisher = PusherPublisher(soketi.credentials, soketi.endpoint, event_bytes=1_000_000)
    with pytest.raises(TransportError) as refused:
        publisher.publish([Event("private-command-s", "output", "x" * 200_000)])
    publisher.close()
    assert not refused.value.retry


def test_queries_are_answered(soketi: SoketiServer, publisher: PusherPublisher) -> None:
    with on(soketi, "private-command-q"):
        assert publisher.channel_info("private-command-q")["occupied"] is True
        assert "private-command-q" in publisher.channels("private-command-")
    assert publisher.channel_info("private-command-empty")["occupied"] is False


@pytest.mark.parametrize("gently", [True, False])
def test_a_restarted_server_is_subscribed_to_again_with_fresh_signatures(node: Node, gently: bool) -> None:
    with SoketiServer(node) as server:
        signer = Signer(server.credentials, "anna")
        publisher = PusherPublisher(server.credentials, server.endpoint)
        with on(server, PRESENCE, ENCRYPTED, signer=signer) as (subscriber, deliveries):
            before = set(signer.sockets)
            server.stop() if gently else server.kill()
            deliveries.wait_for_state(ConnectionState.RECONNECTING)
            assert not subscriber.send(PRESENCE, "client-sync", "x")
            with pytest.raises(TransportError) as down:
                publisher.publish([Event(PRESENCE, "output", "lost")])
            assert down.value.retry
            server.start()
            again = {deliveries.wait_for(Subscribed).channel, deliveries.wait_for(Subscribed).channel}
            assert again == {PRESENCE, ENCRYPTED}
            assert signer.sockets - before, "no fresh signature"
            publisher.publish([Event(ENCRYPTED, "output", seal("back", shared_secret(ENCRYPTED, MASTER_KEY), b"n" * 24))])
            assert deliveries.wait_for(Received).data == "back"
        publisher.close()


def test_signing_in_makes_messages_to_the_user_arrive(node: Node) -> None:
    with SoketiServer(node, settings={"SOKETI_DEFAULT_APP_USER_AUTHENTICATION": "1"}) as server:
        deliveries = Deliveries()
        subscriber = PysherSubscriber(server.endpoint, Signer(server.credentials, "anna"), deliveries, sign_in=True)
        subscriber.subscribe(PRESENCE)
        subscriber.start()
        deliveries.wait_for(Subscribed)
        publisher = PusherPublisher(server.credentials, server.endpoint)
        publisher.publish([Event("#server-to-user-anna", "hello", "x")])
        assert deliveries.wait_for(Received) == Received("#server-to-user-anna", "hello", "x")
        publisher.close()
        subscriber.close()
