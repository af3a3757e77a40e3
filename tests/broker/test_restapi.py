"""The HTTP API without HTTP: requests signed by the official library's rules, answers as the hosted service gives them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.broker import signatures
from codewrap.broker.limits import Limits
from codewrap.broker.restapi import Answer, RestApi
from codewrap.broker.signatures import ApiRequest
from tests.support.hub import APP, Bench

NOW = 1_700_000_000.0


def ask(bench: Bench, method: str, path: str, body: object = None, **query: str) -> Answer:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"auth_key": APP.key, "auth_timestamp": str(int(NOW)), "auth_version": "1.0", **query}
    if raw:
        fields["body_md5"] = hashlib.md5(raw).hexdigest()
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
    signature = signatures.hex_digest(APP, f"{method}\n{path}\n{text}")
    request = ApiRequest.of(method, f"{path}?{text}&auth_signature={signature}", raw)
    return RestApi(bench.hub).answer(request, NOW)


def good(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    assert answer.is_json
    return json.loads(answer.body)


def publish(bench: Bench, **fields: object) -> Answer:
    return ask(bench, "POST", "/apps/7/events", {"name": "news", "data": "d", **fields})


class TestEvents:
    def test_an_event_reaches_each_of_its_channels(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("a")
        client.subscribe("b")
        client.take()
        assert good(publish(bench, channels=["a", "b"])) == {}
        assert [frame["channel"] for frame in client.take()] == ["a", "b"]
        assert good(publish(bench, channel="a")) == {}
        assert client.events() == ["news"]

    def test_the_sender_can_be_left_out(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("a")
        client.take()
        publish(bench, channel="a", socket_id=client.socket_id)
        assert client.take() == []

    def test_info_tells_of_the_channels(self, bench: Bench) -> None:
        bench.client().join("presence-a", "ann")
        answer = publish(bench, channels=["presence-a", "b"], info="user_count,subscription_count")
        assert good(answer) == {
            "channels": {
                "presence-a": {"user_count": 1, "subscription_count": 1},
                "b": {"subscription_count": 0},
            }
        }

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"channels": []},
            {"channels": "a"},
            {"channels": ["a"] * 101},
            {"channels": [5]},
            {"channel": "not allowed"},
            {"channel": None},
            {"channel": "a", "name": ""},
            {"channel": "a", "name": 5},
            {"channel": "a", "name": "x" * 201},
            {"channel": "a", "name": "pusher:error"},
            {"channel": "a", "name": "pusher_internal:member_added"},
            {"channel": "a", "data": {}},
            {"channel": "a", "data": None},
            {"channel": "a", "data": "\ud800"},
            {"channel": "a", "socket_id": "nonsense"},
            {"channel": "a", "socket_id": 5},
            {"channel": "a", "info": "cache"},
            {"channel": "a", "info": 5},
        ],
    )
    def test_what_is_no_event_is_refused_with_400(self, bench: Bench, fields: dict[str, object]) -> None:
        answer = publish(bench, **fields)
        assert (answer.status, answer.is_json) == (400, False)
        assert answer.body

    @pytest.mark.parametrize("body", [b"nonsense", b"[]", b"\xff", b"[" * 100_000, b""])
    def test_what_is_no_object_is_refused_with_400(self, bench: Bench, body: bytes) -> None:
        assert ask(bench, "POST", "/apps/7/events", body).status == 400

    @pytest.mark.parametrize(("data", "status"), [("é" * 5120, 200), ("é" * 5120 + "x", 413)])
    def test_data_is_measured_in_bytes(self, data: str, status: int) -> None:
        assert publish(Bench(limits=Limits.pusher_cloud()), channel="a", data=data).status == status

    def test_a_huge_request_is_refused_before_it_is_read(self) -> None:
        bench = Bench(limits=Limits(request_bytes=100))
        assert publish(bench, channel="a", data="x" * 100).status == 413


class TestBatches:
    def test_events_arrive_in_order(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("a")
        client.take()
        batch = [{"channel": "a", "name": str(number), "data": ""} for number in range(10)]
        assert good(ask(bench, "POST", "/apps/7/batch_events", {"batch": batch})) == {}
        assert client.events() == [str(number) for number in range(10)]

    def test_info_is_answered_event_by_event(self, bench: Bench) -> None:
        bench.client().subscribe("a")
        batch = [
            {"channel": "a", "name": "n", "data": "", "info": "subscription_count"},
            {"channel": "b", "name": "n", "data": ""},
        ]
        answer = good(ask(bench, "POST", "/apps/7/batch_events", {"batch": batch}))
        assert answer == {"batch": [{"subscription_count": 1}, {}]}

    @pytest.mark.parametrize(
        "batch",
        [None, {}, [None], [{"channel": "a", "name": "n", "data": ""}] * 11, [{"channel": "a", "name": "n"}]],
    )
    def test_a_wrong_batch_is_refused_as_a_whole(self, bench: Bench, batch: object) -> None:
        assert ask(bench, "POST", "/apps/7/batch_events", {"batch": batch}).status == 400

    def test_one_wrong_event_keeps_all_back(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("a")
        client.take()
        batch = [{"channel": "a", "name": "n", "data": ""}, {"channel": "a", "name": "n"}]
        assert ask(bench, "POST", "/apps/7/batch_events", {"batch": batch}).status == 400
        assert client.take() == []


class TestQuestions:
    def test_occupied_channels_are_listed_by_prefix(self, bench: Bench) -> None:
        client = bench.client()
        client.sign_in(id="ann")
        for channel in ("a", "presence-b", "#server-to-user-ann"):
            client.subscribe(channel)
        assert good(ask(bench, "GET", "/apps/7/channels")) == {"channels": {"a": {}, "presence-b": {}}}
        answer = ask(bench, "GET", "/apps/7/channels", filter_by_prefix="presence-", info="user_count")
        assert good(answer) == {"channels": {"presence-b": {"user_count": 1}}}

    def test_users_are_counted_on_presence_channels_only(self, bench: Bench) -> None:
        assert ask(bench, "GET", "/apps/7/channels", info="user_count").status == 400
        assert ask(bench, "GET", "/apps/7/channels/a", info="user_count").status == 400
        assert ask(bench, "GET", "/apps/7/channels/a/users").status == 400

    def test_one_channel_tells_whether_it_is_occupied(self, bench: Bench) -> None:
        assert good(ask(bench, "GET", "/apps/7/channels/a")) == {"occupied": False}
        bench.client().subscribe("a")
        answer = ask(bench, "GET", "/apps/7/channels/a", info="subscription_count")
        assert good(answer) == {"occupied": True, "subscription_count": 1}
        answer = ask(bench, "GET", "/apps/7/channels/presence-a", info="user_count")
        assert good(answer) == {"occupied": False, "user_count": 0}

    def test_the_cached_event_can_be_asked_for(self, bench: Bench) -> None:
        assert good(ask(bench, "GET", "/apps/7/channels/cache-a", info="cache"))["cache"] is None
        publish(bench, channel="cache-a", data="kept")
        bench.now += 60
        answer = good(ask(bench, "GET", "/apps/7/channels/cache-a", info="cache"))
        assert answer == {"occupied": False, "cache": {"data": "kept", "ttl": 1740}}
        assert ask(bench, "GET", "/apps/7/channels/a", info="cache").status == 400

    def test_members_are_listed(self, bench: Bench) -> None:
        assert good(ask(bench, "GET", "/apps/7/channels/presence-a/users")) == {"users": []}
        bench.client().join("presence-a", 5)
        bench.client().join("presence-a", "ann")
        answer = ask(bench, "GET", "/apps/7/channels/presence-a/users")
        assert good(answer) == {"users": [{"id": "5"}, {"id": "ann"}]}

    @pytest.mark.parametrize("path", ["/apps/7/channels/a%20b", "/apps/7/channels/%FF", "/apps/7/channels/%23a/users"])
    def test_an_impossible_channel_is_refused(self, bench: Bench, path: str) -> None:
        assert ask(bench, "GET", path).status == 400


class TestUsers:
    def test_a_users_connections_are_ended(self, bench: Bench) -> None:
        client = bench.client()
        client.sign_in(id="ann@example.com")
        path = "/apps/7/users/ann%40example.com/terminate_connections"
        assert good(ask(bench, "POST", path, {})) == {}
        assert client.sink.closed is not None
        assert ask(bench, "POST", "/apps/7/users/a%20b/terminate_connections", {}).status == 400


class TestDoors:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/"),
            ("GET", "/apps/7"),
            ("GET", "/apps/7/events"),
            ("POST", "/apps/7/channels"),
            ("DELETE", "/apps/7/channels"),
            ("GET", "/apps/7/channels/"),
            ("GET", "/apps/8/channels"),
            ("POST", "/users/ann/terminate_connections"),
        ],
    )
    def test_what_does_not_exist_is_404_in_json(self, bench: Bench, method: str, path: str) -> None:
        answer = ask(bench, method, path)
        assert (answer.status, answer.is_json) == (404, True)
        assert "error" in json.loads(answer.body)

    def test_an_unsigned_request_is_401_and_changes_nothing(self, bench: Bench) -> None:
        client = bench.client()
        client.subscribe("a")
        client.take()
        request = ApiRequest.of("POST", "/apps/7/events", b'{"name":"n","data":"","channel":"a"}')
        assert RestApi(bench.hub).answer(request, NOW).status == 401
        assert client.take() == []

    @given(body=st.binary(max_size=200), path=st.text(max_size=50), method=st.sampled_from(["GET", "POST", "PUT"]))
    def test_any_request_is_answered(self, body: bytes, path: str, method: str) -> None:
        answer = RestApi(Bench().hub).answer(ApiRequest.of(method, f"/apps/7/{path}", body), NOW)
        assert 400 <= answer.status < 500

    @given(
        fields=st.dictionaries(
            st.sampled_from(["name", "data", "channel", "channels", "socket_id", "info", "batch"]),
            st.recursive(
                st.one_of(st.none(), st.integers(), st.text(), st.sampled_from(["a", "cache-a"])),
                lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(max_size=4), inner)),
                max_leaves=6,
            ),
        ),
        route=st.sampled_from(["events", "batch_events"]),
    )
    def test_any_signed_body_is_answered(self, fields: dict[str, object], route: str) -> None:
        assert ask(Bench(), "POST", f"/apps/7/{route}", fields).status in (200, 400)
