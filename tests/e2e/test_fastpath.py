"""Echo over Soketi needs no HTTP request where the broker relays client events, and where it does not, or somebody present
does not understand them, everything goes as events of the app."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from codewrap.cli.connections import member_of
from codewrap.protocol import channels
from codewrap.transport.authorize import SecretAuthorizer
from codewrap.transport.base import Received, Subscribed, SubscriberEvent
from codewrap.transport.subscribe import PysherSubscriber
from tests.support.ptydriver import eventually
from tests.support.sessions import Relay, direct
from tests.support.soketi import SoketiServer

Kind = TypeVar("Kind", Received, Subscribed)


class Observer:
    """Somebody on the presence channel and the output channel, who counts the events of both."""

    def __init__(self, server: SoketiServer, session: str, *, understands: bool) -> None:
        vouched = member_of("observer", "viewer")

        def member(socket_id: str) -> tuple[str, dict[str, object]]:
            user_id, info = vouched(socket_id)
            return user_id, info if understands else {"name": "browser", "role": "viewer"}

        self._lock = threading.Lock()
        self._seen: list[SubscriberEvent] = []
        authorizer = SecretAuthorizer(server.credentials, bytes(range(32)), member)
        self._subscriber = PysherSubscriber(server.endpoint, authorizer, self._deliver)
        self._presence = channels.presence_channel(session)
        self._output = channels.output_channel(session, encrypted=True)
        for channel in (self._output, self._presence):
            self._subscriber.subscribe(channel)
        self._subscriber.start()
        eventually(lambda: len(self._of(Subscribed)) == 2, "the observer is subscribed")

    def names(self) -> list[str]:
        """Of the output-bearing events so far, in order."""
        return [event.name for event in self._of(Received) if event.name in {"output", "client-output"}]

    def close(self) -> None:
        self._subscriber.close()

    def _deliver(self, event: SubscriberEvent) -> None:
        with self._lock:
            self._seen.append(event)

    def _of(self, kind: type[Kind]) -> list[Kind]:
        with self._lock:
            return [event for event in self._seen if isinstance(event, kind)]


@pytest.fixture
def over_soketi(soketi: SoketiServer, tmp_path: Path) -> Iterator[Relay]:
    with direct(tmp_path, soketi) as relay:
        yield relay


@pytest.fixture
def without_client_events(soketi_without_client_events: SoketiServer, tmp_path: Path) -> Iterator[Relay]:
    with direct(tmp_path, soketi_without_client_events) as relay:
        yield relay


def typed(relay: Relay, server: SoketiServer, *, understands: bool) -> list[str]:
    """The names of events with output while somebody types "abc", one key after the other's echo."""
    host = relay.shell()
    viewer = relay.attached()
    observer = Observer(server, relay.name, understands=understands)
    try:
        for count, key in enumerate("abc", start=1):
            viewer.send(key)
            viewer.shows(f"ready$ {'abc'[:count]}")
        eventually(lambda: len(observer.names()) >= 3, "the observer sees the echo of all three")
        names = observer.names()
    finally:
        observer.close()
    viewer.send("\x15exit 7\r")
    assert viewer.status() == 7
    assert host.status() == 7
    return names


@pytest.mark.soketi
def test_echo_goes_as_client_events_where_all_understand_them(over_soketi: Relay, soketi: SoketiServer) -> None:
    assert "client-output" in typed(over_soketi, soketi, understands=True)


@pytest.mark.soketi
def test_one_who_does_not_understand_them_gets_everything_as_before(over_soketi: Relay, soketi: SoketiServer) -> None:
    names = typed(over_soketi, soketi, understands=False)
    assert "output" in names
    assert "client-output" not in names


@pytest.mark.soketi
def test_a_broker_without_client_events_loses_nothing(
    without_client_events: Relay, soketi_without_client_events: SoketiServer
) -> None:
    names = typed(without_client_events, soketi_without_client_events, understands=True)
    assert "output" in names
    assert "client-output" not in names
