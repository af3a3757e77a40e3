"""The way from the subscriber's threads to the loop: at once where it waits, in order behind what waits already."""

from __future__ import annotations

import select

from codewrap.transport.base import ConnectionState, Received, StateChanged
from codewrap.viewer import mailbox as module
from codewrap.viewer.mailbox import Mailbox

OUTPUT = "private-encrypted-command-s"


def output(number: int) -> Received:
    return Received(OUTPUT, "output", str(number))


def is_readable(mailbox: Mailbox) -> bool:
    return bool(select.select([mailbox.fileno()], [], [], 0)[0])


def with_handler(*, look: bool = False) -> tuple[Mailbox, list[str]]:
    mailbox = Mailbox()
    handled: list[str] = []

    def handle(event: Received) -> bool:
        handled.append(event.data)
        return look

    mailbox.handle_at_once(lambda event: event.channel == OUTPUT, handle)
    return mailbox, handled


def test_output_is_handled_in_the_thread_that_brings_it() -> None:
    mailbox, handled = with_handler()
    mailbox.deliver(output(1))
    assert handled == ["1"]
    assert not is_readable(mailbox)


def test_handler_can_ask_for_the_loop() -> None:
    mailbox, _ = with_handler(look=True)
    mailbox.deliver(output(1))
    assert is_readable(mailbox)
    assert not mailbox.take()


def test_output_waits_in_order_while_the_loop_is_busy() -> None:
    mailbox, handled = with_handler()
    with mailbox.busy:
        mailbox.deliver(output(1))
    mailbox.deliver(output(2))
    assert handled == []
    assert is_readable(mailbox)
    assert [event.data for event in mailbox.take() if isinstance(event, Received)] == ["1", "2"]
    mailbox.deliver(output(3))
    assert handled == ["3"]


def test_output_does_not_overtake_another_event() -> None:
    mailbox, handled = with_handler()
    mailbox.deliver(StateChanged(ConnectionState.CONNECTED))
    mailbox.deliver(output(1))
    assert handled == []
    assert [type(event) for event in mailbox.take()] == [StateChanged, Received]


def test_full_mailbox_drops_output_and_says_so_but_no_state() -> None:
    mailbox, _ = with_handler()
    with mailbox.busy:
        for number in range(module.MAX_QUEUED + 5):
            mailbox.deliver(output(number))
        mailbox.deliver(StateChanged(ConnectionState.CLOSED))
    events = mailbox.take()
    assert mailbox.dropped
    assert len(events) == module.MAX_QUEUED + 1
    assert isinstance(events[-1], StateChanged)


def test_other_channels_go_to_the_loop() -> None:
    mailbox, handled = with_handler()
    mailbox.deliver(Received("presence-command-s", "client-sync", "x"))
    assert handled == []
    assert len(mailbox.take()) == 1
    assert not is_readable(mailbox)
