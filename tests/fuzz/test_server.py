"""Inputs without end against a real `serve-auth` that is its own broker: it stays up, says nothing wrong, and keeps nothing.

python -m pytest tests/fuzz/test_server.py --fuzz 200000 --fuzz-seed 7
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect

from codewrap.broker.apps import App
from tests.fuzz.driver import Fuzzer
from tests.fuzz.httpinputs import Requests, Secrets
from tests.fuzz.mutations import dumps, mutated, scrambled
from tests.support.hubclient import WireClient, eventually, sign
from tests.support.served import Served
from tests.support.sessions import TOKEN

# Its caches and counters are bounded and may fill up: names, and the last event of each cache channel.
GROWTH_BYTES = 48 * 1024 * 1024
WARM_UP = 0.25
LIMIT_S = 3600


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    # Behind a proxy every request may come from an address of its own, and none is refused for what another one did.
    with Served(tmp_path, "--behind-proxy", settings={"AUTH_TOKEN": TOKEN}, log=tmp_path / "log") as served:
        yield served


def app_of(served: Served) -> App:
    keys = json.loads((served.directory / "state/codewrap/serve-auth/keys.json").read_text())
    return App(keys["app_id"], keys["key"], keys["secret"])


def requests_to(served: Served, app: App) -> Requests:
    document = json.loads(served.request("GET", "/openapi.json")[2])
    opened = json.loads(served.request("POST", "/api/sessions", {"sessionId": "fuzzed"})[2])
    return Requests(document, Secrets(served.token, app.app_id, app.key, app.secret, opened["key"], opened["secret"]))


def converses(served: Served, app: App) -> None:
    """A session of two as any other: authorized, subscribed, published to, typed into."""
    url = f"ws://127.0.0.1:{served.port}/app/{app.key}?protocol=7"
    with connect(url, proxy=None, compression=None) as socket:
        client = WireClient(socket, app)
        channel = "private-encrypted-input-normal"
        value = {"socket_id": client.socket_id, "channel_name": channel, "role": "host"}
        status, _, body = served.request("POST", "/pusher/auth", value)
        assert status == 200, body
        client.say({"event": "pusher:subscribe", "data": {"channel": channel, "auth": json.loads(body)["auth"]}})
        assert client.hear()["event"] == "pusher_internal:subscription_succeeded"
        event = json.dumps({"name": "control", "channel": channel, "data": "{}"}).encode()
        path = sign("POST", f"/apps/{app.app_id}/events", event, app)
        assert served.request("POST", path, json.loads(event))[0] == 200
        assert client.hear()["event"] == "control"
        client.say({"event": "pusher:ping", "data": {}})
        assert client.hear()["event"] == "pusher:pong"


@pytest.mark.timeout(LIMIT_S)
def test_whatever_is_sent_the_server_goes_on_and_keeps_nothing_of_it(
    server: Served, fuzz_count: int, fuzz_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    app = app_of(server)
    fuzzer = Fuzzer(server.port, app, requests_to(server, app), fuzz_seed)
    process = psutil.Process(server.process.pid)
    converses(server, app)
    descriptors = process.num_fds()

    async def play(count: int) -> None:
        writers = await fuzzer.linger()
        await fuzzer.play(count)
        for writer in writers:
            writer.close()

    asyncio.run(play(int(fuzz_count * WARM_UP)))
    before = process.memory_info().rss
    asyncio.run(play(fuzz_count - int(fuzz_count * WARM_UP)))
    played = fuzzer.played
    grown = process.memory_info().rss - before
    told = f"seed {fuzz_seed}: {played.count} inputs {dict(played.inputs)}, answers {dict(sorted(played.statuses.items()))}, "
    told += f"{grown / 2**20:.1f} MiB more"
    with capsys.disabled():
        print(f"\n{told}")
    assert server.process.poll() is None, told
    assert played.wrong == [], told
    assert played.count >= fuzz_count
    log = (server.directory / "log").read_text()
    assert "Traceback" not in log, f"{told}\n{log[-6000:]}"
    assert "the hub failed" not in log
    assert grown < GROWTH_BYTES, told
    eventually(lambda: process.num_fds() <= descriptors, "descriptors are as many as before")
    converses(server, app)
    assert server.stop()[0] == 0


def test_an_input_follows_from_its_seed() -> None:
    secrets = Secrets("t", "7", "k", "s", "cw1.a.1", "x")
    document = {"paths": {"/x": {"post": {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}}}}
    made = [
        [Requests(document, secrets)._wire("POST", "/x", b"", "", random.Random(seed)) for seed in range(50)] for _ in range(2)
    ]
    assert made[0] == made[1]
    value = {"event": "client-x", "data": {"a": [1, "b"]}, "channel": base64.b64encode(b"c").decode()}
    changed = [dumps(mutated(value, random.Random(seed))) for seed in range(300)]
    assert changed == [dumps(mutated(value, random.Random(seed))) for seed in range(300)]
    assert len(set(changed)) > 150
    assert any(scrambled(b'{"a":1}', random.Random(seed)) != b'{"a":1}' for seed in range(8))
