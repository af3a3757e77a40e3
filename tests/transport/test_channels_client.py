"""The protocol on one connection, frame by frame: no socket, no thread."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from codewrap.errors import LocalProtocolError
from codewrap.protocol.grants import Grant
from codewrap.protocol.sealing import seal, shared_secret
from codewrap.transport.base import (
    Authorization,
    ClientEventsRefused,
    ConnectionState,
    Member,
    MemberAdded,
    MemberRemoved,
    Received,
    Renewed,
    StateChanged,
    Subscribed,
    SubscriptionFailed,
)
from codewrap.transport.channels_client import (
    MAX_CHANNELS,
    MAX_HELD_EVENTS,
    Action,
    Authorize,
    ChannelsClient,
    Leave,
    Send,
    SignIn,
    is_at_once,
    is_final,
    least_wait_s,
)

SOCKET = "123.456"
KEY = shared_secret("private-encrypted-a", b"m" * 32)
OTHER_KEY = shared_secret("private-encrypted-a", b"n" * 32)
NONCE = b"n" * 24
NONSENSE = [
    "",
    "{",
    "[]",
    "1",
    "null",
    '"x"',
    "{}",
    "[" * 100_000,
    '{"event":1}',
    '{"event":"e"}',
    '{"event":"e","channel":5}',
    '{"event":"pusher:error"}',
    '{"event":"pusher:error","data":[]}',
    '{"event":"pusher:cache_miss","channel":"private-a"}',
    '{"event":"pusher_internal:subscription_succeeded"}',
    '{"event":"pusher_internal:subscription_succeeded","channel":"private-a","data":"{"}',
    '{"event":"pusher_internal:member_added","channel":"private-a","data":"{}"}',
]


def frame(event: str, data: object = None, channel: str | None = None, **more: object) -> str:
    said: dict[str, object] = {"event": event, **more}
    if data is not None:
        said["data"] = data
    if channel is not None:
        said["channel"] = channel
    return json.dumps(said)


def established(socket_id: object = SOCKET, timeout: object = 30) -> str:
    return frame("pusher:connection_established", json.dumps({"socket_id": socket_id, "activity_timeout": timeout}))


def succeeded(channel: str, data: object = None) -> str:
    return frame("pusher_internal:subscription_succeeded", data, channel)


def sent(actions: Sequence[Action]) -> list[dict[str, object]]:
    return [json.loads(action.text) for action in actions if isinstance(action, Send)]


def subscribed_to(channel: str, authorization: Authorization | None = None) -> ChannelsClient:
    """A client for whom ``channel`` already works."""
    client = ChannelsClient([channel])
    client.receive(established())
    if authorization is not None:
        client.authorized(channel, SOCKET, authorization)
    assert client.receive(succeeded(channel)) != ()
    return client


class TestConnecting:
    def test_established_asks_for_a_signature_of_each_wanted_channel_and_subscribes_to_public_ones(self) -> None:
        client = ChannelsClient(["private-a", "presence-b", "news"], sign_in=True)
        actions = client.receive(established())
        assert actions[0] == StateChanged(ConnectionState.CONNECTED)
        assert actions[1:4] == [SignIn(SOCKET), Authorize("private-a", SOCKET), Authorize("presence-b", SOCKET)]
        assert sent(actions) == [{"event": "pusher:subscribe", "data": {"channel": "news"}}]

    def test_data_may_be_an_object_as_well(self) -> None:
        client = ChannelsClient()
        client.receive(frame("pusher:connection_established", {"socket_id": SOCKET}))
        assert client.socket_id == SOCKET

    def test_activity_timeout_is_the_servers(self) -> None:
        client = ChannelsClient()
        client.receive(established(timeout=30))
        assert client.activity_timeout_s == 30

    @pytest.mark.parametrize("timeout", [None, 0, -5, "x", []])
    def test_a_senseless_activity_timeout_is_not_taken(self, timeout: object) -> None:
        client = ChannelsClient()
        client.receive(established(timeout=timeout))
        assert client.activity_timeout_s == 120

    @pytest.mark.parametrize("socket_id", [None, "", "1", "1.2\n", "a.b", "1.2:x", 1.2, "1." + "2" * 100])
    def test_a_socket_id_that_is_none_ends_the_connection(self, socket_id: object) -> None:
        actions = ChannelsClient().receive(established(socket_id))
        assert isinstance(actions[0], Leave)

    def test_a_second_greeting_changes_nothing(self) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        assert client.receive(established("9.9")) == ()
        assert client.socket_id == SOCKET

    def test_ping_is_answered(self) -> None:
        assert sent(ChannelsClient().receive(frame("pusher:ping", "{}"))) == [{"event": "pusher:pong", "data": {}}]

    @pytest.mark.parametrize("text", NONSENSE)
    def test_nonsense_is_dropped(self, text: str) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        assert client.receive(text) == ()


class TestSubscribing:
    def test_the_signature_goes_into_the_subscription(self) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        actions = client.authorized("private-a", SOCKET, Authorization("k:sig"))
        assert sent(actions) == [{"event": "pusher:subscribe", "data": {"channel": "private-a", "auth": "k:sig"}}]

    def test_a_signature_for_an_older_socket_is_not_used(self) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        assert client.authorized("private-a", "9.9", Authorization("k:sig")) == ()

    def test_success_is_told_once(self) -> None:
        client = ChannelsClient(["news"])
        client.receive(established())
        assert client.receive(succeeded("news")) == (Subscribed("news"),)
        assert client.receive(succeeded("news")) == ()

    def test_success_of_what_was_not_asked_for_is_not_believed(self) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        assert client.receive(succeeded("private-a")) == ()
        assert client.receive(succeeded("private-b")) == ()

    def test_a_channel_wanted_later_is_asked_for_at_once_and_only_once(self) -> None:
        client = ChannelsClient()
        assert client.want("private-a") == ()
        client.receive(established())
        assert client.want("private-b") == (Authorize("private-b", SOCKET),)
        assert client.want("private-b") == ()

    def test_channels_are_bounded(self) -> None:
        client = ChannelsClient([f"c{number}" for number in range(MAX_CHANNELS)])
        with pytest.raises(LocalProtocolError):
            client.want("one-more")

    def test_a_refused_signature_is_a_failed_subscription(self) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        assert client.refused("private-a", SOCKET, 403, "not\x1b you") == (SubscriptionFailed("private-a", 403, "not\\x1b you"),)
        assert client.refused("private-a", "9.9", 403, "late") == ()

    def test_soketi_refuses_on_the_channel(self) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        client.authorized("private-a", SOCKET, Authorization("k:sig"))
        said = {"type": "AuthError", "error": "The connection is unauthorized.", "status": 401}
        expected = SubscriptionFailed("private-a", 401, "The connection is unauthorized.")
        assert client.receive(frame("pusher:subscription_error", said, "private-a")) == (expected,)

    def test_cloud_refuses_on_the_connection_and_quotes_what_was_signed(self) -> None:
        client = ChannelsClient(["private-a", "private-ab"])
        client.receive(established())
        client.authorized("private-a", SOCKET, Authorization("k:sig"))
        client.authorized("private-ab", SOCKET, Authorization("k:sig"))
        words = f"Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET}:private-ab, but got c0ffee"
        (failed,) = client.receive(frame("pusher:error", {"code": None, "message": words}))
        assert isinstance(failed, SubscriptionFailed)
        assert (failed.channel, failed.status) == ("private-ab", None)
        assert "c0ffee" not in failed.reason

    def test_an_error_without_a_name_is_about_the_only_channel_in_question(self) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        client.authorized("private-a", SOCKET, Authorization("k:sig"))
        (failed,) = client.receive(frame("pusher:error", {"code": None, "message": "no"}))
        assert failed == SubscriptionFailed("private-a", None, "no")

    def test_a_double_subscription_is_no_failure(self) -> None:
        client = subscribed_to("private-a", Authorization("k:sig"))
        said = {"code": None, "message": "Existing subscription to channel private-a"}
        assert client.receive(frame("pusher:error", said)) == ()


class TestEvents:
    def test_an_event_is_handed_on_as_it_was_published(self) -> None:
        client = subscribed_to("private-a", Authorization("k:sig"))
        assert client.receive(frame("output", "─ text", "private-a")) == (Received("private-a", "output", "─ text"),)

    def test_an_object_becomes_its_text(self) -> None:
        client = subscribed_to("private-a", Authorization("k:sig"))
        (received,) = client.receive(frame("client-e", {"a": 1}, "private-a"))
        assert isinstance(received, Received)
        assert json.loads(received.data) == {"a": 1}

    def test_the_sender_is_the_servers_word(self) -> None:
        client = subscribed_to("presence-a", Authorization("k:sig", '{"user_id":"me"}'))
        (received,) = client.receive(frame("client-e", "x", "presence-a", user_id="anna"))
        assert received == Received("presence-a", "client-e", "x", "anna")

    def test_events_of_other_channels_are_dropped(self) -> None:
        client = subscribed_to("private-a", Authorization("k:sig"))
        assert client.receive(frame("output", "x", "private-b")) == ()

    def test_events_before_the_success_are_dropped(self) -> None:
        client = ChannelsClient(["private-a"])
        client.receive(established())
        assert client.receive(frame("output", "x", "private-a")) == ()


class TestPresence:
    DATA = json.dumps({"presence": {"count": 2, "ids": ["me", 7], "hash": {"me": {"role": "host"}}}})
    MINE = Authorization("k:sig", '{"user_id":"me","user_info":{"role":"host"}}')

    def joined(self) -> tuple[ChannelsClient, Sequence[Action]]:
        client = ChannelsClient(["presence-a"])
        client.receive(established())
        asked = client.authorized("presence-a", SOCKET, self.MINE)
        assert sent(asked)[0]["data"] == {"channel": "presence-a", "auth": "k:sig", "channel_data": self.MINE.channel_data}
        return client, client.receive(succeeded("presence-a", self.DATA))

    def test_members_and_own_id_come_with_the_success(self) -> None:
        _, actions = self.joined()
        assert actions == (Subscribed("presence-a", (Member("me", {"role": "host"}), Member("7", {})), "me"),)

    def test_members_come_and_go(self) -> None:
        client, _ = self.joined()
        added = frame(
            "pusher_internal:member_added", json.dumps({"user_id": "anna", "user_info": {"role": "viewer"}}), "presence-a"
        )
        anna = Member("anna", {"role": "viewer"})
        assert client.receive(added) == (MemberAdded("presence-a", anna),)
        assert client.receive(added) == ()
        assert anna in client.members("presence-a")
        removed = frame("pusher_internal:member_removed", '{"user_id":"anna"}', "presence-a")
        assert client.receive(removed) == (MemberRemoved("presence-a", anna),)
        assert client.receive(removed) == ()
        assert anna not in client.members("presence-a")

    @pytest.mark.parametrize(
        "data", ["{}", "[]", '{"presence":5}', '{"presence":{"ids":5,"hash":[]}}', '{"presence":{"ids":[null,{}]}}']
    )
    def test_members_that_make_no_sense_are_none(self, data: str) -> None:
        client = ChannelsClient(["presence-a"])
        client.receive(established())
        client.authorized("presence-a", SOCKET, self.MINE)
        assert client.receive(succeeded("presence-a", data)) == (Subscribed("presence-a", (), "me"),)

    def test_a_signed_in_user_is_me_where_no_channel_data_names_one(self) -> None:
        client = ChannelsClient(["presence-a"], sign_in=True)
        client.receive(established())
        client.sign_in(SOCKET, "k:sig", '{"id":"anna"}')
        client.authorized("presence-a", SOCKET, Authorization("k:sig"))
        assert client.receive(succeeded("presence-a", "{}")) == (Subscribed("presence-a", (), "anna"),)


class TestRenewals:
    OLD, NEW = (Authorization("k:sig", grant=Grant(bytes([number]) * 32, "a.http", number)) for number in (1, 2))

    def test_what_came_before_is_kept_until_there_is_something_new(self) -> None:
        client = subscribed_to("private-a", self.OLD)
        assert client.renew("private-a") == (Authorize("private-a", SOCKET),)
        assert client.renew("private-a") == (), "one is under way"
        assert client.grant("private-a") == self.OLD.grant
        assert client.authorized("private-a", SOCKET, self.NEW) == [Renewed("private-a")]
        assert client.grant("private-a") == self.NEW.grant
        assert client.renew("private-a") == (Authorize("private-a", SOCKET),)

    def test_a_refusal_is_told_and_another_may_be_asked_for(self) -> None:
        client = subscribed_to("private-a", self.OLD)
        client.renew("private-a")
        (failed,) = client.refused("private-a", SOCKET, 403, "watch only")
        assert failed == SubscriptionFailed("private-a", 403, "watch only")
        assert client.renew("private-a") == (Authorize("private-a", SOCKET),)

    def test_what_is_not_subscribed_is_not_renewed(self) -> None:
        client = ChannelsClient(["private-a"])
        assert client.renew("private-a") == ()
        client.receive(established())
        assert client.renew("private-a") == ()
        assert client.renew("private-b") == ()
        assert client.grant("private-a") is None

    def test_a_new_key_of_an_encrypted_channel_is_told_of_before_what_it_opens(self) -> None:
        channel = "private-encrypted-a"
        client = subscribed_to(channel, Authorization("k:sig", None, OTHER_KEY))
        client.renew(channel)
        client.receive(frame("output", seal("1", KEY, NONCE), channel))
        told = client.authorized(channel, SOCKET, Authorization("k:sig", None, KEY))
        assert told == [Renewed(channel), Received(channel, "output", "1")]


class TestEncrypted:
    CHANNEL = "private-encrypted-a"

    def client(self, key: bytes = KEY) -> ChannelsClient:
        return subscribed_to(self.CHANNEL, Authorization("k:sig", None, key))

    def event(self, text: str, key: bytes = KEY) -> str:
        return frame("output", seal(text, key, NONCE), self.CHANNEL)

    def test_events_are_opened(self) -> None:
        assert self.client().receive(self.event("hi")) == (Received(self.CHANNEL, "output", "hi"),)

    @pytest.mark.parametrize("secret", [None, b"short"])
    def test_an_authorization_without_a_key_is_a_failure(self, secret: bytes | None) -> None:
        client = ChannelsClient([self.CHANNEL])
        client.receive(established())
        (failed,) = client.authorized(self.CHANNEL, SOCKET, Authorization("k:sig", None, secret))
        assert isinstance(failed, SubscriptionFailed)

    def test_the_key_is_asked_for_again_once_and_what_came_meanwhile_follows_in_order(self) -> None:
        client = self.client(OTHER_KEY)
        assert client.receive(self.event("1")) == (Authorize(self.CHANNEL, SOCKET),)
        assert client.receive(self.event("2")) == ()
        opened = client.authorized(self.CHANNEL, SOCKET, Authorization("k:sig", None, KEY))
        assert [event.data for event in opened if isinstance(event, Received)] == ["1", "2"]
        assert client.shared_secret(self.CHANNEL) == KEY
        assert client.receive(self.event("3")) == (Received(self.CHANNEL, "output", "3"),)

    def test_garbage_does_not_make_it_ask_for_ever(self) -> None:
        client = self.client()
        assert client.receive(frame("output", "garbage", self.CHANNEL)) == (Authorize(self.CHANNEL, SOCKET),)
        assert client.authorized(self.CHANNEL, SOCKET, Authorization("k:sig", None, KEY)) == []
        assert client.receive(frame("output", "garbage", self.CHANNEL)) == ()
        assert client.unreadable_events == 2

    def test_a_readable_event_allows_another_question(self) -> None:
        client = self.client()
        client.receive(frame("output", "garbage", self.CHANNEL))
        client.authorized(self.CHANNEL, SOCKET, Authorization("k:sig", None, KEY))
        client.receive(self.event("fine"))
        assert client.receive(self.event("new key", OTHER_KEY)) == (Authorize(self.CHANNEL, SOCKET),)

    def test_what_waits_for_the_key_is_bounded(self) -> None:
        client = self.client(OTHER_KEY)
        for number in range(MAX_HELD_EVENTS + 5):
            client.receive(self.event(str(number)))
        opened = client.authorized(self.CHANNEL, SOCKET, Authorization("k:sig", None, KEY))
        assert len(opened) == MAX_HELD_EVENTS
        assert client.unreadable_events == 5

    def test_a_refused_key_ends_the_wait(self) -> None:
        client = self.client(OTHER_KEY)
        client.receive(self.event("1"))
        assert client.refused(self.CHANNEL, SOCKET, 403, "no") == (SubscriptionFailed(self.CHANNEL, 403, "no"),)
        assert client.receive(self.event("2")) == ()
        assert client.unreadable_events == 2


class TestErrors:
    @pytest.mark.parametrize("code", [4000, 4001, 4009, 4100, 4200, 4299])
    def test_errors_that_end_the_connection(self, code: int) -> None:
        assert ChannelsClient().receive(frame("pusher:error", {"code": code, "message": "why"})) == (Leave(code, "why"),)

    def test_what_comes_after_each_code(self) -> None:
        assert [is_final(code) for code in (None, 1006, 3999, 4000, 4099, 4100)] == [False, False, False, True, True, False]
        assert [is_at_once(code) for code in (None, 4199, 4200, 4299, 4300)] == [False, False, True, True, False]
        assert [least_wait_s(code) for code in (None, 4099, 4100, 4199, 4200)] == [0, 0, 1, 1, 0]

    def test_client_events_refused_on_the_channel(self) -> None:
        client = subscribed_to("private-a", Authorization("k:sig"))
        said = frame("pusher:error", {"code": 4301, "message": "off"}, "private-a")
        assert client.receive(said) == (ClientEventsRefused("private-a", 4301, "off"),)

    def test_client_events_refused_by_rate_on_the_connection(self) -> None:
        client = subscribed_to("private-a", Authorization("k:sig"))
        assert client.receive(frame("pusher:error", {"code": 4301, "message": "rate"})) == (
            ClientEventsRefused(None, 4301, "rate"),
        )

    def test_client_events_that_cloud_has_switched_off(self) -> None:
        client = subscribed_to("private-a", Authorization("k:sig"))
        words = "To send client events, you must enable this feature in the Settings page of your dashboard."
        assert client.receive(frame("pusher:error", {"code": None, "message": words})) == (
            ClientEventsRefused(None, None, words),
        )

    def test_other_errors_are_survived(self) -> None:
        client = subscribed_to("private-a", Authorization("k:sig"))
        assert client.receive(frame("pusher:error", {"code": 4302, "message": "watchlist"})) == ()


class TestSigningIn:
    def test_signing_in_makes_messages_to_the_user_heard(self) -> None:
        client = ChannelsClient(sign_in=True)
        client.receive(established())
        assert sent(client.sign_in(SOCKET, "k:sig", '{"id":"anna"}'))[0] == {
            "event": "pusher:signin", "data": {"auth": "k:sig", "user_data": '{"id":"anna"}'}}  # fmt: skip
        to_anna = frame("hello", "x", "#server-to-user-anna")
        assert client.receive(to_anna) == ()
        client.receive(frame("pusher:signin_success", {"user_data": '{"id":"anna"}'}))
        assert client.receive(to_anna) == (Received("#server-to-user-anna", "hello", "x"),)
        assert client.receive(frame("hello", "x", "#server-to-user-bob")) == ()

    def test_a_sign_in_for_an_older_socket_is_not_sent(self) -> None:
        client = ChannelsClient(sign_in=True)
        client.receive(established())
        assert client.sign_in("9.9", "k:sig", '{"id":"anna"}') == ()
