"""The viewers behind `serve-auth`: whose they are, who shares one, when they leave, and what typing with one answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NoReturn

import pytest

from codewrap.broker.app import HubRuntime
from codewrap.cli.looking import MOST_IDLE, Viewers, Way, way_to_hub
from codewrap.errors import AuthError, ConfigError, NotAttached, TransportError
from codewrap.protocol import channels, frames, grants
from codewrap.protocol.frames import Acked, Ended, HostFrame, Input, Output
from codewrap.protocol.frames import Screen as ScreenFrame
from codewrap.protocol.geometry import Size
from codewrap.protocol.roles import CHALLENGE
from codewrap.server.authorize import Signer
from codewrap.server.looking import Outcome, Place, Result, Typing
from codewrap.server.patterns import compile_pattern
from codewrap.terminal.emulator import Screen
from codewrap.transport.base import Authorizer, ConnectionState, Deliver, Event, Member, Received, StateChanged
from tests.support.hub import APP as HUB_APP
from tests.support.ptydriver import eventually
from tests.support.serve_auth import APP, MASTER_KEY
from tests.support.subscribers import ScriptedSubscriber

SIZE = Size(rows=5, cols=30)
OUTPUT = channels.output_channel("s", encrypted=True)
INPUT = channels.input_channel("s")
PRESENCE = channels.presence_channel("s")
HOST = Member("host.1", {"role": "host"})
PLACE = Place("s", "anna", "Anna", encrypted=True, may_type=False)
WRITES = replace(PLACE, may_type=True)
LONG_S = 3600.0


class Visit:
    """One viewer that came; the test is its broker and host."""

    def __init__(self, authorizer: Authorizer, deliver: Deliver) -> None:
        self.authorizer = authorizer
        self.subscriber = ScriptedSubscriber(deliver)

    def member(self) -> dict[str, object]:
        """What the others on the presence channel are told."""
        data = self.authorizer.authorize(PRESENCE, "1.2").channel_data
        assert data is not None
        found: dict[str, object] = json.loads(data)
        return found

    def says(self, *said: HostFrame) -> None:
        for frame in said:
            self.subscriber.tells(Received(OUTPUT, frame.event, frames.encode(frame)))

    def shows(self, text: bytes) -> None:
        """The host is there, and answers."""
        if INPUT in self.subscriber.channels:
            grant = self.authorizer.authorize(INPUT, "1.2").grant
            assert grant is not None
            self.subscriber.grants[INPUT] = grant
        self.subscriber.connects(PRESENCE, HOST)
        drawn = Screen(SIZE)
        drawn.feed(text)
        info = self.member()["user_info"]
        assert isinstance(info, dict)
        self.says(ScreenFrame("run", len(text), SIZE, drawn.snapshot(), answers=(str(info[CHALLENGE]),)))

    def hears(self) -> bytes:
        """What was typed next; confirmed."""
        sent = self.subscriber.wait_sent(lambda sent: sent.channel == INPUT)
        frame = frames.decode_viewer(grants.unseal(grants.decode(sent.data), self.subscriber.grants[INPUT].key))
        assert isinstance(frame, Input)
        self.says(Acked("run", {frame.writer: frame.offset + len(frame.data)}))
        return frame.data


class Host:
    """Answers every visit with ``text``, unless ``silent``."""

    def __init__(self, text: bytes = b"$ ", *, silent: bool = False) -> None:
        self.visits: list[Visit] = []
        self._text = text
        self._silent = silent

    def subscriber(self, authorizer: Authorizer, deliver: Deliver) -> ScriptedSubscriber:
        visit = Visit(authorizer, deliver)
        self.visits.append(visit)
        if not self._silent:
            threading.Thread(target=self._answer, args=(visit,), daemon=True).start()
        return visit.subscriber

    def _answer(self, visit: Visit) -> None:
        visit.subscriber.wait_started()
        visit.shows(self._text)

    @property
    def left(self) -> int:
        return sum(visit.subscriber.closed for visit in self.visits)


def no_http(event: Event) -> None:
    raise AssertionError(event)


@pytest.fixture
def made() -> Iterator[Callable[..., Viewers]]:
    """Makes viewers; they are gone with the test."""
    all_made: list[Viewers] = []

    def make(host: Host, linger_s: float = LONG_S) -> Viewers:
        way = Way(host.subscriber, no_http, "the broker", None)
        all_made.append(Viewers(way, Signer(APP, MASTER_KEY), linger_s=linger_s))
        return all_made[-1]

    yield make
    for viewers in all_made:
        viewers.stop()


def typing(text: str = "", *keys: str, wait_for: str = "", timeout_s: float = 30.0, paste: bool = False) -> Typing:
    return Typing(text, keys, paste, compile_pattern(wait_for) if wait_for else None, timeout_s)


class Typed:
    """`Viewers.type` in a thread of its own."""

    def __init__(self, viewers: Viewers, what: Typing) -> None:
        self._outcome: list[Outcome | BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(viewers, what), daemon=True)
        self._thread.start()

    def _run(self, viewers: Viewers, what: Typing) -> None:
        try:
            self._outcome.append(viewers.type(WRITES, what))
        except BaseException as error:
            self._outcome.append(error)

    def outcome(self) -> Outcome:
        self._thread.join(30)
        [outcome] = self._outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def test_a_look_shows_what_the_host_says(made: Callable[..., Viewers]) -> None:
    sight = made(Host(b"hello\r\n$ ")).look(PLACE)
    assert (sight.session, sight.epoch, sight.offset) == ("s", "run", 9)
    assert sight.shown.rows[:2] == ("hello", "$")


def test_the_session_is_told_who_looks(made: Callable[..., Viewers]) -> None:
    host = Host()
    made(host).look(PLACE)
    member = host.visits[0].member()
    assert str(member["user_id"]).startswith("anna.")
    info = member["user_info"]
    assert isinstance(info, dict)
    assert (info["name"], info["role"]) == ("Anna", "viewer")
    auth = host.visits[0].authorizer.sign_in("1.2")
    assert auth is not None
    assert json.loads(auth[1])["id"] == "anna"


def test_who_only_looks_is_not_let_type(made: Callable[..., Viewers]) -> None:
    host = Host()
    made(host).look(PLACE)
    assert INPUT not in host.visits[0].subscriber.channels
    with pytest.raises(AuthError, match="may not subscribe"):
        host.visits[0].authorizer.authorize(INPUT, "1.2")


def test_who_looks_again_in_a_moment_has_the_same_viewer_and_sees_what_is_new(made: Callable[..., Viewers]) -> None:
    host = Host()
    viewers = made(host)
    viewers.look(PLACE)
    host.visits[0].says(Output("run", 2, b"more"))
    assert viewers.look(PLACE).shown.rows[0] == "$ more"
    assert len(host.visits) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(PLACE, user="bob", name="Bob"),
        replace(PLACE, session="another"),
        replace(PLACE, encrypted=False),
        replace(PLACE, expires_at=4e9),
    ],
)
def test_nobody_shares_a_viewer_with_somebody_else(made: Callable[..., Viewers], other: Place) -> None:
    host = Host()
    viewers = made(host)
    viewers.look(PLACE)
    silent = threading.Thread(target=lambda: _swallowed(lambda: viewers.look(other)), daemon=True)
    silent.start()
    eventually(lambda: len(host.visits) == 2, "another viewer has come")
    viewers.stop()
    silent.join(30)


def _swallowed(call: Callable[[], object]) -> None:
    try:
        call()
    except NotAttached:
        pass


def test_a_viewer_that_lost_its_connection_is_not_looked_through(made: Callable[..., Viewers]) -> None:
    host = Host()
    viewers = made(host)
    viewers.look(PLACE)
    host.visits[0].subscriber.tells(StateChanged(ConnectionState.RECONNECTING, "gone", 1.0))
    viewers.look(PLACE)
    assert len(host.visits) == 2


def test_who_is_not_looked_through_any_more_leaves(made: Callable[..., Viewers]) -> None:
    host = Host()
    viewers = made(host, 0.0)
    viewers.look(PLACE)
    eventually(lambda: host.left == 1, "it left")
    viewers.look(PLACE)
    eventually(lambda: host.left == 2, "the next left too")


def test_few_stay_without_being_used(made: Callable[..., Viewers]) -> None:
    host = Host()
    viewers = made(host)
    for number in range(MOST_IDLE + 2):
        viewers.look(replace(PLACE, user=f"user-{number}"))
    eventually(lambda: host.left == 2, "the oldest left")
    assert [visit.subscriber.closed for visit in host.visits[:3]] == [True, True, False]


def test_the_end_of_the_server_ends_who_waits_and_lets_nobody_in(made: Callable[..., Viewers]) -> None:
    host = Host(silent=True)
    viewers = made(host)
    errors: list[Exception] = []

    def look() -> None:
        try:
            viewers.look(PLACE)
        except NotAttached as error:
            errors.append(error)

    waiting = threading.Thread(target=look, daemon=True)
    waiting.start()
    eventually(lambda: len(host.visits) == 1, "it looks")
    viewers.stop()
    waiting.join(30)
    assert len(errors) == 1
    assert host.left == 1
    with pytest.raises(NotAttached, match="this server ends"):
        viewers.look(PLACE)


def test_text_and_keys_are_typed_and_what_comes_is_the_answer(made: Callable[..., Viewers]) -> None:
    host = Host()
    typed = Typed(made(host), typing("make\n", "C-c", wait_for=r"^(o)k$"))
    eventually(lambda: len(host.visits) == 1, "it came")
    assert host.visits[0].hears() == b"make\r\x03"
    host.visits[0].says(Output("run", 2, b"make\r\nok\r\n"))
    outcome = typed.outcome()
    assert (outcome.result, outcome.typed, outcome.match, outcome.groups) == (Result.MATCHED, True, "ok", ("o",))
    assert (outcome.epoch, outcome.offset) == ("run", 12)


def test_without_a_pattern_the_answer_comes_when_it_was_read(made: Callable[..., Viewers]) -> None:
    host = Host()
    typed = Typed(made(host), typing("a\nb", paste=True))
    eventually(lambda: len(host.visits) == 1, "it came")
    assert host.visits[0].hears() == b"a\rb"
    assert typed.outcome().result is Result.TYPED


def test_what_is_not_read_in_time_is_dropped_and_that_viewer_is_not_typed_with_again(made: Callable[..., Viewers]) -> None:
    host = Host()
    viewers = made(host)
    outcome = viewers.type(WRITES, typing("x", timeout_s=0.5))
    assert (outcome.result, outcome.typed, outcome.reason) == (
        Result.TIMED_OUT,
        False,
        "waiting for the command to read what was typed",
    )
    eventually(lambda: host.left == 1, "it left")


def test_a_time_that_is_too_short_to_get_there_is_over_and_nothing_was_typed(made: Callable[..., Viewers]) -> None:
    host = Host(silent=True)
    outcome = made(host).type(WRITES, typing("x", timeout_s=0.01))
    assert (outcome.result, outcome.typed, outcome.reason) == (Result.TIMED_OUT, False, "waiting for an answer")
    assert not host.visits[0].subscriber.sent


def test_what_does_not_come_in_time_is_said_and_the_next_types_with_the_same_viewer(made: Callable[..., Viewers]) -> None:
    host = Host()
    viewers = made(host)
    typed = Typed(viewers, typing("x", wait_for="never", timeout_s=1.0))
    eventually(lambda: len(host.visits) == 1, "it came")
    assert host.visits[0].hears() == b"x"
    outcome = typed.outcome()
    assert (outcome.result, outcome.typed, outcome.reason) == (Result.TIMED_OUT, True, "waiting for a match")
    again = Typed(viewers, typing("y"))
    assert host.visits[0].hears() == b"y"
    assert again.outcome().result is Result.TYPED
    assert len(host.visits) == 1


def test_two_who_type_have_a_viewer_each(made: Callable[..., Viewers]) -> None:
    host = Host()
    viewers = made(host)
    first = Typed(viewers, typing("x", wait_for="done"))
    eventually(lambda: len(host.visits) == 1, "one came")
    assert host.visits[0].hears() == b"x"
    second = Typed(viewers, typing("", "C-c"))
    eventually(lambda: len(host.visits) == 2, "another came")
    assert host.visits[1].hears() == b"\x03"
    assert second.outcome().result is Result.TYPED
    host.visits[0].says(Output("run", 2, b"done\r\n"))
    assert first.outcome().result is Result.MATCHED


def test_a_session_that_ends_is_an_answer(made: Callable[..., Viewers]) -> None:
    host = Host()
    typed = Typed(made(host), typing("exit", wait_for="never"))
    eventually(lambda: len(host.visits) == 1, "it came")
    host.visits[0].hears()
    host.visits[0].says(Ended("run", 2, 3, None))
    outcome = typed.outcome()
    assert (outcome.result, outcome.typed, outcome.status) == (Result.ENDED, True, 3)


def test_keys_are_known_by_their_names(made: Callable[..., Viewers]) -> None:
    viewers = made(Host())
    viewers.check_keys(("C-c", "Enter", "é"))
    with pytest.raises(ConfigError, match="no key's name"):
        viewers.check_keys(("Enter", "Foo"))


def test_a_hub_that_does_not_run_publishes_nothing() -> None:
    way = way_to_hub(HubRuntime(HUB_APP), _no_publisher)
    with pytest.raises(TransportError, match="is not running"):
        way.publish(Event("news", "output", "x"))


def _no_publisher() -> NoReturn:
    raise AssertionError("nobody is to be published to")
