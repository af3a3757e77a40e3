"""Two clients of a room: what works, and what each way of not working is called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codewrap.doctor.conversation import CHANNEL_CHECKS, CHECKS, MAX_INBOX_EVENTS, Arrival, Conversation, Inbox, Patience
from codewrap.doctor.report import Check, Status
from codewrap.errors import AuthError, TransportError
from codewrap.protocol.grants import make_grant
from codewrap.transport.base import ConnectionState, Endpoint, Event, Received, StateChanged, SubscriptionFailed
from tests.support.room import SESSION, SPELLING, Room

PRIVATE = f"private-command-{SESSION}"
ENCRYPTED = f"private-encrypted-command-{SESSION}"
PRESENCE = f"presence-command-{SESSION}"
KEYS = f"private-input-{SESSION}"


def talk(room: Room, *, check_s: float = 0.05, patience: Patience | None = None, **changes: Any) -> tuple[dict[str, Check], bool]:
    """The findings by name, and whether publishing works."""
    patience = patience or Patience(check_s, 10.0)
    conversation = Conversation(room.broker(**changes), SESSION, SPELLING, patience)
    running, found = conversation.run(), {}
    try:
        while True:
            check = next(running)
            found[check.name] = check
    except StopIteration as ended:
        return found, ended.value
    finally:
        conversation.close()
        assert all(client.is_closed for client in room.clients)


def failures(found: dict[str, Check]) -> dict[str, str]:
    return {name: check.detail for name, check in found.items() if check.status is Status.FAIL}


def test_a_good_room_passes_everything_in_order_with_times() -> None:
    room = Room()
    found, works = talk(room, check_s=5.0)
    assert tuple(found) == CHECKS
    assert works
    for check in found.values():
        assert check.status is Status.OK, check
        assert check.ms is not None
        assert 0 <= check.ms < 5000
    assert "in reserve" in found["input over HTTP"].detail


def test_only_channels_of_the_throwaway_session_are_touched_and_the_sealed_ones_are_sealed() -> None:
    room = Room()
    talk(room)
    assert all(event.channel.endswith(SESSION) for event in room.published)
    [sealed] = [event for event in room.published if "encrypted" in event.channel]
    assert set(json.loads(sealed.data)) == {"nonce", "ciphertext"}
    [typed] = [event for event in room.published if event.name == "input"]
    assert typed.channel == f"private-input-{SESSION}"
    assert set(json.loads(typed.data)) == {"nonce", "ciphertext", "writer", "until"}


@pytest.mark.parametrize(
    ("greeting", "says"),
    [
        (StateChanged(ConnectionState.FAILED, "no such app (4001)"), "correct THE_KEY"),
        (StateChanged(ConnectionState.FAILED, "over quota (4004)"), "connections are used up"),
        (StateChanged(ConnectionState.UNAVAILABLE, "its certificate is not trusted: old"), "SSL_CERT_FILE"),
        (StateChanged(ConnectionState.UNAVAILABLE, "refused"), "correct THE_ADDRESS"),
        (None, "no answer in time"),
    ],
)
def test_without_a_connection_the_channels_are_not_tried(greeting: StateChanged | None, says: str) -> None:
    found, works = talk(Room(greeting=greeting))
    assert not works
    assert says in found["WebSocket"].detail
    assert [found[name].status for name in CHANNEL_CHECKS] == [Status.SKIP] * len(CHANNEL_CHECKS)


def test_a_secret_in_the_keys_place_is_not_quoted() -> None:
    room = Room(greeting=StateChanged(ConnectionState.FAILED, "App key hush-hush does not exist (4001)"))
    found, _ = talk(room, ws=Endpoint("127.0.0.1", 6001, False, "hush-hush"))
    assert "hush" not in found["WebSocket"].detail
    assert "correct THE_KEY" in found["WebSocket"].detail


def test_behind_a_gateway_the_brokers_address_is_serve_auths() -> None:
    room = Room(greeting=StateChanged(ConnectionState.UNAVAILABLE, "refused"))
    found, _ = talk(room, send_input=lambda _: None)
    assert "--public-host" in found["WebSocket"].detail


def test_without_credentials_the_connection_is_tried_all_the_same() -> None:
    found, works = talk(Room(), publisher=None)
    assert not works
    assert found["WebSocket"].status is Status.OK
    assert {found[name].detail for name in CHANNEL_CHECKS} == {"needs credentials"}


def test_what_is_not_heard_is_a_failure_of_that_channel_alone() -> None:
    found, works = talk(Room(silent={ENCRYPTED}))
    assert works
    assert set(failures(found)) == {"encrypted channel"}


def test_a_room_whose_private_channel_is_silent_does_not_work() -> None:
    found, works = talk(Room(silent={PRIVATE}))
    assert not works
    assert "not heard by both" in failures(found)["private channel"]


def test_a_refused_subscription_gives_the_brokers_reason() -> None:
    found, _ = talk(Room(refused={PRESENCE: SubscriptionFailed(PRESENCE, 401, "invalid signature")}))
    assert failures(found) == {"presence channel": "subscription refused (401), invalid signature: correct THE_SECRET"}


def test_a_subscription_without_an_answer_is_given_up() -> None:
    other = SubscriptionFailed("another-channel", None, "")
    found, _ = talk(Room(refused={PRIVATE: other}))
    assert failures(found)["private channel"].startswith("no answer to the subscription")


def test_members_who_do_not_see_each_other_are_a_failure() -> None:
    found, _ = talk(Room(tells_of_members=False))
    assert "was not told of the second" in failures(found)["presence channel"]


@pytest.mark.parametrize("relays", [False, None])
def test_client_events_that_are_refused_or_swallowed_are_a_warning_and_http_is_used(relays: bool | None) -> None:
    found, works = talk(Room(relays_client_events=relays))
    assert works
    assert found["client events"].status is Status.WARN
    assert "SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES=1" in found["client events"].detail
    assert found["input over HTTP"].detail == "works; typing uses it"


def test_at_pusher_client_events_are_enabled_elsewhere() -> None:
    hosted = Endpoint("ws-eu.pusher.com", 443, True, "key")
    found, _ = talk(Room(relays_client_events=False), ws=hosted)
    assert "settings at Pusher" in found["client events"].detail


def test_without_a_master_key_the_encrypted_ways_are_said_to_need_one() -> None:
    found, works = talk(Room(), has_master_key=False)
    assert works
    assert "THE_MASTER_KEY" in failures(found)["encrypted channel"]
    assert found["input over HTTP"].status is Status.SKIP


def test_a_subscription_that_brings_no_key_is_a_failure() -> None:
    found, _ = talk(Room(keyless=True))
    assert set(failures(found)) == {"encrypted channel", "input over HTTP"}


def test_a_viewer_whose_key_is_not_made_of_the_hosts_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers with two master keys behind one address: everything works, but nobody can type."""
    monkeypatch.setattr("tests.support.room.GRANT", make_grant(bytes(32), "user.http", 1_800_000_900))
    found, _ = talk(Room())
    assert "keys that do not fit" in failures(found)["input over HTTP"]


def test_through_a_gateway_input_takes_its_own_way_and_no_public_channel_is_tried() -> None:
    room = Room()
    taken: list[str] = []

    def send_input(sealed: str) -> None:
        taken.append(sealed)
        room.publish([Event(f"private-input-{SESSION}", "input", sealed)])

    found, works = talk(room, send_input=send_input)
    assert works
    assert found["public channel"].status is Status.SKIP
    assert found["input over HTTP"].status is Status.OK
    assert len(taken) == 1


def test_a_server_that_fails_is_not_asked_again_and_again() -> None:
    found, works = talk(Room(failure=TransportError("s", "no answer in time")))
    assert not works
    assert set(failures(found)) == {"public channel"}
    assert [found[name].status for name in CHANNEL_CHECKS[1:]] == [Status.SKIP] * 5


def test_a_refusal_to_publish_is_told_for_each_channel() -> None:
    found, works = talk(Room(failure=AuthError("s", "not this channel", 403)))
    assert not works
    assert failures(found)["private channel"].startswith("refused (403), not this channel")
    assert "presence channel" in failures(found)


def test_when_the_time_for_all_is_over_the_rest_is_skipped() -> None:
    now = iter([0.0, 0.0])
    patience = Patience(5.0, 10.0, clock=lambda: next(now, 100.0))
    found, works = talk(Room(), patience=patience)
    assert not works
    assert {found[name].detail for name in CHANNEL_CHECKS} == {"no time left"}


def test_a_checks_deadline_never_lies_beyond_that_of_all() -> None:
    now = [0.0]
    patience = Patience(5.0, 8.0, clock=lambda: now[0])
    assert patience.until_s() == 5.0
    now[0] = 6.0
    assert patience.until_s() == 8.0
    assert not patience.is_over
    now[0] = 8.0
    assert patience.is_over


def test_messages_are_counted_with_their_deliveries() -> None:
    patience = Patience(5.0, 10.0)
    talk(Room(), patience=patience)
    # Five published to two clients, one member told, two client events each heard once.
    assert patience.messages == 5 * 3 + 1 + 2 * 2


def test_an_inbox_is_bounded() -> None:
    inbox = Inbox()
    for number in range(MAX_INBOX_EVENTS + 1):
        inbox.put(0, Received("c", "e", str(number)))

    def is_last(arrival: Arrival) -> bool:
        return isinstance(arrival.event, Received) and arrival.event.data == str(MAX_INBOX_EVENTS)

    assert inbox.find(is_last, 0.0) is None
    assert inbox.find(lambda arrival: arrival.client == 0, 0.0) is not None
