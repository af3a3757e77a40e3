"""A viewer who also runs the broker: it has every ciphertext, may repeat and rename, and the app's secret signs for it.

Still nothing that it makes is written to the command.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import os
import socket
from collections.abc import Iterator

import pytest

from codewrap.errors import RemoteProtocolError
from codewrap.host.inputs import PendingInput
from codewrap.protocol import channels, frames, grants, sealing
from codewrap.protocol.channels import ChannelRole
from codewrap.protocol.frames import Control, Input
from codewrap.protocol.grants import Grant
from codewrap.protocol.hostlink import Decoder, Kind
from codewrap.protocol.roles import Role
from codewrap.server.authorize import ChannelRequest, Signer
from codewrap.server.refusals import Refusal
from codewrap.transport.base import AppCredentials, Received
from codewrap.uplink.hostsocket import HostSocket
from codewrap.uplink.inputpath import InputPath, UplinkPlan

MASTER_KEY = bytes(range(32))
NOW = 1_800_000_000.0
SESSION = "s"
INPUT, CONTROL = channels.input_channel(SESSION), channels.sealed_input_channel(SESSION)
SIGNER = Signer(AppCredentials("1", "the-key", "the-secret"), MASTER_KEY, lambda: NOW)


class Host:
    """A host's way of keystrokes, from the event to what the command is written."""

    def __init__(self) -> None:
        ours, self._socket = socket.socketpair()
        self._socket.setblocking(False)
        self._to_host = HostSocket(ours)
        self._ours = ours
        key = sealing.shared_secret(CONTROL, MASTER_KEY)
        plan = UplinkPlan(SESSION, "run", encrypted=True, read_only=False, answers_queries=False)
        self._path = InputPath(plan, self._to_host, lambda _: key, lambda: NOW)
        self._opens = key
        self._input = PendingInput()
        self.controls = 0

    def hears(self, channel: str, name: str, data: str) -> bytes:
        """The broker delivers an event; what is written to the command for it."""
        if channel == CONTROL:  # the subscriber opens Pusher's own encryption, and drops what does not open
            try:
                data = sealing.unseal(data, self._opens)
            except RemoteProtocolError:
                return b""
        self._path.take(Received(channel, name, data))
        try:
            messages = Decoder().feed(self._socket.recv(1 << 20))
        except BlockingIOError:
            return b""
        written = b""
        for message in messages:
            self.controls += message.kind is Kind.CONTROL
            if message.kind is Kind.INPUT:
                self._input.put_remote(message.header["writer"], message.header["offset"], message.body, message.header["user"])
        while self._input:
            block = bytes(self._input.next())
            self._input.wrote(len(block))
            written += block
        return written

    def close(self) -> None:
        self._ours.close()
        self._socket.close()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


def granted(user: str, socket_id: str = "1.1") -> Grant:
    """What `serve-auth` gives to a writer."""
    said = SIGNER.channel(user, Role.WRITER, ChannelRequest(socket_id, INPUT))
    return Grant(base64.b64decode(str(said["input_key"])), str(said["writer"]), int(said["input_until"]))


def sealed(grant: Grant, data: bytes = b"ls\r", stream: str = "w", offset: int = 0) -> str:
    return grants.seal(frames.encode(Input("run", stream, offset, data)), grant, os.urandom(24))


def keys_of_a_viewer() -> list[bytes]:
    """Everything that `/pusher/auth` gives to a viewer, whatever it asks for."""
    keys = []
    for channel, role in itertools.product(ChannelRole, ("viewer", "writer", "host", None)):
        try:
            said = SIGNER.channel("eve", Role.VIEWER, ChannelRequest("6.6", f"{channel.value}{SESSION}", role))
        except Refusal:
            continue
        assert "input_key" not in said
        if "shared_secret" in said:
            keys.append(base64.b64decode(str(said["shared_secret"])))
    return keys


def test_a_viewer_is_given_the_key_of_the_output_and_no_other() -> None:
    output_key = sealing.shared_secret(channels.output_channel(SESSION, encrypted=True), MASTER_KEY)
    assert set(keys_of_a_viewer()) == {output_key}


def test_a_viewer_and_the_broker_together_cannot_type(host: Host) -> None:
    alice = granted("alice")
    seen = [sealed(alice, b"ls\r", offset=offset) for offset in (0, 3)]
    assert host.hears(INPUT, "client-input", seen[0]) == b"ls\r"
    made = [Grant(key, alice.writer, alice.until) for key in (*keys_of_a_viewer(), b"the-secret".ljust(32), bytes(32))]
    made += [grants.make_grant(grant.key, grant.writer, grant.until) for grant in made]
    forged = [
        sealed(dataclasses.replace(grant, writer=writer), b"rm -rf ~\r", "new")
        for grant in made
        for writer in (alice.writer, "eve.http")
    ]
    forged += [sealing.seal(frames.encode(Input("run", "new", 0, b"rm\r")), grant.key, bytes(24)) for grant in made]
    forged.append(frames.encode(Input("run", "new", 0, b"rm\r")))
    boxes = [json.loads(text) for text in seen]
    forged += [json.dumps(boxes[1] | {"nonce": boxes[0]["nonce"]}), json.dumps(boxes[1] | {"writer": "eve.http"})]
    forged += [json.dumps(boxes[1] | {"until": alice.until + 900}), json.dumps(boxes[1] | {"ciphertext": boxes[0]["ciphertext"]})]
    for text, channel, name in itertools.product(forged, (INPUT, CONTROL), ("client-input", "input", "control")):
        assert host.hears(channel, name, text) == b"", (channel, name, text)
    assert host.hears(INPUT, "input", seen[1]) == b"ls\r", "what was held back meanwhile still counts, once"


def test_what_was_kept_is_never_written_again(host: Host) -> None:
    kept = [sealed(granted("alice"), b"%d" % number, offset=number) for number in range(5)]
    assert b"".join(host.hears(INPUT, "client-input", text) for text in reversed(kept)) == b"01234"
    for text, name in itertools.product(kept, ("client-input", "input")):
        assert host.hears(INPUT, name, text) == b""


def test_a_writer_cannot_type_in_anothers_name_nor_into_anothers_stream(host: Host) -> None:
    alice, mallory = granted("alice"), granted("mallory", "6.6")
    assert host.hears(INPUT, "client-input", sealed(alice)) == b"ls\r"
    assert host.hears(INPUT, "client-input", sealed(mallory, b"rm\r", offset=3)) == b"", "alice's stream"
    for name in (alice.writer, "alice.http", "root.http"):
        assert host.hears(INPUT, "client-input", sealed(dataclasses.replace(mallory, writer=name), b"rm\r", "new")) == b""
    later = dataclasses.replace(mallory, until=mallory.until + 1)
    assert host.hears(INPUT, "client-input", sealed(later, b"rm\r", "new")) == b""
    assert host.hears(INPUT, "client-input", sealed(mallory, b"pwd\r", "own")) == b"pwd\r"


def test_a_writer_opens_nothing_of_what_another_types() -> None:
    alice, mallory = granted("alice"), granted("mallory", "6.6")
    envelope = grants.decode(sealed(alice, b"a password\r"))
    for key in (mallory.key, grants.writer_key(mallory.key, alice.writer, alice.until), *keys_of_a_viewer()):
        with pytest.raises(RemoteProtocolError, match="cannot be opened"):
            grants.unseal(envelope, key)


def test_a_writer_and_the_broker_together_cannot_speak_as_the_server(host: Host) -> None:
    word = frames.encode(Control("c1", int(NOW), "approve", "mallory"))
    mallory = granted("mallory")
    forged = [sealing.seal(word, key, bytes(24)) for key in (mallory.key, *keys_of_a_viewer())]
    forged += [word, grants.seal(word, mallory, bytes(24))]
    for text, channel, name in itertools.product(forged, (INPUT, CONTROL), ("control", "input", "client-input")):
        host.hears(channel, name, text)
    assert host.controls == 0
    ours = sealing.seal(word, sealing.shared_secret(CONTROL, MASTER_KEY), bytes(24))
    for _ in range(2):
        host.hears(CONTROL, "control", ours)
    assert host.controls == 1
