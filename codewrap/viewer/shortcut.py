"""A viewer's end of the lane to a host on the same machine (`transport/lane.py`): frames in and out, as long as it is there."""

from __future__ import annotations

from codewrap.protocol.frames import Input, Output
from codewrap.protocol.hostlink import Kind, Message
from codewrap.transport.lane import Lane


class Shortcut:
    """The lane, or what stands for one that is not there or gone: everything then goes by the broker."""

    def __init__(self, lane: Lane | None) -> None:
        self._lane = lane
        self._epoch = ""

    def fileno(self) -> int:
        """-1 when there is none."""
        return self._lane.fileno() if self._lane is not None else -1

    def send(self, frame: Input) -> bool:
        """False: send it by the broker."""
        if self._lane is None or frame.epoch != self._epoch:
            return False
        return self._lane.send(Message(Kind.INPUT, {"writer": frame.writer, "offset": frame.offset}, frame.data))

    def receive(self) -> list[Output]:
        """What the host said."""
        messages = self._lane.receive() if self._lane is not None else []
        if messages is None:
            self.close()
            return []
        try:
            return [frame for frame in map(self._heard, messages) if frame is not None]
        except (KeyError, TypeError):
            self.close()
            return []

    def close(self) -> None:
        """Go by the broker from now on."""
        if self._lane is not None:
            self._lane.close()
            self._lane = None

    def _heard(self, message: Message) -> Output | None:
        header = message.header
        if message.kind is Kind.GREETING:
            self._epoch = header["epoch"]
        elif message.kind is Kind.OUTPUT and self._epoch:
            return Output(self._epoch, header["offset"], message.body, header["stream"], header["acks"])
        return None
