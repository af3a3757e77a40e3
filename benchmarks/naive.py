"""The publisher that most would write first, as a yardstick: one `trigger` of the `pusher` package per PTY read.

`host PROGRAM` wraps a program and publishes to a private channel; `view` shows it through pysher and sends keystrokes as
client events. No order, no history, no batching, no encryption: that is the point. Settings: SOKETI_* variables.
"""

import base64
import json
import logging
import os
import pty
import select
import sys
import termios
import threading
import tty
from typing import Any

CHANNEL = os.environ.get("NAIVE_CHANNEL", "private-naive")
READ_BYTES = 4096  # what a PTY gives at most per read; 5.4 KB as base64, inside the package's limit


def connect(on_subscribed: Any, event: str, on_event: Any) -> Any:
    """A pysher client that is subscribed to the channel; the callbacks run on its thread."""
    import pysher

    client = pysher.Pusher(
        key=os.environ["SOKETI_SERVICE_KEY"],
        secret=os.environ["SOKETI_SERVICE_SECRET"],
        custom_host=os.environ["SOKETI_HOST"],
        port=int(os.environ["SOKETI_PORT"]),
        secure=False,
        log_level=logging.ERROR,
    )

    def subscribe(_: Any) -> None:
        channel = client.subscribe(CHANNEL)
        channel.bind(event, on_event)
        on_subscribed(channel)

    client.connection.bind("pusher:connection_established", subscribe)
    client.connect()
    return client


def unpack(data: Any) -> bytes:
    """The bytes of one event, which pysher hands over as text or as an object."""
    fields = json.loads(data) if isinstance(data, str) else data
    return base64.b64decode(fields["data"])


def pack(data: bytes) -> dict[str, str]:
    """The event that carries `data`."""
    return {"data": base64.b64encode(data).decode()}


def write_all(fd: int, data: bytes) -> None:
    """Write every byte."""
    while data:
        data = data[os.write(fd, data) :]


def host(program: str) -> int:
    """Wrap `program`: its output to this terminal, and each piece of it to the broker before the next is read."""
    import pusher

    publisher = pusher.Pusher(
        app_id=os.environ["SOKETI_SERVICE_USER"],
        key=os.environ["SOKETI_SERVICE_KEY"],
        secret=os.environ["SOKETI_SERVICE_SECRET"],
        host=os.environ["SOKETI_HOST"],
        port=int(os.environ["SOKETI_PORT"]),
        ssl=False,
    )
    child, master = pty.fork()
    if child == 0:
        os.execvp(program, [program])
    termios.tcsetwinsize(master, termios.tcgetwinsize(0))
    tty.setraw(0)
    connect(lambda _: None, "client-input", lambda data: write_all(master, unpack(data)))
    while True:
        ready, _, _ = select.select([master, 0], [], [])
        if 0 in ready:
            write_all(master, os.read(0, READ_BYTES))
        if master in ready:
            try:
                data = os.read(master, READ_BYTES)
            except OSError:
                break
            write_all(1, data)
            publisher.trigger(CHANNEL, "output", pack(data))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def view() -> int:
    """Show what is published; send what is typed."""
    subscribed = threading.Event()
    channels: list[Any] = []

    def remember(channel: Any) -> None:
        channels.append(channel)
        subscribed.set()

    tty.setraw(0)
    connect(remember, "output", lambda data: write_all(1, unpack(data)))
    subscribed.wait()
    while data := os.read(0, READ_BYTES):
        channels[-1].trigger("client-input", pack(data))
    return 0


if __name__ == "__main__":
    sys.exit(host(sys.argv[2]) if sys.argv[1] == "host" else view())
