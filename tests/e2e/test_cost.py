"""What a session costs: `--max-rate` and `--budget` hold, nothing is lost by them, and what was spent can be seen.

Counted by a third party: a client of the broker that is no viewer and hears every event of the session.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codewrap.cli.connections import Access, member_of
from codewrap.config import load
from codewrap.protocol import channels, frames
from codewrap.protocol.frames import Notice
from codewrap.transport.authorize import SecretAuthorizer
from codewrap.transport.base import Received, Subscribed, SubscriberEvent
from codewrap.transport.subscribe import PysherSubscriber
from tests.support.ptydriver import Terminal, eventually
from tests.support.served import Served
from tests.support.sessions import BASH, PROMPT, Relay, cloud, cloud_settings, through

pytestmark = pytest.mark.timeout(180)

# Writes without a pause until the file named by its argument is there.
FLOOD = """
    import itertools, os, sys, time
    for number in itertools.count():
        if os.path.exists(sys.argv[1]):
            break
        print(f"line {number}", "x" * (number % 60), flush=True)
        time.sleep(0.002)
    print("that was", "it")
"""


class Auditor:
    """Hears a session as a second host would: it is no viewer, so nothing is said on its account."""

    def __init__(self, relay: Relay, settings: dict[str, str]) -> None:
        self._lock = threading.Lock()
        self._seen: list[SubscriberEvent] = []
        access = _access(relay, settings)
        authorizer = SecretAuthorizer(access.credentials, access.master_key, member_of("auditor", "host"))
        self._subscriber = PysherSubscriber(access.ws, authorizer, self._deliver)
        for channel in (channels.output_channel(relay.name, encrypted=True), channels.presence_channel(relay.name)):
            self._subscriber.subscribe(channel)
        self._subscriber.start()
        eventually(lambda: sum(isinstance(event, Subscribed) for event in self._all()) == 2, "the auditor is subscribed")

    def names(self) -> list[str]:
        """The events of the host so far, in order; not those that viewers send."""
        received = [event for event in self._all() if isinstance(event, Received)]
        return [event.name for event in received if event.name not in (channels.EVENT_CLIENT_SYNC, channels.EVENT_SYNC)]

    def notices(self) -> list[str]:
        """What viewers were told of the budget."""
        found = [event for event in self._all() if isinstance(event, Received) and event.name == Notice.event]
        told = [frames.decode_host(event.data) for event in found]
        return [frame.text for frame in told if isinstance(frame, Notice) and frame.kind == "budget"]

    def close(self) -> None:
        self._subscriber.close()

    def _all(self) -> list[SubscriberEvent]:
        with self._lock:
            return list(self._seen)

    def _deliver(self, event: SubscriberEvent) -> None:
        with self._lock:
            self._seen.append(event)


def _access(relay: Relay, settings: dict[str, str]) -> Access:
    record = relay.host.session(relay.name)
    if record["hub"] is not None:
        return Access.to_hub(record["hub"])
    broker = load(settings).broker
    assert broker is not None
    return Access.to_broker(broker)


class Audited:
    """A session of bash with an auditor, and the flood that can be started in it."""

    def __init__(self, relay: Relay, settings: dict[str, str] | None = None) -> None:
        """``settings`` are those by which the auditor reaches the broker, if not those of the host."""
        self.relay = relay
        self._settings = settings or relay.host.settings
        self._auditor: Auditor | None = None

    @property
    def auditor(self) -> Auditor:
        assert self._auditor is not None
        return self._auditor

    def close(self) -> None:
        if self._auditor is not None:
            self._auditor.close()

    def begin(self, *options: str) -> Terminal:
        host = self.relay.run(*BASH, options=options)
        host.shows(PROMPT.strip())
        self._auditor = Auditor(self.relay, self._settings)
        return host

    def flood(self, host: Terminal) -> Path:
        """Begin it; who makes the file that is returned ends it."""
        stop = self.relay.host.home / "stop"
        host.send(" ".join((*self.relay.host.script(FLOOD), str(stop))) + "\r")
        return stop

    def spent(self) -> dict[str, Any]:
        """What `ls --json` says."""
        status, out, _ = self.relay.host.finished("ls", "--json")
        assert status == 0
        (session,) = json.loads(out)
        found: dict[str, Any] = session["spent"]
        return found


@pytest.fixture
def audited(relay: Relay) -> Iterator[Audited]:
    made = Audited(relay)
    yield made
    made.close()


def keeps_within(audited: Audited, per_s: int, *options: str) -> None:
    """Flood for some seconds, with a viewer; count what comes until the viewer has it all."""
    host = audited.begin(*options)
    viewer = audited.relay.attached()
    viewer.shows(PROMPT.strip())
    before, begun_s = len(audited.auditor.names()), time.monotonic()
    stop = audited.flood(host)
    eventually(lambda: len(audited.auditor.names()) >= before + 4 * per_s, "the flood is on its way")
    stop.touch()
    host.shows("that was it")
    viewer.looks_like(host)
    events, took_s = len(audited.auditor.names()) - before, time.monotonic() - begun_s
    assert events <= per_s * (took_s + 1)


def test_a_flood_keeps_within_the_rate_and_the_viewer_ends_with_the_right_screen(audited: Audited) -> None:
    keeps_within(audited, 4, "--max-rate", "4")


@pytest.mark.parametrize("kind", ["direct", "gateway"])
def test_a_broker_like_the_hosted_one_gets_ten_events_a_second_without_being_told(
    kind: str, gateway_cloud: Served, tmp_path: Path
) -> None:
    made = cloud(tmp_path, gateway_cloud) if kind == "direct" else through(tmp_path, gateway_cloud, "gateway-cloud")
    with made as relay:
        audited = Audited(relay, cloud_settings(gateway_cloud))
        keeps_within(audited, 10)
        audited.close()


def test_a_budget_that_is_used_up_is_told_and_the_right_screen_comes_all_the_same(audited: Audited) -> None:
    host = audited.begin("--budget", "40/min")
    viewer = audited.relay.attached()
    stop = audited.flood(host)
    eventually(lambda: audited.auditor.notices(), "viewers are told", 90.0)
    stop.touch()
    host.shows("that was it")
    eventually(lambda: audited.spent()["messages"] > 0, "it is written down")
    spent = audited.spent()
    assert spent["budget"]["messages"] == 40
    assert spent["budget"]["left"] < 20
    assert spent["messages_per_day_estimate"] > 0
    viewer.looks_like(host, 60.0)
    (told,) = audited.auditor.notices()
    assert "40/min" in told
    host.send("exit 3\r")
    assert host.status() == 3
    host.expect(told[:40])
    viewer.status(60.0)


def test_what_is_counted_is_what_a_third_party_hears(audited: Audited) -> None:
    host = audited.begin()
    viewer = audited.relay.attached()
    for number in range(20):
        host.send(f"echo $(({number} * 2))\r")
        viewer.shows(f"\n{number * 2}\n")
    eventually(lambda: audited.spent()["events"] == len(audited.auditor.names()), "both count the same")
    spent = audited.spent()
    assert spent["events"] * 2 <= spent["messages"]
    assert spent["bytes"] > 100 * spent["events"]
    assert spent["budget"] is None
    host.send("exit\r")
    host.expect(
        re.compile(rb"1 watching at most, \d+ events sent \([0-9.]+ K?B\), about [0-9.]+k? messages \(.* a day at this rate\)")
    )


def test_nobody_watching_costs_no_message(audited: Audited) -> None:
    host = audited.begin()
    stop = audited.flood(host)
    host.shows("line 300")
    stop.touch()
    host.shows("that was it")
    assert audited.auditor.names() == []
    viewer = audited.relay.attached()
    viewer.looks_like(host)
    assert audited.auditor.names()[0] == "screen"


def test_an_uplink_that_is_killed_takes_no_count_with_it(audited: Audited) -> None:
    host = audited.begin()
    viewer = audited.relay.attached()
    stop = audited.flood(host)
    eventually(lambda: audited.spent()["events"] > 5, "something is written down")
    before = audited.spent()["events"]
    uplink = audited.relay.host.uplink()
    uplink.kill()
    eventually(lambda: [each.pid for each in audited.relay.host.uplinks()] not in ([], [uplink.pid]), "the next uplink runs")
    stop.touch()
    host.shows("that was it")
    viewer.looks_like(host)
    eventually(lambda: audited.spent()["events"] > before, "it goes on counting")
