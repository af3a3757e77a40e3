"""A TCP relay that counts what goes through it: each Pusher message, ping and published event is a line in a file.

A program of its own (`python relay.py PORT FILE`), so that the harness cannot hold it up; it prints its port. It passes bytes on
as they come and alters none. Lines: `[monotonic ns, connection, "up"|"down", kind, event name, channel, bytes]`; "up" is towards
the broker. Kinds: `event` (a WebSocket message), `ping`, `pong`, `close` (WebSocket control frames), `request` (HTTP),
`published` (an event inside a request).
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

READ_BYTES = 65536
CONTROL = {0x8: "close", 0x9: "ping", 0xA: "pong"}
TEXT = 0x1
Note = Callable[..., None]


class Direction:
    """One direction of one connection: HTTP heads and bodies, then WebSocket frames once the connection is upgraded."""

    def __init__(self, note: Note, *, up: bool) -> None:
        self._note = note
        self._up = up
        self._held = bytearray()
        self._step: Callable[[], bool] = self._head
        self._body_bytes = 0

    def feed(self, data: bytes) -> None:
        """Count what is complete."""
        self._held += data
        while self._step():
            pass

    def _take(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _head(self) -> bool:
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._take(end + 4).lower()
        if b"\r\nupgrade: websocket" in head:
            self._step = self._frame
        elif self._up:
            _, found, length = head.partition(b"\r\ncontent-length:")
            self._body_bytes = int(length.split(b"\r\n")[0]) if found else 0
            self._step = self._body
        else:
            self._step = self._ignore
        return True

    def _ignore(self) -> bool:
        self._held.clear()
        return False

    def _body(self) -> bool:
        if len(self._held) < self._body_bytes:
            return False
        body = self._take(self._body_bytes)
        self._note("request", "", "", len(body))
        for name, channel, size in published(body):
            self._note("published", name, channel, size)
        self._step = self._head
        return True

    def _frame(self) -> bool:
        held = self._held
        if len(held) < 2:
            return False
        opcode, masked, size, at = held[0] & 0x0F, held[1] >> 7, held[1] & 0x7F, 2
        if size > 125:
            wide = 2 if size == 126 else 8
            size, at = int.from_bytes(held[2 : 2 + wide], "big"), 2 + wide
        key = bytes(held[at : at + 4]) if masked else b""
        at += len(key)
        if len(held) < at + size or (masked and len(key) < 4):
            return False
        payload = self._take(at + size)[at:]
        if opcode == TEXT:
            name, channel = event_of(unmasked(payload, key))
            self._note("event", name, channel, size)
        elif opcode in CONTROL:
            self._note(CONTROL[opcode], "", "", size)
        return True


def unmasked(payload: bytes, key: bytes) -> bytes:
    """A client's frame in clear (RFC 6455, 5.3)."""
    if not key or not payload:
        return payload
    mask = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(payload), "big")


def event_of(text: bytes) -> tuple[str, str]:
    """Event name and channel of a Pusher message."""
    try:
        message = json.loads(text)
        return str(message.get("event", "")), str(message.get("channel", ""))
    except (ValueError, AttributeError):
        return "?", ""


def published(body: bytes) -> Iterator[tuple[str, str, int]]:
    """Name, channel and size of each event in the body of a request to the HTTP API."""
    try:
        message: dict[str, Any] = json.loads(body)
    except ValueError:
        return
    for event in message.get("batch", [message]):
        for channel in event.get("channels") or [event.get("channel", "")]:
            yield str(event.get("name", "")), str(channel), len(str(event.get("data", "")))


def pump(source: socket.socket, sink: socket.socket, direction: Direction) -> None:
    """Pass on until the end, then say so to the other side."""
    try:
        while data := source.recv(READ_BYTES):
            sink.sendall(data)
            direction.feed(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, sink):
            each.close()


def serve(port: int, log: int) -> None:
    """Accept for ever: two threads for each connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)
        number = 0
        while True:
            client, _ = listener.accept()
            number += 1
            broker = socket.create_connection(("127.0.0.1", port))
            for each in (client, broker):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink, name in ((client, broker, "up"), (broker, client, "down")):
                direction = Direction(noting(log, number, name), up=name == "up")
                threading.Thread(target=pump, args=(source, sink, direction), daemon=True).start()


def noting(log: int, connection: int, direction: str) -> Note:
    """Writes one line; O_APPEND keeps lines of several threads apart."""

    def note(*what: object) -> None:
        os.write(log, json.dumps([time.monotonic_ns(), connection, direction, *what]).encode() + b"\n")

    return note


if __name__ == "__main__":
    serve(int(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
