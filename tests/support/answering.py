"""A host's lane that replies to every order with the same, and keeps what it was asked."""

from __future__ import annotations

import secrets
import select
import threading
from types import TracebackType
from typing import Self

from codewrap.protocol import orders
from codewrap.protocol.hostlink import Kind, Message
from codewrap.protocol.orders import Order, Reply
from codewrap.transport import lane


class Answering:
    """Stands where a host's loop does. ``reply`` None: it says nothing."""

    def __init__(self, reply: Reply | None) -> None:
        self.name = secrets.token_hex(8)
        self.asked: list[Order] = []
        self._reply = reply
        listener = lane.listen(self.name)
        assert listener is not None
        self._listener = listener
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="answering", daemon=True)

    def _serve(self) -> None:
        lanes: dict[int, lane.Lane] = {}
        while not self._stop.is_set():
            for fd in select.select([self._listener.fileno(), *lanes], [], [], 0.05)[0]:
                if fd == self._listener.fileno():
                    came = lane.accept(self._listener)
                    assert came is not None
                    came.send(Message(Kind.GREETING, {"epoch": "e"}))
                    lanes[came.fileno()] = came
                    continue
                said = lanes[fd].receive()
                if said is None:
                    lanes.pop(fd).close()
                    continue
                for message in said:
                    self.asked.append(orders.decode_order(message))
                    if self._reply is not None:
                        lanes[fd].send(orders.encode_reply(self._reply))
        for left in lanes.values():
            left.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()
