"""Who asks is shown, and the word of the keyboard, of a command and of the server counts."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from codewrap.host.chord import HELD_S
from codewrap.host.door import Door
from codewrap.host.inputs import PendingInput
from codewrap.host.porter import MAX_HEARD, Porter, Voices
from codewrap.host.requestline import RequestLine, Surroundings
from codewrap.protocol import orders
from codewrap.protocol.admission import MAX_REQUESTS, REQUEST_S, Admission, Share
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Kind, Message
from codewrap.protocol.orders import Order, Reply, Standing

SIZE = Size(rows=5, cols=80)
ASKS = " [codewrap] bob asks to type (11 22 33): Ctrl-] y yes, Ctrl-] n no"


class Bench:
    """A porter, with or without a terminal whose uplink answers at once."""

    def __init__(self, share: Share = Share.ASK, *, terminal: bool = True) -> None:
        self.clock_s = 1_800_000_000.0
        self.inputs = PendingInput()
        self.told: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.signals: list[int] = []
        self.written = b""
        self.controlled = 0
        door = Door(
            Admission(share, "anna"), self.inputs, lambda kind, _, to: self.told.append((kind, to)), None, lambda: self.clock_s
        )
        self.line = RequestLine(Surroundings(self._write, lambda: None, lambda: 0, lambda _: b"", lambda: SIZE))
        voices = Voices(self.line if terminal else None, self.said.append, self.signals.append, "build")
        self.porter = Porter(door, voices, lambda: self.clock_s)

    def _write(self, data: bytes | memoryview) -> None:
        self.written += data

    def types(self, user: str, writer: str, data: bytes = b"x", code: str = "11 22 33") -> bool:
        header = {"user": user, "by": f"{user}.1", "code": code, "writer": writer, "offset": 0}
        return self.porter.said(Message(Kind.INPUT, header, data), 0.0)

    def controls(self, **header: Any) -> None:
        self.controlled += 1
        self.porter.said(Message(Kind.CONTROL, {"at": 1, "id": f"id-{self.controlled}", **header}), 0.0)

    def orders(self, do: str, user: str = "", signal_number: int = 0) -> Reply:
        return orders.decode_reply(self.porter.order(orders.encode_order(Order(do, user, int(signal_number))), 0.0))

    def shown(self) -> str:
        """What the terminal is given when the uplink has answered."""
        self.porter.look_after(0.0)
        self.written = b""
        header = {"offset": 0, "rows": SIZE.rows, "cols": SIZE.cols, "top": "", "unfinished": ""}
        self.porter.said(Message(Kind.PICTURE, header), 0.0)
        return self.written.decode()


def test_a_request_is_shown_with_its_code_and_the_keys_that_decide() -> None:
    bench = Bench()
    assert not bench.types("bob", "b1")
    shown = bench.shown()
    assert ASKS in shown
    assert shown.count("\x07") == 1
    bench.types("eve", "e1")
    bench.types("bob", "b2", code="99 99 99")
    shown = bench.shown()
    assert ASKS.replace("bob", "bob (+1)") in shown


def test_who_cannot_be_told_apart_asks_as_anybody() -> None:
    bench = Bench()
    assert not bench.types("", "b1", code="")
    assert "anybody asks" in bench.shown()


def test_a_lane_is_of_this_user_whatever_it_says() -> None:
    bench = Bench()
    header = {"user": "bob", "code": "1", "writer": "w", "offset": 0}
    assert bench.porter.said(Message(Kind.INPUT, header, b"x"), 0.0, here=True)


def test_a_long_name_leaves_room_for_the_keys() -> None:
    bench = Bench()
    bench.types("b" * 64, "b1")
    shown = bench.shown()
    assert "Ctrl-] n no" in shown
    assert "b" * 15 + "~ asks" in shown


@pytest.mark.parametrize(("key", "told"), [(b"y", "approved"), (b"n", "denied")])
def test_the_keyboard_decides_the_oldest_request(key: bytes, told: str) -> None:
    bench = Bench()
    bench.types("bob", "b1")
    bench.types("eve", "e1")
    bench.told.clear()
    assert bench.porter.typed_here(b"\x1d", 0.0) == b""
    assert bench.porter.typed_here(key, 0.1) == b""
    assert bench.told == [(told, "b1")]
    assert bench.types("bob", "b2") == (key == b"y")
    assert [request.user for request in bench.orders("requests").requests] == ["eve"]


def test_without_a_request_the_keys_are_the_command_s() -> None:
    bench = Bench()
    assert bench.porter.typed_here(b"\x1d", 0.0) == b"\x1d"
    assert bench.porter.typed_here(b"y", 0.0) == b"y"
    bench.types("bob", "b1")
    assert bench.porter.typed_here(b"\x1d", 0.0) == b""
    assert bench.porter.look_after(HELD_S) == b"\x1d"
    bench.porter.typed_here(b"\x1d", 5.0)
    bench.orders("deny", "bob")
    assert bench.porter.typed_here(b"y", 5.1) == b"\x1dy"


def test_a_key_that_is_held_is_given_back_when_the_request_fades() -> None:
    bench = Bench()
    bench.types("bob", "b1")
    bench.porter.typed_here(b"\x1d", 0.0)
    bench.clock_s += REQUEST_S
    assert bench.porter.look_after(0.5) == b"\x1d"


def test_without_a_terminal_it_is_a_line_and_the_keys_mean_nothing() -> None:
    bench = Bench(terminal=False)
    bench.types("bob", "b1")
    bench.types("bob", "b2")
    assert bench.said == ["bob asks to type (code 11 22 33): codewrap approve build bob"]
    assert bench.porter.typed_here(b"\x1dy", 0.0) == b"\x1dy"
    assert not bench.porter.draws
    bench.porter.pass_on(b"x")
    bench.porter.hide()
    bench.porter.resized(0.0)
    assert bench.written == b""


def test_a_command_lists_approves_and_denies() -> None:
    bench = Bench()
    bench.types("bob", "b1")
    assert bench.orders("requests") == Reply("", (Standing("bob", "11 22 33", bench.clock_s),), 0)
    assert bench.orders("approve", "bob") == Reply()
    assert bench.types("bob", "b2")
    assert bench.orders("deny", "bob") == Reply()
    assert not bench.types("bob", "b3")
    assert not bench.inputs, "what was not written yet is dropped"


def test_the_crowd_is_told_as_a_count() -> None:
    bench = Bench()
    for number in range(MAX_REQUESTS + 7):
        bench.types(f"user{number}", "w")
    reply = bench.orders("requests")
    assert (len(reply.requests), reply.turned_away) == (MAX_REQUESTS, 7)
    assert f"user0 (+{MAX_REQUESTS - 1 + 7}) asks" in bench.shown()


def test_nobody_is_approved_where_nobody_may_type() -> None:
    assert "--share view" in Bench(Share.VIEW).orders("approve", "bob").problem


def test_a_command_of_this_user_sends_the_command_signals_that_are_passed_on_and_no_others() -> None:
    bench = Bench(Share.VIEW)
    assert bench.orders("kill", signal_number=signal.SIGTERM) == Reply()
    assert bench.orders("kill", signal_number=signal.SIGKILL) == Reply()
    assert [bench.orders("kill", signal_number=number).problem for number in (0, -1, 99, signal.SIGSTOP)] == [
        "this signal is not passed on"
    ] * 4
    assert bench.signals == [signal.SIGTERM, signal.SIGKILL]


def test_what_is_no_order_gets_a_reply_all_the_same() -> None:
    reply = orders.decode_reply(Bench().porter.order(Message(Kind.ORDER, {"do": "dance", "user": ""}), 0.0))
    assert "not known" in reply.problem


def test_the_server_s_word_counts() -> None:
    bench = Bench()
    bench.types("bob", "b1")
    bench.controls(do="approve", user="bob")
    assert bench.orders("requests").requests == ()
    assert bench.types("bob", "b2")
    bench.controls(do="revoke", user="bob", before=bench.clock_s)
    assert not bench.inputs
    bench.controls(do="approve", user="bob")
    assert bench.types("bob", "b3")
    bench.controls(do="deny", user="bob")
    assert not bench.types("bob", "b4")
    bench.controls(do="revoke", user="eve", before=None)
    bench.clock_s += 1
    bench.types("eve", "e1")
    assert bench.told[-1] == ("revoked", "e1")


def test_the_server_may_end_the_command_with_a_signal_that_people_send() -> None:
    bench = Bench()
    bench.controls(do="kill", user="", signal=None)
    bench.controls(do="kill", user="", signal=signal.SIGKILL)
    bench.controls(do="kill", user="", signal=signal.SIGSTOP)
    bench.controls(do="kill", user="", signal=0)
    bench.controls(do="nothing that is known", user="bob")
    assert bench.signals == [signal.SIGTERM, signal.SIGKILL, signal.SIGTERM]


def test_it_is_not_asked_for_while_there_is_nothing_to_do() -> None:
    bench = Bench()
    due = [bench.porter.due_s is None]
    bench.types("bob", "b1")
    due.append(bench.porter.due_s is None)
    bench.orders("deny", "bob")
    due.append(bench.porter.due_s is None)
    assert due == [True, False, True]


def test_a_size_counts_of_those_who_may_type() -> None:
    bench = Bench()
    assert (bench.porter.admits("anna"), bench.porter.admits("bob")) == (True, False)


def test_whose_session_it_is_may_be_told_later() -> None:
    bench = Bench()
    assert bench.porter.said(Message(Kind.OWN_USER, {"user": "anna"}), 0.0)


def test_a_word_of_the_server_counts_once_whichever_uplink_heard_it() -> None:
    bench = Bench()
    bench.controls(do="kill", signal=15, id="same")
    bench.controls(do="kill", signal=15, id="same")
    assert bench.signals == [15]
    for number in range(MAX_HEARD - 1):
        bench.controls(do="approve", user="bob", id=f"other-{number}")
    bench.controls(do="kill", signal=15, id="same")
    assert bench.signals == [15]


def test_who_types_here_is_noted_with_the_time() -> None:
    bench = Bench()
    assert bench.porter.typed_here(b"x", 12.5) == b"x"
    assert bench.porter.typed_s == 12.5
