"""The uplink's process, started as `run` starts it: a hub of its own, a session log, and a host that is the test."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.cli.connections import Access, ViewerName, direct_viewer
from codewrap.cli.uplink import _access, secrets_of
from codewrap.protocol import channels, frames, grants, sealing
from codewrap.protocol.frames import Ended, Input, Screen
from codewrap.protocol.hostlink import Decoder, Kind, Message, encode
from codewrap.store.archive import Archive
from codewrap.store.sessionlog import LogWriter
from codewrap.transport.base import Event, Received, Subscribed
from tests.support import kept
from tests.support.deliveries import Deliveries
from tests.support.ptydriver import eventually

WAIT_S = 30.0
HUB = {"app_id": "1", "key": "a" * 32, "secret": "b" * 64, "master_key": bytes(range(32)).hex()}


class Host:
    """The host's end of one uplink process in embedded mode."""

    def __init__(self, directory: Path, **changes: object) -> None:
        self.log = LogWriter(directory / "s-00000000000000aa", 0.0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.hub = {**HUB, "port": self.listener.getsockname()[1]}
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(WAIT_S)
        self._decoder = Decoder()
        self._heard: list[Message] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "codewrap.cli.uplink", str(theirs.fileno())],
            cwd=Path(__file__).parents[2],
            pass_fds=(theirs.fileno(), self.listener.fileno()),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        configuration = {
            "session": "s",
            "epoch": "run",
            "mode": "embedded",
            "encrypted": True,
            "read_only": False,
            "began_at": 0.0,
            "pty": True,
            "headless": True,
            "size": [6, 40],
            "log_directory": str(self.log.directory),
            "user": "anna",
            "listen_fd": self.listener.fileno(),
            "hub": self.hub,
            "broker": None,
            "gateway": None,
            "resumed": False,
            "watched": 0,
            "host": os.getpid(),
            "kept": True,
            "keep_s": None,
            "keep_bytes": None,
            "record_file": None,
        } | changes
        self.says(Message(Kind.CONFIGURE, body=json.dumps(configuration).encode()))

    def says(self, *messages: Message) -> None:
        self._socket.sendall(b"".join(map(encode, messages)))

    def hears(self, kind: Kind) -> Message:
        """The next message of ``kind``; others are passed over."""
        while True:
            while self._heard:
                message = self._heard.pop(0)
                if message.kind is kind:
                    return message
            data = self._socket.recv(65_536)
            assert data, f"the uplink left without {kind.name}"
            self._heard += self._decoder.feed(data)

    def close(self) -> None:
        self._socket.close()
        self.listener.close()
        self.log.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.close()


def test_a_viewer_sees_types_and_hears_the_end_and_the_log_stays(host: Host) -> None:
    host.log.append(b"hello", "stdout", 0.1)
    host.hears(Kind.ARM)
    heard = Deliveries()
    parts = direct_viewer(Access.to_hub(host.hub), ViewerName("bob", "writer", "c"), heard)
    output, presence = channels.output_channel("s", encrypted=True), channels.presence_channel("s")
    for channel in (output, presence):
        parts.subscriber.subscribe(channel)
    parts.subscriber.start()
    assert host.hears(Kind.WATCHERS).header == {"count": 1}
    subscribed = heard.wait_for(Subscribed, lambda event: event.channel == presence)
    assert "host" in {member.info["role"] for member in subscribed.members}
    events = [event for event in heard.all if isinstance(event, Received)]
    event = events[0] if events else heard.wait_for(Received)
    screen = frames.decode_host(event.data)
    assert isinstance(screen, Screen)
    assert screen.offset == 5
    typed = frames.encode(Input("run", "w", 0, b"ls"))
    parts.send_over_http(Event(channels.input_channel("s"), channels.EVENT_INPUT, _sealed(typed)))
    heard_typed = host.hears(Kind.INPUT)
    assert (heard_typed.body, heard_typed.header["user"]) == (b"ls", "bob")
    host.log.ended(3, None, 0.2)
    host.says(Message(Kind.FINISH))
    told = heard.wait_for(Received, lambda event: event.name == "exit")
    assert frames.decode_host(told.data) == Ended("run", 5, 3, None)
    assert host.hears(Kind.DONE).header["peak_watchers"] == 1
    parts.subscriber.close()
    assert host.process.wait(WAIT_S) == 0
    assert (host.log.directory / "output").read_bytes() == b"hello"
    assert {path.name for path in host.log.directory.iterdir()} <= {"output", "timeline", "heartbeat", "spent", "activity.json"}


def _sealed(text: str) -> str:
    key = sealing.shared_secret(channels.sealed_input_channel("s"), bytes(range(32)))
    return grants.seal(text, grants.make_grant(key, "bob.http", int(time.time()) + 900), bytes(24))


def test_questions_of_a_headless_command_are_answered(host: Host) -> None:
    host.hears(Kind.ARM)
    host.log.append(b"ab\x1b[6n", "stdout", 0.1)
    host.says(Message(Kind.GROWN))
    assert host.hears(Kind.ANSWER).body == b"\x1b[1;3R"


def test_it_leaves_when_the_host_dies(host: Host) -> None:
    host.hears(Kind.ARM)
    host._socket.close()
    assert host.process.wait(WAIT_S) == 0


def test_a_host_that_goes_before_it_says_anything_leaves_nothing_running() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "codewrap.cli.uplink", str(theirs.fileno())],
        cwd=Path(__file__).parents[2],
        pass_fds=(theirs.fileno(),),
    )
    theirs.close()
    ours.close()
    assert process.wait(WAIT_S) == 0


def test_a_server_that_cannot_be_reached_is_told_and_does_not_keep_it_after_the_end(tmp_path: Path) -> None:
    host = Host(tmp_path, mode="gateway", gateway={"url": "http://127.0.0.1:1", "token": "t"}, hub=None)
    assert "127.0.0.1:1" in host.hears(Kind.NOTICE).header["text"]
    host.says(Message(Kind.FINISH))
    assert host.process.wait(WAIT_S) == 0
    assert host.log.directory.exists()
    host.close()


def test_a_log_that_is_not_to_be_kept_goes_with_the_session(tmp_path: Path) -> None:
    host = Host(tmp_path, kept=False)
    host.log.append(b"hello", "stdout", 0.1)
    host.hears(Kind.ARM)
    host.log.ended(0, None, 0.2)
    host.says(Message(Kind.FINISH))
    assert host.process.wait(WAIT_S) == 0
    assert not host.log.directory.exists()
    host.close()


@pytest.mark.parametrize("wanted", [True, False])
def test_the_log_of_a_host_that_died_is_kept_if_it_was_to_be(tmp_path: Path, wanted: bool) -> None:
    host = Host(tmp_path, kept=wanted)
    host.hears(Kind.ARM)
    host._socket.close()
    assert host.process.wait(WAIT_S) == 0
    assert host.log.directory.exists() is wanted
    host.close()


@pytest.mark.parametrize(("keep_s", "left"), [(60, {"s"}), (None, {"s", "old"}), (0, {"s", "old"})])
def test_what_is_kept_too_long_is_deleted_at_the_end(tmp_path: Path, keep_s: int | None, left: set[str]) -> None:
    kept.ended(tmp_path, "old")
    host = Host(tmp_path, keep_s=keep_s)
    host.hears(Kind.ARM)
    host.says(Message(Kind.FINISH))
    assert host.process.wait(WAIT_S) == 0
    assert Archive(tmp_path).names() == left
    host.close()


def test_a_sign_of_life_stands_beside_the_log_and_a_log_of_errors_only_where_there_are_any(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (host.log.directory / "uplink.log").write_text("")
    host.hears(Kind.ARM)
    eventually((host.log.directory / "heartbeat").exists, "a sign of life")
    host.says(Message(Kind.FINISH))
    assert host.process.wait(WAIT_S) == 0
    assert not (host.log.directory / "uplink.log").exists()
    host.close()


def test_a_server_that_could_not_be_reached_is_asked_again_after_the_end_where_somebody_watched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    host = Host(tmp_path, mode="gateway", gateway={"url": f"http://127.0.0.1:{port}", "token": "t"}, hub=None, watched=1)
    host.hears(Kind.NOTICE)
    host.says(Message(Kind.FINISH))
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(WAIT_S)
        server.accept()[0].close()
    host.close()


def test_a_broker_comes_through_the_configuration_whole() -> None:
    values = {
        "app_id": "1",
        "key": "k",
        "secret": "s",
        "api_host": "api",
        "api_port": 1,
        "ws_host": "ws",
        "ws_port": 2,
        "tls": True,
        "master_key": "0102",
        "event_bytes": 10_240,
        "hosted": True,
    }
    access = _access(values)
    assert (access.api.url, access.ws.url, access.master_key, access.hosted) == (
        "https://api:1",
        "https://ws:2",
        b"\x01\x02",
        True,
    )
    assert _access(values | {"master_key": None}).master_key is None


def test_secrets_of_every_mode_are_known_to_the_log_s_filter() -> None:
    key = HUB["master_key"]
    in_base64 = base64.b64encode(bytes.fromhex(key)).decode()
    assert secrets_of({"hub": None, "broker": None, "gateway": {"url": "u", "token": "hush"}}) == ["hush"]
    told = {"targets": [{"kind": "desktop"}, {"kind": "webhook", "url": "https://a/hush"}], "secret": "hush-hush"}
    assert secrets_of({"notify": told}) == ["hush-hush", "https://a/hush"]
    assert {HUB["secret"], key, in_base64} <= set(secrets_of({"hub": HUB, "broker": None, "gateway": None}))
    keyless = {"secret": "hush", "master_key": None}
    assert secrets_of({"hub": None, "broker": keyless, "gateway": None}) == ["hush"]
