"""The server's word to hosts: sealed with the key that only hosts are given, so that nobody else can have said it.

Source: `docs/protocol.md`, "Control".
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable, Sequence

from codewrap.protocol import frames, sealing
from codewrap.protocol.channels import EVENT_CONTROL, sealed_input_channel
from codewrap.protocol.frames import Control, OnlyAt
from codewrap.server.registry import Registry
from codewrap.transport.base import Event

Publish = Callable[[str, Sequence[Event]], Awaitable[None]]


class HostTeller:
    """Publishes control frames. ``clock`` is seconds since 1970."""

    def __init__(self, master_key: bytes, registry: Registry, publish: Publish, clock: Callable[[], float]) -> None:
        self._master_key = master_key
        self._registry = registry
        self._publish = publish
        self._clock = clock

    async def decide(self, session: str, user: str, *, allow: bool) -> None:
        """Let ``user`` type into ``session``, or not. Raises what publishing raises."""
        await self._tell(session, "approve" if allow else "deny", user=user)

    async def kill(self, session: str, signal: int | None) -> None:
        """End a session's command by ``signal`` (None: the usual one). Raises what publishing raises."""
        await self._tell(session, "kill", signal=signal)

    async def answer(self, session: str, link: str, text: str, *, epoch: str, only_at: OnlyAt) -> None:
        """Type ``text``, where that run still stands there. ``link`` is heard once. Raises what publishing raises."""
        await self._say(session, Control(link, int(self._clock()), "answer", epoch=epoch, text=text, only_at=only_at))

    async def revoke(self, user: str, before_s: float) -> None:
        """Tell every hosted session that what ``user`` was given before then is void. Raises what publishing raises."""
        for session in await self._registry.all():
            await self._tell(session.name, "revoke", user=user, before=math.ceil(before_s))

    async def _tell(self, session: str, do: str, *, user: str = "", before: int | None = None, signal: int | None = None) -> None:
        await self._say(session, Control(secrets.token_hex(16), int(self._clock()), do, user, before, signal))

    async def _say(self, session: str, control: Control) -> None:
        channel = sealed_input_channel(session)
        key = sealing.shared_secret(channel, self._master_key)
        sealed = sealing.seal(frames.encode(control), key, secrets.token_bytes(sealing.NONCE_BYTES))
        await self._publish(session, [Event(channel, EVENT_CONTROL, sealed)])
