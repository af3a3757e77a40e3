"""The way of keystrokes: from an event, in the subscriber's own thread, straight onto the socket to the host.

They do not queue behind publishing. What cannot be opened, is of another run or comes to a read-only session is dropped.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import channels, frames, sealing
from codewrap.protocol.frames import Input, Resize
from codewrap.protocol.hostlink import Kind, Message
from codewrap.transport.base import Received
from codewrap.uplink.hostsocket import HostSocket

# As brokers do with signatures: clocks differ, and what is older was kept by somebody.
POSTED_WITHIN_S = 600.0
_POSTED_BY = re.compile(r"http-([0-9]{1,12})-[0-9a-f]{32}")

SecretOf = Callable[[str], bytes | None]


@dataclass(slots=True)
class UplinkPlan:
    """What the loop is told of the session."""

    session: str
    epoch: str
    encrypted: bool
    read_only: bool
    answers_queries: bool
    watched: int = 0
    """So many watched when an uplink before this one died."""


class InputPath:
    """From a sealed input event to the host, in the subscriber's thread. What cannot be opened or is not for us is dropped."""

    def __init__(self, plan: UplinkPlan, host: HostSocket, secret_of: SecretOf, clock: Callable[[], float] = time.time) -> None:
        self._plan = plan
        self._host = host
        self._secret_of = secret_of
        self._clock = clock
        self._input_channel = channels.input_channel(plan.session)
        self._sealed_channel = channels.sealed_input_channel(plan.session)

    def take(self, event: Received) -> bool:
        """True when ``event`` was on a channel of input (and is dealt with)."""
        if event.channel not in (self._input_channel, self._sealed_channel):
            return False
        if not self._plan.read_only:
            with contextlib.suppress(RemoteProtocolError):
                self._pass_on(frames.decode_viewer(self._opened(event)))
        return True

    def _opened(self, event: Received) -> str:
        if event.channel == self._sealed_channel:
            return event.data  # Pusher's own encryption: opened by the subscriber
        key = self._secret_of(self._sealed_channel)
        if key is not None:
            return sealing.unseal(event.data, key)
        if self._plan.encrypted:  # not authorized yet: until then the relay must not be able to type
            raise RemoteProtocolError("input to an encrypted session came before its key")
        return event.data

    def _pass_on(self, frame: frames.ViewerFrame) -> None:
        if frame.epoch != self._plan.epoch and not self._is_posted(frame):
            return
        match frame:
            case Input():
                self._host.send(Message(Kind.INPUT, {"writer": frame.writer, "offset": frame.offset}, frame.data))
            case Resize():
                self._host.send(Message(Kind.RESIZE, {"rows": frame.size.rows, "cols": frame.size.cols}))

    def _is_posted(self, frame: frames.ViewerFrame) -> bool:
        """Whether a program posted it just now, without knowing this run."""
        if not isinstance(frame, Input) or frame.epoch != frames.ANY_EPOCH:
            return False
        found = _POSTED_BY.fullmatch(frame.writer)
        return found is not None and abs(self._clock() - int(found[1])) <= POSTED_WITHIN_S
