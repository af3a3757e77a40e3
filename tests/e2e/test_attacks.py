"""Every attack of the corpus through real processes: what reaches a viewer's terminal, and what comes back to the command.

The command, or a host that is made up, means harm; the viewer is a real `codewrap attach` on a real terminal. What an attack
may be is in `tests/support/attacks.py`, what each must not become in `tests/vectors/attacks.json`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from codewrap.cli.connections import Access, direct_host
from codewrap.config import load
from codewrap.protocol import channels, frames, sealing
from codewrap.protocol.frames import Beat, Ended, HostFrame, Output, Screen, Sync
from codewrap.protocol.geometry import Size
from codewrap.protocol.pacing import MAX_BATCH
from codewrap.protocol.queries import find_queries
from codewrap.transport.base import Event, Received, SubscriberEvent
from tests.support.attacks import Attack, complain, corpus
from tests.support.ptydriver import STANDARD, Terminal, eventually
from tests.support.served import Served
from tests.support.sessions import Relay, cloud

pytestmark = pytest.mark.timeout(300)

CORPUS = corpus()
# What terminals type on their own: none of it may arrive at the command.
REPORTS = (
    b"\x1b[?62;22c\x1b[24;80R\x1b[0n\x1b]10;rgb:ff/ff/ff\x1b\\\x1b]lrm -rf\x1b\\\x1bP>|xterm(390)\x1b\\\x1b[?5u\x1b_Gi=1;OK\x1b\\"
)
# Ends whatever an attack left open, so that what follows can be seen.
END = b"\x18"
RESET = b"\x1bc"
ATTACKER = """
    import base64, json, os, sys, termios, threading, tty
    tty.setraw(0)
    with open("attacks") as file:
        given = json.load(file)

    def record():
        with open("typed", "ab", buffering=0) as typed:
            while data := os.read(0, 65536):
                typed.write(data)
                if data.endswith(b"q"):
                    done.set()

    done = threading.Event()
    threading.Thread(target=record, daemon=True).start()
    os.write(1, b"standing")
    with open("turns", "rb", buffering=0) as turns:
        for pieces in given:
            turns.read(1)
            for piece in map(base64.b64decode, pieces):
                while piece:
                    piece = piece[os.write(1, piece) :]
    done.wait()
"""


def judged(viewer: Terminal) -> None:
    """Everything that reached this terminal was harmless, and nothing of it asks the terminal for an answer."""
    viewer.expect(re.compile(rb"ended: exit 0[^\n]*\n"))  # its last words
    reached = viewer.output.data
    assert complain(reached) == []
    assert find_queries(reached) == []


def put_back(viewer: Terminal) -> None:
    """The terminal is as it was found."""
    viewer.is_as_it_was()
    modes = viewer.screen.modes
    assert modes.known_modes() == type(modes)().known_modes()
    assert not modes.alternate
    assert viewer.screen.cursor.visible
    assert viewer.output.data.rindex(b"\x0f") > viewer.output.data.rindex(b"\x1b(B\x1b)B") > 0  # the last word on character sets


def never_reached(attack: Attack, number: int, reached: bytes) -> list[bytes]:
    """What must never have stood between this attack's two marks."""
    between = re.search(b"<%d:(.*?):%d>" % (number, number), reached, re.DOTALL)
    return [never for never in attack.never if between is not None and never in between[1]]


def in_every_split(attack: Attack, number: int) -> list[bytes]:
    """What the command writes for it, a write each: the attack cut in two at every byte boundary, between two marks."""
    most = max(1, 20_000 // len(attack.stream))
    pieces = [b"<%d:" % number]
    for cut in attack.cuts(most=500)[:: 1 + len(attack.stream) // most]:
        pieces += [attack.stream[:cut], attack.stream[cut:] + END]
    return [*pieces, b":%d>" % number, RESET, b"|%d|" % number]


def test_no_attack_of_a_command_reaches_its_viewers_or_comes_back(hub: Relay) -> None:
    home = hub.host.home
    os.mkfifo(home / "turns")
    scripts = [in_every_split(attack, number) for number, attack in enumerate(CORPUS)]
    left_on = [b"".join(attack.stream + END for attack in CORPUS if attack.kind in ("mode", "charset")) + b"|LAST|"]
    encoded = [[base64.b64encode(piece).decode() for piece in pieces] for pieces in [*scripts, left_on]]
    (home / "attacks").write_text(json.dumps(encoded))
    host = hub.run(*hub.host.script(ATTACKER), options=["--quiet"])
    host.shows("standing")
    same, smaller = hub.attached(), hub.attached(size=Size(20, 60))
    same.shows("standing")
    smaller.shows("standing")
    with (home / "turns").open("wb", buffering=0) as turns:
        for number in range(len(CORPUS)):
            turns.write(b".")
            same.expect(b"|%d|" % number)
        turns.write(b".")
        same.expect(b"|LAST|")
        smaller.shows("LAST")  # in whatever character set
    late = hub.attached()
    for viewer in (same, smaller, late):
        viewer.send(REPORTS)
    same.send("q")
    viewers = (same, smaller, late)
    assert [viewer.status() for viewer in (host, *viewers)] == [0, 0, 0, 0]
    assert (home / "typed").read_bytes() == b"q"
    for viewer in viewers:
        judged(viewer)
        put_back(viewer)
    reached = same.output.data
    found = [never_reached(attack, number, reached) for number, attack in enumerate(CORPUS)]
    assert [(attack.name, never) for attack, never in zip(CORPUS, found, strict=True) if never] == []
    assert len(re.findall(rb"<\d+:", reached)) > len(CORPUS) * 9 // 10  # the rest was drawn out of cells


class MadeUpHost:
    """Says what a test wants it to say, as the host of ``name``: each call of `say` is one event for each frame."""

    def __init__(self, settings: dict[str, str], name: str) -> None:
        broker = load(settings).broker
        assert broker is not None
        self._name = name
        self._parts = direct_host(Access.to_broker(broker), "nobody", self._deliver)
        self._channel = channels.output_channel(name, encrypted=True)
        self.offset = 0
        self.challenge = ""
        """Of who asked last."""
        self._wanted = threading.Event()
        self._parts.subscriber.subscribe(channels.presence_channel(name))
        self._parts.subscriber.start()

    def _deliver(self, event: SubscriberEvent) -> None:
        if isinstance(event, Received) and event.name in (channels.EVENT_SYNC, channels.EVENT_CLIENT_SYNC):
            asked = frames.decode_viewer(event.data)
            if isinstance(asked, Sync) and asked.challenge:
                self.challenge = asked.challenge
                self._wanted.set()

    def wait_to_be_asked(self) -> None:
        """Somebody has come."""
        assert self._wanted.wait(30)

    def frame(self, data: bytes, stream: str = "stdout") -> Output:
        """The next bytes of output."""
        frame = Output("attacker", self.offset, data, stream)
        self.offset = frame.end
        return frame

    def say(self, *said: HostFrame) -> None:
        """Publish them in this order."""
        self.say_texts(*((frame.event, frames.encode(frame)) for frame in said))

    def say_texts(self, *said: tuple[str, str]) -> None:
        """The same with any text: (event, text of the frame)."""
        key = self._parts.output_secret(self._channel)
        assert key is not None
        events = [Event(self._channel, name, sealing.seal(text, key, os.urandom(sealing.NONCE_BYTES))) for name, text in said]
        for at in range(0, len(events), MAX_BATCH):
            self._parts.publisher.publish(events[at : at + MAX_BATCH])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._parts.subscriber.close()
        self._parts.publisher.close()


@pytest.fixture
def made_up(gateway_cloud: Served, tmp_path: Path) -> Iterator[tuple[Relay, MadeUpHost]]:
    """A host that is made up, and a relay with room for its viewers."""
    with cloud(tmp_path, gateway_cloud) as relay, MadeUpHost(relay.host.settings, relay.name) as host:
        yield relay, host


def joined(relay: Relay, host: MadeUpHost, *options: str, drawn: bytes = b"standing") -> Terminal:
    """A viewer on a terminal that shows a first screen."""
    viewer = relay.viewer.attach(relay.name, *options)
    host.wait_to_be_asked()
    host.say(Screen("attacker", host.offset, STANDARD, drawn, answers=(host.challenge,)))
    viewer.expect(b"standing")
    return viewer


def one_event_each(host: MadeUpHost, attack: Attack, number: int) -> list[HostFrame]:
    """The attack cut in two at every byte boundary, each half in an event of its own; a short one in single bytes, too."""
    most = max(2, 9000 // len(attack.stream))
    said: list[HostFrame] = [host.frame(b"<%d:" % number)]
    for cut in attack.cuts(most=500)[:: 1 + len(attack.stream) // most]:
        said += [host.frame(half) for half in (attack.stream[:cut], attack.stream[cut:] + END) if half]
    if len(attack.stream) < 60:
        said += [host.frame(attack.stream[at : at + 1]) for at in range(len(attack.stream))]
    return [*said, host.frame(END + b":%d>" % number), host.frame(RESET + b"|%d|" % number)]


def test_an_attack_that_is_cut_at_any_byte_boundary_between_two_events_is_harmless(made_up: tuple[Relay, MadeUpHost]) -> None:
    relay, host = made_up
    viewer = joined(relay, host)
    for number, attack in enumerate(CORPUS):
        if len(attack.stream) > 9000:
            continue  # its event would be too large for this relay
        host.say(*one_event_each(host, attack, number))
        viewer.expect(b"|%d|" % number)
    for attack in CORPUS:
        if attack.kind in ("mode", "charset"):
            host.say(host.frame(attack.stream + END))
    host.say(host.frame(b"|LAST|"), Ended("attacker", host.offset, 0, None))
    assert viewer.status() == 0
    judged(viewer)
    put_back(viewer)
    reached = viewer.output.data
    assert len(re.findall(rb"\|\d+\|", reached)) == sum(len(attack.stream) <= 9000 for attack in CORPUS)
    assert [attack.name for number, attack in enumerate(CORPUS) if never_reached(attack, number, reached)] == []


def test_an_attack_inside_a_screen_is_harmless(made_up: tuple[Relay, MadeUpHost]) -> None:
    relay, host = made_up
    viewer = joined(relay, host)
    for number, attack in enumerate(CORPUS):
        if len(attack.stream) > 9000:
            continue
        host.offset += 1
        host.say(Screen("attacker", host.offset, STANDARD, attack.stream + END + b"|%d|" % number))
        viewer.expect(b"|%d|" % number)
    host.say(Ended("attacker", host.offset, 0, None))
    assert viewer.status() == 0
    judged(viewer)
    put_back(viewer)


HOSTILE = "a\x1b[6nb\x9b6nc\x07\r\nd\u202ee\u2066f\x00\x7f" + "z" * 50


def test_words_of_a_host_are_shown_without_their_control_characters(made_up: tuple[Relay, MadeUpHost]) -> None:
    relay, host = made_up
    viewer = joined(relay, host)
    notice = {"v": 1, "type": "notice", "epoch": "attacker", "offset": host.offset, "kind": "any", "text": HOSTILE}
    host.say_texts(("notice", json.dumps(notice)))
    viewer.expect(b"a\\x1b[6nb\\x9b6nc\\x07\\r\\nd\\u202ee\\u2066f\\x00\\x7fzzz")
    host.say(Beat("attacker", host.offset), Ended("attacker", host.offset, 0, None))
    assert viewer.status() == 0
    judged(viewer)
    assert b"\x07" not in viewer.output.data
    assert "\u202e".encode() not in viewer.output.data


@pytest.mark.parametrize("options", [(), ("--raw",)], ids=["safe", "raw"])
def test_raw_passes_an_attack_on_and_nothing_else_does(made_up: tuple[Relay, MadeUpHost], options: tuple[str, ...]) -> None:
    relay, host = made_up
    viewer = joined(relay, host, *options)
    host.say(host.frame(b"<\x1b[6n\x1b]52;c;?\x07\x1b[5i>"), Ended("attacker", host.offset, 0, None))
    assert viewer.status() == 0
    assert (b"<\x1b[6n\x1b]52;c;?\x07\x1b[5i>" in viewer.output.data) == bool(options)
    assert (b"<>" in viewer.output.data) != bool(options)
    viewer.is_as_it_was()


def test_a_command_line_that_means_harm_is_escaped_wherever_it_is_shown(hub: Relay) -> None:
    host = hub.run("sh", "-c", "echo standing; read line", HOSTILE.replace("\x00", ""))
    host.shows("standing")
    said = host.output.data.split(b"standing")[0]
    assert complain(said) == []
    assert find_queries(said) == []
    _, listed, _ = hub.host.finished("ls", environ={"COLUMNS": "400"})
    _, as_json, _ = hub.host.finished("ls", "--json")
    assert hub.name.encode() in listed
    assert json.loads(as_json)[0]["command"][-1] == HOSTILE.replace("\x00", "")
    for shown in (said, listed, as_json):
        assert b"\x1b[6n" not in shown
        assert "\u202e".encode() not in shown
        assert "\x9b".encode() not in shown


def test_stderr_of_a_session_whose_stdout_goes_to_a_file_is_made_safe_on_a_terminal(hub: Relay) -> None:
    script = "echo go; read line; printf '<\\033[6n\\033[?1000h\\033]52;c;?\\007>' >&2"
    host = hub.run_piped("sh", "-c", script, options=["--quiet"])
    kept = hub.viewer.home / "kept"
    with kept.open("wb") as file:
        viewer = hub.attach("--quiet", stdout=file)
        eventually(lambda: kept.read_bytes() == b"go\n", "it has begun")
        host.send(b"\n")
        viewer.expect(b"<\x1b[?1000h>")
        viewer.expect(re.compile(rb"\x1b\[\?[0-9;]*1000[0-9;]*l"))
        assert viewer.status() == 0
    assert complain(viewer.output.data) == []
    assert kept.read_bytes() == b"go\n"
