"""Frames as they stand on the wire."""

from __future__ import annotations

import json

import pytest

from codewrap.broker import messages
from codewrap.broker.limits import Limits
from codewrap.broker.refusals import Refusal


def test_pusher_frames_carry_json_inside_a_json_string_except_errors() -> None:
    established = json.loads(messages.connection_established("1.2", 30))
    assert json.loads(established["data"]) == {"socket_id": "1.2", "activity_timeout": 30}
    assert json.loads(json.loads(messages.signin_success("{}"))["data"]) == {"user_data": "{}"}
    assert json.loads(messages.error(None, "no"))["data"] == {"code": None, "message": "no"}
    refused = json.loads(messages.subscription_error("a", 401, "no"))
    assert refused["data"] == {"type": "AuthError", "error": "no", "status": 401}
    assert json.loads(json.loads(messages.watchlist([("online", ("a",))]))["data"]) == {
        "events": [{"name": "online", "user_ids": ["a"]}]
    }


def test_an_event_has_only_the_parts_it_was_given() -> None:
    assert json.loads(messages.event("c", "e", None)) == {"event": "e", "channel": "c"}
    assert json.loads(messages.event("c", "e", "d", "u")) == {
        "event": "e",
        "channel": "c",
        "data": "d",
        "user_id": "u",
    }


def test_a_peers_lone_surrogate_can_be_answered() -> None:
    messages.error(None, "\ud800").encode()
    messages.subscription_error("\ud800", 401, "\ud800").encode()


def test_a_frame_is_read_with_what_it_lacks_as_none() -> None:
    frame = messages.parse_frame('{"event":"x"}', Limits())
    assert (frame.event, frame.channel, frame.data) == ("x", None, None)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"event":{}}', '{"event":"x","data":Infinity}', "\ud800"])
def test_what_is_no_frame_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        messages.parse_frame(text, Limits())


def test_every_truncation_of_a_frame_is_refused() -> None:
    whole = '{"event":"pusher:subscribe","data":{"channel":"a"}}'
    for length in range(len(whole)):
        with pytest.raises(Refusal):
            messages.parse_frame(whole[:length], Limits())


def test_sizes_are_those_on_the_wire() -> None:
    assert [messages.size_bytes(text) for text in ("abc", "é", "😀", "\ud800")] == [3, 2, 4, None]


def test_depth_is_counted() -> None:
    assert messages.depth_within("flat", 0)
    assert not messages.depth_within({"a": 1}, 0)
    assert messages.depth_within({"a": [1]}, 2)
    assert not messages.depth_within({"a": [[1]]}, 2)


def test_json_that_is_too_deep_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="deep"):
        messages.decode_json("[" * 200_000)


def test_an_object_may_come_as_text() -> None:
    assert messages.object_of({"a": 1}) == messages.object_of('{"a": 1}') == {"a": 1}
    for wrong in (None, [], "[]", "nonsense"):
        with pytest.raises(Refusal):
            messages.object_of(wrong)
