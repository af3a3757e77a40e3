"""The hub's rules, one sentence each; nothing but the pure core is running."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.broker import messages, signatures
from codewrap.broker.limits import Limits
from codewrap.broker.names import parse_channel
from tests.support.hub import APP, Bench, Client


def publish(bench: Bench, channel: str, name: str = "news", data: str = '"x"', **options: str) -> None:
    bench.hub.publish(parse_channel(channel, 200), name, data, **options)


class TestConnecting:
    def test_a_connection_is_greeted_with_its_socket_id_and_time_out(self, bench: Bench) -> None:
        client = Client(bench)
        (frame,) = client.take()
        assert frame["event"] == "pusher:connection_established"
        assert json.loads(frame["data"]) == {"socket_id": client.socket_id, "activity_timeout": 30}
        assert bench.hub.connection_count == 1

    def test_socket_ids_differ_and_look_as_the_sdks_expect(self, bench: Bench) -> None:
        ids = {bench.client().socket_id for _ in range(50)}
        assert len(ids) == 50
        assert all(part.isdigit() for socket_id in ids for part in socket_id.split("."))

    @pytest.mark.parametrize(
        ("protocol", "code"), [(None, 4008), ("", 4006), ("seven", 4006), ("²", 4006), ("3", 4007), ("8", 4007)]
    )
    def test_a_wrong_protocol_version_is_refused(self, bench: Bench, protocol: str | None, code: int) -> None:
        client = Client(bench, protocol=protocol)
        assert client.maybe_connection is None
        assert client.sink.closed is not None
        assert client.sink.closed[0] == code
        assert client.error()["code"] == code

    @pytest.mark.parametrize("protocol", ["4", "5", "6", "7"])
    def test_supported_versions_are_admitted(self, bench: Bench, protocol: str) -> None:
        assert Client(bench, protocol=protocol).maybe_connection is not None

    @pytest.mark.parametrize(("protocol", "frames"), [("7", 0), ("6", 0), ("5", 1)])
    def test_an_unknown_key_is_closed_with_4001(self, bench: Bench, protocol: str, frames: int) -> None:
        client = Client(bench, protocol=protocol, key="nobody")
        assert client.sink.closed is not None
        assert client.sink.closed[0] == 4001
        assert len(client.take()) == frames

    def test_a_connection_is_open_by_its_socket_id_until_it_leaves_or_is_closed(self, bench: Bench) -> None:
        one, other = bench.client(), bench.client()
        assert bench.hub.is_open(one.socket_id)
        one.leave()
        bench.hub.close_socket(other.socket_id)
        bench.hub.close_socket("1.1")
        assert other.sink.closed is not None
        assert not bench.hub.is_open(one.socket_id)
        assert not bench.hub.is_open(other.socket_id)

    def test_one_connection_too_many_is_refused_and_room_is_made_by_leaving(self) -> None:
        bench = Bench(limits=Limits(connections=1))
        first = bench.client()
        assert Client(bench).sink.closed == (4100, "Over the limit of connections")
        first.leave()
        assert Client(bench).maybe_connection is not None

    def test_shutting_down_asks_everybody_to_reconnect(self, bench: Bench) -> None:
        clients = [bench.client(), bench.client()]
        bench.hub.shut_down()
        assert [client.sink.closed and client.sink.closed[0] for client in clients] == [4200, 4200]
        assert bench.hub.connection_count == 0

    def test_what_a_closed_connection_still_says_is_ignored(self, bench: Bench) -> None:
        client = bench.client()
        client.leave()
        client.leave()
        client.says({"event": "pusher:ping"})
        bench.hub.receive_binary(client.connection)
        assert client.take() == []


class TestPulse:
    def test_a_ping_is_answered(self, bench: Bench) -> None:
        client = bench.client()
        client.says({"event": "pusher:ping"})
        assert client.take() == [{"event": "pusher:pong", "data": "{}"}]

    def test_a_quiet_client_is_pinged_and_stays_when_it_answers(self, bench: Bench) -> None:
        client = bench.client()
        bench.later(29)
        assert client.take() == []
        bench.later(1)
        assert client.events() == ["pusher:ping"]
        bench.later(29)
        client.says({"event": "pusher:pong"})
        bench.later(29)
        assert (client.take(), client.sink.closed) == ([], None)

    def test_a_client_that_does_not_answer_is_closed_with_4201(self, bench: Bench) -> None:
        client = bench.client()
        bench.later(30)
        bench.later(29)
        assert client.sink.closed is None
        bench.later(1)
        assert client.sink.closed is not None
        assert client.sink.closed[0] == 4201

    def test_who_is_not_authorized_in_time_is_closed_with_4009(self) -> None:
        bench = Bench(replace(APP, authorized_within_s=10.0))
        idle, joined, signed_in, public = (bench.client() for _ in range(4))
        joined.subscribe("private-a")
        signed_in.sign_in(id="u")
        public.subscribe("a")
        bench.later(10)
        codes = [client.sink.closed and client.sink.closed[0] for client in (idle, joined, signed_in, public)]
        assert codes == [4009, None, None, 4009]


class TestWrongFrames:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "nonsense",
            "[]",
            '"text"',
            "null",
            "{}",
            '{"event":1}',
            '{"event":"pusher:subscribe"}',
            '{"event":"pusher:subscribe","data":[]}',
            '{"event":"pusher:subscribe","data":"nonsense"}',
            '{"event":"pusher:subscribe","data":{"channel":7}}',
            '{"event":"pusher:unsubscribe"}',
            '{"event":"pusher:unsubscribe","data":{"channel":{}}}',
            '{"event":"pusher:unsubscribe","data":{"channel":"never-joined"}}',
            '{"event":"pusher:signin"}',
            '{"event":"pusher:signin","data":{"user_data":{}}}',
            '{"event":"pusher:unheard-of"}',
            '{"event":"something"}',
            '{"event":NaN}',
            "[" * 100_000,
            '{"event":"client-a","channel":[]}',
            '{"event":"client-a","channel":"\\ud800"}',
            '{"event":"pusher:unsubscribe","data":{"channel":"\\ud800"}}',
        ],
    )
    def test_a_wrong_frame_is_answered_and_the_connection_stays(self, bench: Bench, text: str) -> None:
        client = bench.client()
        client.says(text)
        assert client.error()["code"] is None
        assert client.sink.closed is None

    def test_a_frame_over_the_bound_is_refused_before_it_is_read(self) -> None:
        bench = Bench(limits=Limits(frame_bytes=100))
        client = bench.client()
        client.says({"event": "pusher:ping", "data": "é" * 45})
        assert "exceeds" in client.error()["message"]

    def test_binary_frames_are_refused_harmlessly(self, bench: Bench) -> None:
        client = bench.client()
        bench.hub.receive_binary(client.connection)
        assert "Binary" in client.error()["message"]

    @given(text=st.text(max_size=300))
    def test_any_text_is_survived(self, text: str) -> None:
        bench = Bench()
        client, other = bench.client(), bench.client()
        client.says(text)
        other.says({"event": "pusher:ping"})
        assert other.events() == ["pusher:pong"]

    @given(
        event=st.sampled_from(["pusher:subscribe", "pusher:unsubscribe", "pusher:signin", "pusher:pong", "client-x", "x"]),
        channel=st.one_of(st.none(), st.integers(), st.text(), st.sampled_from(["a", "private-a", "presence-a"])),
        data=st.recursive(
            st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.integers()),
            lambda inner: st.one_of(
                st.lists(inner),
                st.dictionaries(st.sampled_from(["channel", "auth", "channel_data", "user_data", "id", "x"]), inner),
            ),
            max_leaves=8,
        ),
    )
    def test_any_json_is_survived(self, event: str, channel: object, data: object) -> None:
        bench = Bench()
        client, other = bench.client(), bench.client()
        client.subscribe("private-a")
        client.join("presence-a", "u")
        other.subscribe("a")
        other.take()
        client.says(json.dumps({"event": event, "channel": channel, "data": data}))
        publish(bench, "a")
        assert other.events()[-1] == "news"

    @given(
        data=st.recursive(
            st.one_of(st.none(), st.integers(), st.floats(), st.text(st.characters(), max_size=5)),
            lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(max_size=5), inner)),
            max_leaves=8,
        )
    )
    def test_rightly_signed_rubbish_is_survived(self, data: object) -> None:
        bench = Bench()
        client, other = bench.client(), bench.client()
        text = json.dumps(data)
        client.subscribe("presence-a", text)
        auth = signatures.user_auth(APP, client.socket_id, text)
        client.says({"event": "pusher:signin", "data": {"auth": auth, "user_data": text}})
        other.join("presence-a", "good")
        assert other.events()[0] == "pusher_internal:subscription_succeeded"


class TestSubscribing:
    @pytest.mark.parametrize("channel", ["a", "private-a", "private-encrypted-a", "private-cache-a_=@,.;-Z9"])
    def test_a_subscription_succeeds_and_events_arrive_as_published(self, bench: Bench, channel: str) -> None:
        client = bench.client()
        client.subscribe(channel)
        assert client.take()[0] == {
            "event": "pusher_internal:subscription_succeeded",
            "channel": channel,
            "data": "{}",
        }
        publish(bench, channel, data='{"ü": "\\u001b"}')
        assert client.take() == [{"event": "news", "channel": channel, "data": '{"ü": "\\u001b"}'}]

    def test_data_may_be_json_text(self, bench: Bench) -> None:
        client = bench.client()
        client.says({"event": "pusher:subscribe", "data": '{"channel":"a"}'})
        assert client.events() == ["pusher_internal:subscription_succeeded"]

    @pytest.mark.parametrize("channel", ["", "a b", "a/b", "#a", "ä", "a" * 201, "#server-to-user-"])
    def test_an_invalid_name_is_refused_on_the_channel(self, bench: Bench, channel: str) -> None:
        client = bench.client()
        client.subscribe(channel)
        (frame,) = client.take()
        assert (frame["event"], frame["channel"]) == ("pusher:subscription_error", channel)
        assert frame["data"]["status"] == 4009

    @pytest.mark.parametrize("auth", [None, 5, "", "app-key:00", "é", "\ud800"])
    @pytest.mark.parametrize("channel", ["private-a", "private-encrypted-a", "presence-a"])
    def test_a_wrong_signature_is_refused_and_the_connection_stays(self, bench: Bench, channel: str, auth: object) -> None:
        client = bench.client()
        client.subscribe(channel, auth=auth)
        (frame,) = client.take()
        assert frame["data"]["type"] == "AuthError"
        assert frame["data"]["status"] == 401
        publish(bench, channel)
        assert (client.take(), client.sink.closed) == ([], None)

    def test_another_sockets_signature_is_refused(self, bench: Bench) -> None:
        client, other = bench.client(), bench.client()
        auth = signatures.channel_auth(APP, other.socket_id, "private-a")
        client.subscribe("private-a", auth=auth)
        assert client.events() == ["pusher:subscription_error"]

    def test_channel_data_is_part_of_what_is_signed_on_private_channels_too(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("private-a", channel_data="x")
        assert client.events() == ["pusher_internal:subscription_succeeded"]
        auth = signatures.channel_auth(APP, client.socket_id, "private-b")
        client.subscribe("private-b", channel_data="x", auth=auth)
        assert client.events() == ["pusher:subscription_error"]

    def test_channel_data_must_be_text(self, bench: Bench) -> None:
        client = bench.client()
        client.says({"event": "pusher:subscribe", "data": {"channel": "presence-a", "channel_data": {}}})
        assert client.take()[0]["data"]["error"] == "channel_data must be a string"

    def test_a_second_subscription_is_an_error_and_delivery_stays_single(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("a")
        client.take()
        client.subscribe("a")
        assert client.error() == {"code": None, "message": "Existing subscription to channel a"}
        publish(bench, "a")
        assert client.events() == ["news"]

    def test_after_unsubscribing_nothing_arrives(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("a")
        client.says({"event": "pusher:unsubscribe", "data": {"channel": "a"}})
        client.take()
        publish(bench, "a")
        assert client.take() == []
        assert list(bench.hub.channels) == []

    def test_the_publisher_can_leave_one_socket_out(self, bench: Bench) -> None:
        one, two = bench.client(), bench.client()
        for client in (one, two):
            client.subscribe("a")
            client.take()
        publish(bench, "a", except_socket=one.socket_id)
        assert (one.take(), two.events()) == ([], ["news"])

    def test_channels_of_one_connection_are_bounded(self) -> None:
        bench = Bench(limits=Limits(channels_per_connection=1))
        client = bench.client()
        client.subscribe("a")
        client.subscribe("b")
        assert client.take()[1]["data"]["status"] == 4100


class TestPresence:
    def test_the_roster_names_every_user_once_and_newcomers_are_announced_once(self, bench: Bench) -> None:
        ann, bob, ann_again = bench.client(), bench.client(), bench.client()
        ann.join("presence-a", "ann", {"name": "Ann"})
        bob.join("presence-a", 5)
        ann_again.join("presence-a", "ann", {"name": "other"})
        roster = json.loads(ann_again.take()[0]["data"])["presence"]
        assert roster == {"ids": ["ann", "5"], "hash": {"ann": {"name": "Ann"}, "5": None}, "count": 2}
        joined = ann.take()[1:]
        assert [frame["event"] for frame in joined] == ["pusher_internal:member_added"]
        assert json.loads(joined[0]["data"]) == {"user_id": "5", "user_info": None}
        assert len(bob.take()) == 1

    def test_a_member_is_gone_with_the_last_socket(self, bench: Bench) -> None:
        ann, ann_again, bob = bench.client(), bench.client(), bench.client()
        for client, user_id in ((ann, "ann"), (ann_again, "ann"), (bob, "bob")):
            client.join("presence-a", user_id)
        bob.take()
        ann.leave()
        assert bob.take() == []
        ann_again.says({"event": "pusher:unsubscribe", "data": {"channel": "presence-a"}})
        (frame,) = bob.take()
        assert frame["event"] == "pusher_internal:member_removed"
        assert json.loads(frame["data"]) == {"user_id": "ann"}

    def test_members_are_counted_by_a_text_of_their_info(self, bench: Bench) -> None:
        for number, info in enumerate([{"role": "viewer"}, {"role": "viewer"}, {"role": 5}, {"role": "host"}, None, "x"]):
            bench.client().join("presence-a", f"user-{number}", info)
        bench.client().subscribe("public")
        assert bench.hub.count_members("role") == {"viewer": 2, "host": 1, "": 3}
        assert bench.hub.count_members("name") == {"": 6}

    def test_a_full_channel_takes_known_users_only(self) -> None:
        bench = Bench(limits=Limits(presence_members=1))
        ann, ann_again, bob = bench.client(), bench.client(), bench.client()
        ann.join("presence-a", "ann")
        bob.join("presence-a", "bob")
        assert bob.take()[0]["data"]["status"] == 4100
        ann_again.join("presence-a", "ann")
        assert ann_again.events() == ["pusher_internal:subscription_succeeded"]

    def test_a_signed_in_user_needs_no_channel_data(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("presence-a")
        assert client.take()[0]["data"]["status"] == 401
        client.sign_in(id="ann", user_info={"n": 1})
        client.take()
        client.subscribe("presence-a")
        assert json.loads(client.take()[0]["data"])["presence"]["hash"] == {"ann": {"n": 1}}


class TestCacheChannels:
    def test_the_last_published_event_comes_right_after_the_success(self, bench: Bench) -> None:
        publish(bench, "cache-a", data="1")
        publish(bench, "cache-a", name="later", data="2")
        client = bench.client()
        client.subscribe("cache-a")
        assert client.take()[1:] == [{"event": "later", "channel": "cache-a", "data": "2"}]

    def test_without_an_event_a_miss_is_said_and_hooked(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("cache-a")
        assert client.take()[1:] == [{"event": "pusher:cache_miss", "channel": "cache-a"}]
        assert bench.hook_names() == ["channel_occupied", "cache_miss"]

    def test_an_event_is_kept_for_half_an_hour(self, bench: Bench) -> None:
        publish(bench, "private-cache-a")
        bench.later(1799)
        client = bench.client()
        client.subscribe("private-cache-a")
        assert client.events()[1:] == ["news"]
        bench.now += 1
        other = bench.client()
        other.subscribe("private-cache-a")
        assert other.events()[1:] == ["pusher:cache_miss"]

    def test_client_events_are_not_kept(self, bench: Bench) -> None:
        client, other = bench.client(), bench.client()
        client.subscribe("private-cache-a")
        client.says({"event": "client-x", "channel": "private-cache-a", "data": "1"})
        other.subscribe("private-cache-a")
        assert other.events()[1:] == ["pusher:cache_miss"]


class TestSubscriptionCounts:
    def test_every_change_is_told_to_all_but_not_on_presence_channels(self) -> None:
        bench = Bench(replace(APP, subscription_counts=True))
        one, two = bench.client(), bench.client()
        one.subscribe("a")
        two.subscribe("a")
        two.leave()
        counts = [json.loads(frame["data"])["subscription_count"] for frame in one.take()[1:]]
        assert counts == [1, 2, 1]
        one.join("presence-a", "u")
        assert one.events() == ["pusher_internal:subscription_succeeded"]
        assert bench.hook_names().count("subscription_count") == 3

    def test_large_channels_are_counted_every_few_seconds(self) -> None:
        bench = Bench(replace(APP, subscription_counts=True), Limits(count_each_change_up_to=1))
        clients = [bench.client() for _ in range(3)]
        for client in clients:
            client.subscribe("a")
        clients[0].take()
        bench.later(4.9)
        assert clients[0].take() == []
        bench.later(0.1)
        assert [json.loads(frame["data"]) for frame in clients[0].take()] == [{"subscription_count": 3}]
        bench.later(5)
        assert clients[0].take() == []

    def test_a_channel_vacated_before_its_count_is_due_is_forgotten(self) -> None:
        bench = Bench(replace(APP, subscription_counts=True), Limits(count_each_change_up_to=0))
        client = bench.client()
        client.subscribe("a")
        client.leave()
        bench.hook_names()
        bench.later(5)
        assert bench.hook_names() == ["channel_vacated"]


class TestClientEvents:
    @pytest.fixture
    def pair(self, bench: Bench) -> tuple[Client, Client]:
        clients = bench.client(), bench.client()
        for index, client in enumerate(clients):
            client.subscribe("private-a")
            client.subscribe("public")
            client.join("presence-a", f"user{index}")
        for client in clients:
            client.take()
        return clients

    def test_it_goes_to_all_others_and_never_back(self, pair: tuple[Client, Client]) -> None:
        pair[0].says({"event": "client-x", "channel": "private-a", "data": "text"})
        assert pair[1].take() == [{"event": "client-x", "channel": "private-a", "data": "text"}]
        assert pair[0].take() == []

    def test_objects_are_passed_on_as_json_text(self, pair: tuple[Client, Client]) -> None:
        pair[0].says({"event": "client-x", "channel": "private-a", "data": {"a": [1, None, "é"]}})
        assert pair[1].take()[0]["data"] == '{"a":[1,null,"é"]}'

    def test_without_data_it_has_none(self, pair: tuple[Client, Client]) -> None:
        pair[0].says({"event": "client-x", "channel": "private-a"})
        assert pair[1].take() == [{"event": "client-x", "channel": "private-a"}]

    def test_presence_channels_name_the_sender_whatever_it_claims(self, pair: tuple[Client, Client]) -> None:
        pair[0].says({"event": "client-x", "channel": "presence-a", "data": "1", "user_id": "user1"})
        assert pair[1].take()[0]["user_id"] == "user0"

    def test_it_is_hooked(self, bench: Bench, pair: tuple[Client, Client]) -> None:
        bench.hook_names()
        pair[0].says({"event": "client-x", "channel": "presence-a", "data": "1"})
        assert bench.hooks[0] == {
            "name": "client_event",
            "channel": "presence-a",
            "event": "client-x",
            "data": "1",
            "socket_id": pair[0].socket_id,
            "user_id": "user0",
        }

    @pytest.mark.parametrize(
        ("frame", "words"),
        [
            ({"channel": "public", "data": "1"}, "private and presence"),
            ({"channel": "private-b", "data": "1"}, "not subscribed to channel private-b"),
            ({"channel": "private-a", "data": "1" * 102_401}, "exceeds the allowed maximum"),
            ({"channel": "private-a", "data": "\ud800"}, "exceeds the allowed maximum"),
            ({"channel": "private-a", "data": {"a": "\ud800"}}, "exceeds the allowed maximum"),
            ({"event": "client-" + "x" * 200, "channel": "private-a"}, "event name"),
            ({"event": "client-\ud800", "channel": "private-a"}, "event name"),
        ],
    )
    def test_what_breaks_a_rule_is_refused(self, pair: tuple[Client, Client], frame: dict[str, object], words: str) -> None:
        pair[0].says({"event": "client-x", **frame})
        assert words in pair[0].error()["message"]
        assert pair[1].take() == []

    @pytest.mark.parametrize(("data", "words"), [("1e999", "not valid JSON"), ("[" * 66 + "]" * 66, "nested too deep")])
    def test_json_that_cannot_be_sent_on_is_refused(self, pair: tuple[Client, Client], data: str, words: str) -> None:
        pair[0].says(f'{{"event":"client-x","channel":"private-a","data":{data}}}')
        assert words in pair[0].error()["message"]

    def test_an_app_can_switch_them_off(self) -> None:
        bench = Bench(replace(APP, client_events=False))
        client = bench.client()
        client.subscribe("private-a")
        client.take()
        client.says({"event": "client-x", "channel": "private-a", "data": "1"})
        assert "enable this feature" in client.error()["message"]

    def test_the_rate_is_limited_per_second(self) -> None:
        bench = Bench(limits=Limits.pusher_cloud())
        sender, other = bench.client(), bench.client()
        for client in (sender, other):
            client.subscribe("private-a")
            client.take()
        for _ in range(11):
            sender.says({"event": "client-x", "channel": "private-a", "data": "1"})
        assert sender.error()["code"] == 4301
        assert len(other.take()) == 10
        bench.now += 1
        sender.says({"event": "client-x", "channel": "private-a", "data": "1"})
        assert len(other.take()) == 1


class TestUsers:
    def test_a_sign_in_is_answered_with_its_user_data(self, bench: Bench) -> None:
        client = bench.client()
        client.sign_in(id="ann")
        (frame,) = client.take()
        assert frame["event"] == "pusher:signin_success"
        assert json.loads(frame["data"]) == {"user_data": '{"id": "ann"}'}

    def test_the_same_user_may_repeat_it_and_another_may_not(self, bench: Bench) -> None:
        client = bench.client()
        client.sign_in(id="ann")
        client.sign_in(id="ann")
        assert client.events() == ["pusher:signin_success"] * 2
        client.sign_in(id="bob")
        assert "another user" in client.error()["message"]
        assert list(bench.hub.users.sockets("bob")) == []

    @pytest.mark.parametrize("auth", [None, "app-key:00"])
    def test_a_wrong_signature_ends_the_connection_with_4009(self, bench: Bench, auth: object) -> None:
        client = bench.client()
        client.says({"event": "pusher:signin", "data": {"auth": auth, "user_data": '{"id":"ann"}'}})
        assert client.error()["code"] == 4009
        assert client.sink.closed is not None
        assert client.sink.closed[0] == 4009

    def test_events_to_a_user_reach_all_their_sockets_and_nobody_else(self, bench: Bench) -> None:
        one, two, other = (bench.client() for _ in range(3))
        one.sign_in(id="ann")
        two.sign_in(id="ann")
        other.sign_in(id="bob")
        for client in (one, two, other):
            client.take()
        publish(bench, "#server-to-user-ann")
        assert (one.events(), two.events(), other.take()) == (["news"], ["news"], [])

    def test_only_the_user_may_subscribe_to_the_own_channel(self, bench: Bench) -> None:
        ann, nobody = bench.client(), bench.client()
        ann.sign_in(id="ann")
        ann.take()
        ann.subscribe("#server-to-user-ann")
        assert ann.events() == ["pusher_internal:subscription_succeeded"]
        ann.subscribe("#server-to-user-bob")
        nobody.subscribe("#server-to-user-ann")
        assert ann.events() == nobody.events() == ["pusher:subscription_error"]
        publish(bench, "#server-to-user-ann")
        assert (ann.events(), nobody.take()) == (["news"], [])
        ann.leave()
        bench.later(10)
        assert bench.hook_names() == []

    def test_terminating_a_user_closes_signed_in_sockets_only(self, bench: Bench) -> None:
        signed_in, member = bench.client(), bench.client()
        signed_in.sign_in(id="ann")
        member.join("presence-a", "ann")
        bench.hub.terminate_user("ann")
        assert signed_in.sink.closed is not None
        assert signed_in.sink.closed[0] == 4009
        assert member.sink.closed is None

    def test_a_watchlist_tells_the_present_state_then_changes(self, bench: Bench) -> None:
        ann, watcher = bench.client(), bench.client()
        ann.sign_in(id="ann")
        watcher.sign_in(id="w", watchlist=["ann", "bob"])
        state = json.loads(watcher.take()[1]["data"])["events"]
        assert state == [{"name": "online", "user_ids": ["ann"]}, {"name": "offline", "user_ids": ["bob"]}]
        ann.leave()
        assert json.loads(watcher.take()[0]["data"])["events"] == [{"name": "offline", "user_ids": ["ann"]}]

    def test_a_long_watchlist_is_cut_and_says_so(self) -> None:
        bench = Bench(limits=Limits(watchlist_users=1))
        watcher = bench.client()
        watcher.sign_in(id="w", watchlist=["ann", "bob"])
        frames = watcher.take()
        assert frames[1]["data"]["code"] == 4302
        assert json.loads(frames[2]["data"])["events"] == [{"name": "offline", "user_ids": ["ann"]}]

    def test_watchlists_can_be_switched_off(self) -> None:
        bench = Bench(replace(APP, watchlists=False))
        watcher = bench.client()
        watcher.sign_in(id="w", watchlist=["ann"])
        assert watcher.events() == ["pusher:signin_success"]


class TestHooks:
    def test_channels_and_members_come_and_go(self, bench: Bench) -> None:
        client = bench.client()
        client.join("presence-a", "ann")
        assert bench.hook_names() == ["channel_occupied", "member_added"]
        client.leave()
        bench.later(2.9)
        assert bench.hook_names() == []
        bench.later(0.1)
        assert bench.hook_names() == ["member_removed", "channel_vacated"]

    def test_a_quick_reconnect_makes_no_noise(self, bench: Bench) -> None:
        client = bench.client()
        client.join("presence-a", "ann")
        bench.hook_names()
        client.leave()
        bench.later(2)
        bench.client().join("presence-a", "ann")
        bench.later(5)
        assert bench.hook_names() == []


def test_an_unknown_channel_is_published_to_without_effect(bench: Bench) -> None:
    publish(bench, "nobody-here")
    assert list(bench.hub.channels) == []


def test_the_clock_of_the_hub_is_the_one_it_was_given(bench: Bench) -> None:
    assert bench.hub.now_s() == 1000.0


def test_one_frame_is_encoded_once_for_all(bench: Bench) -> None:
    clients = [bench.client() for _ in range(3)]
    for client in clients:
        client.subscribe("a")
    publish(bench, "a")
    assert len({id(client.sink.texts[-1]) for client in clients}) == 1
    assert clients[0].sink.texts[-1] == messages.event("a", "news", '"x"')
