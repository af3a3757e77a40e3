"""The publisher and the HTTP API in the hub's own thread."""

from __future__ import annotations

import json

import pytest

from codewrap.broker.app import HubRuntime
from codewrap.broker.inprocess import HubApi, HubPublisher
from codewrap.broker.refusals import Refusal
from codewrap.transport.base import Event
from tests.support.hub import APP, Recorder
from tests.support.hubclient import sign


def test_events_reach_all_who_subscribe_in_order_as_they_are() -> None:
    runtime = HubRuntime(APP)
    listeners = [Recorder(), Recorder()]
    for listener in listeners:
        connection = runtime.connect(listener, APP.key, "7")
        assert connection is not None
        runtime.receive(connection, json.dumps({"event": "pusher:subscribe", "data": {"channel": "news"}}))
        listener.frames.clear()
    publisher = HubPublisher(runtime)
    publisher.publish([Event("news", "output", '{"n":1}'), Event("news", "exit", "─"), Event("elsewhere", "output", "x")])
    publisher.close()
    for listener in listeners:
        assert [(frame["channel"], frame["event"], frame["data"]) for frame in listener.frames] == [
            ("news", "output", '{"n":1}'),
            ("news", "exit", "─"),
        ]


def test_a_channel_that_cannot_be_is_refused_before_anything_is_said() -> None:
    with pytest.raises(Refusal):
        HubPublisher(HubRuntime(APP)).publish([Event("no spaces please", "output", "x")])


def test_the_http_api_answers_as_over_a_socket() -> None:
    api = HubApi(HubRuntime(APP))
    path = f"/apps/{APP.app_id}/channels"
    status, body = api.request("GET", sign("GET", path), b"")
    assert (status, json.loads(body)) == (200, {"channels": {}})
    assert api.request("GET", f"{path}?auth_key=nobody", b"")[0] == 401
