"""The way of keystrokes: from an event, in the subscriber's own thread, straight onto the socket to the host.

They do not queue behind publishing. Who typed is known here by the key that opens what they sealed, and is said to the host with
every frame. What cannot be opened, is of another run or comes to a read-only session is dropped.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import channels, frames, grants
from codewrap.protocol.frames import Input, Resize
from codewrap.protocol.grants import Envelope, Revoked
from codewrap.protocol.hostlink import Kind, Message
from codewrap.transport.base import Received
from codewrap.uplink.controls import MADE_WITHIN_S, Heard
from codewrap.uplink.hostsocket import HostSocket

# The input key is asked for so often; the one before it opens frames for as long.
KEY_KEEP_S = 60.0
# Input that no key of ours opens may be sealed with a newer one, or be nonsense: that is asked so often at most.
DOUBT_EVERY_S = 5.0
# A writer sends many frames under one key, and few writers type at once.
MAX_KEYS = 256
_POSTED_BY = re.compile(r"http-([0-9]{1,15})-[0-9a-f]{32}")

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
    began_at: float = 0.0
    """When the run began, in seconds since 1970: what was made before is for another run of this name."""
    keyless: bool = False
    """There is no key here that anything could be sealed with: input comes in clear, and of nobody in particular."""


class InputKeys:
    """The session's input key as it is now, and the one before it for KEY_KEEP_S: viewers do not learn of a new one at once."""

    def __init__(self, current: Callable[[], bytes | None]) -> None:
        self._current = current
        self._known: bytes | None = None
        self._before: tuple[bytes, float] | None = None

    def at(self, now_s: float) -> list[bytes]:
        """Those that may open a frame now, the likely one first. While the link is down the last known one stays."""
        current = self._current()
        if current is not None and current != self._known:
            if self._known is not None:
                self._before = (self._known, now_s + KEY_KEEP_S)
            self._known = current
        if self._before is not None and now_s >= self._before[1]:
            self._before = None
        return [key for key in (self._known, self._before[0] if self._before else None) if key is not None]


class InputPath:
    """From a sealed input event to the host, in the subscriber's thread. What cannot be opened or is not for us is dropped.

    ``doubt`` is called where there may be a newer input key than the one that we have.
    """

    def __init__(
        self,
        plan: UplinkPlan,
        host: HostSocket,
        secret_of: SecretOf,
        clock: Callable[[], float] = time.time,
        doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._doubt = doubt
        self._doubted_s = float("-inf")
        self._host = host
        self._clock = clock
        self._input_channel = channels.input_channel(plan.session)
        self._control_channel = channels.sealed_input_channel(plan.session)
        self._keys = InputKeys(functools.partial(secret_of, self._control_channel))
        self._writer_key = functools.lru_cache(MAX_KEYS)(grants.writer_key)
        self._check_code = functools.lru_cache(MAX_KEYS)(grants.check_code)
        self._revoked = Revoked()
        self._heard = Heard()

    def take(self, event: Received) -> bool:
        """True when ``event`` was on a channel of input (and is dealt with)."""
        if event.channel not in (self._input_channel, self._control_channel):
            return False
        with contextlib.suppress(RemoteProtocolError):
            if event.channel == self._control_channel:
                self._control(event)
            elif not self._plan.read_only:
                self._input(event.data)
        return True

    def _control(self, event: Received) -> None:
        """Pusher's own encryption: opened by the subscriber, so that whoever made it has the input key."""
        control = frames.decode_control(event.data)
        now_s = self._clock()
        # An answer to an earlier run of this name is the host's to refuse: somebody waits to hear of it.
        ours = self._is_ours(control.epoch) or control.do == "answer"
        if event.name != channels.EVENT_CONTROL or not ours or control.at < int(self._plan.began_at):
            return
        if not self._heard.is_new(control, now_s):
            return
        if control.do == "revoke" and control.before is not None:
            self._revoked.add(control.user, control.before, now_s)
        header = {name: value for name, value in asdict(control).items() if name != "epoch"}
        if not self._is_ours(control.epoch):
            header["only_at"] = None
        self._host.send(Message(Kind.CONTROL, header))

    def _input(self, data: str) -> None:
        if self._plan.keyless and not self._plan.encrypted:
            self._pass_on(frames.decode_viewer(data), {"user": "", "by": "", "code": ""})
            return
        envelope = grants.decode(data)
        now_s = self._clock()
        if grants.is_over(envelope.until, now_s) or self._revoked.holds(envelope.user, envelope.until):
            raise RemoteProtocolError("a writer's grant is over, or void")
        text, key = self._opened(envelope, now_s)
        frame = frames.decode_viewer(text)
        if isinstance(frame, Input | Resize):
            code = self._check_code(key, frame.writer)
            self._pass_on(frame, {"user": envelope.user, "by": envelope.writer, "code": code})

    def _opened(self, envelope: Envelope, now_s: float) -> tuple[str, bytes]:
        """The text, and the writer's key that opened it. Before there is a key here nobody can type, a relay least of all."""
        for base_key in self._keys.at(now_s):
            key = self._writer_key(base_key, envelope.writer, envelope.until)
            with contextlib.suppress(RemoteProtocolError):
                return grants.unseal(envelope, key), key
        if abs(now_s - self._doubted_s) >= DOUBT_EVERY_S:
            self._doubted_s = now_s
            self._doubt()  # whoever typed sends it again
        raise RemoteProtocolError("input is sealed with another key")

    def _pass_on(self, frame: frames.ViewerFrame, whose: dict[str, str]) -> None:
        if frame.epoch != self._plan.epoch and not self._is_posted(frame):
            return
        match frame:
            case Input():
                self._host.send(Message(Kind.INPUT, {"writer": frame.writer, "offset": frame.offset, **whose}, frame.data))
            case Resize():
                size = {"rows": frame.size.rows, "cols": frame.size.cols}
                self._host.send(Message(Kind.RESIZE, {**size, "writer": frame.writer, **whose}))

    def _is_ours(self, epoch: str) -> bool:
        return epoch in (self._plan.epoch, frames.ANY_EPOCH)

    def _is_posted(self, frame: frames.ViewerFrame) -> bool:
        """Whether a program posted it just now, and in this run, without knowing that."""
        if not isinstance(frame, Input) or frame.epoch != frames.ANY_EPOCH:
            return False
        found = _POSTED_BY.fullmatch(frame.writer)
        if found is None:
            return False
        made_at = int(found[1]) / 1000
        return made_at >= self._plan.began_at and abs(self._clock() - made_at) <= MADE_WITHIN_S
