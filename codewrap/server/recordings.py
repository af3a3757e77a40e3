"""What `serve-auth` stores of sessions: who may read what of it, and how much is kept. The files: `recordingfiles.py`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from codewrap.errors import CodewrapError
from codewrap.protocol.blocks import MOST_BYTES
from codewrap.protocol.roles import Role
from codewrap.server.identity import Identity
from codewrap.server.recordingfiles import NoRoom, OutOfPlace, RecordingFiles, Stored, TooLong
from codewrap.server.refusals import Refusal, forbidden, too_large
from codewrap.server.registry import Registry

CHUNK_BYTES = 1024 * 1024
CLEAN_EVERY_S = 3600.0
# Where there is too much, what all of them take is counted so often: each time every file is looked at.
COUNT_EVERY_S = 10.0
RETRY_S = 60
LOGGER = logging.getLogger("codewrap.server")


class Recordings:
    """Owned by the server's event loop. ``files`` None: nothing is stored here. ``clock`` is seconds since 1970."""

    def __init__(self, files: RecordingFiles | None, registry: Registry, clock: Callable[[], float]) -> None:
        self._files = files
        self._registry = registry
        self._clock = clock
        self._most_bytes = files.most_bytes if files is not None else None
        self._bytes = 0
        self._counted_s = float("-inf")
        self._cleaning: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Delete what is too old, now and then."""
        if self._files is not None:
            self._cleaning = asyncio.create_task(self._keep_clean(), name="recordings")

    async def close(self) -> None:
        """Stop that."""
        if self._cleaning is not None:
            self._cleaning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._cleaning

    async def all(self, identity: Identity, name: str | None = None) -> list[Stored]:
        """Those that the identity may read, the one last heard of first; of one name, or of all."""
        if self._files is None:
            return []
        if name is not None:
            found = await asyncio.to_thread(self._files.of, name) if identity.reaches(name) else []
        else:
            found = await asyncio.to_thread(self._files.all, identity.reaches)
        return [stored for stored in found if may_read(identity, stored)]

    async def find(self, identity: Identity, name: str, epoch: str) -> Stored:
        """Raises Refusal (404) also for what the identity may not read: nobody learns that it is there."""
        stored = None if self._files is None else await asyncio.to_thread(self._files.find, name, epoch)
        if stored is None or not may_read(identity, stored):
            raise Refusal(404, "no_such_recording", "no such recording is stored here")
        return stored

    async def read(self, stored: Stored, at: int) -> bytes:
        """The next CHUNK_BYTES at most; none at the end."""
        return b"" if self._files is None else await asyncio.to_thread(self._files.read, stored, at, CHUNK_BYTES)

    async def put(self, identity: Identity, name: str, epoch: str, at: int, data: bytes, *, last: bool) -> Stored:
        """Raises Refusal: 403 for whose it is not, 404 where nothing is stored or no such session hosted, 409, 413, 503."""
        files = self._storing()
        owner = await self._owner(identity, name, epoch)
        await self._make_room(len(data))
        try:
            stored = await asyncio.to_thread(lambda: files.put(name, epoch, owner, at, data, last=last, now_s=self._clock()))
        except OutOfPlace as error:
            words = "this recording has ended" if error.ended else f"only {error.size_bytes} bytes are stored"
            raise Refusal(409, "ended" if error.ended else "behind", words) from None
        except TooLong:
            raise too_large("a recording", files.session_bytes) from None
        except NoRoom as error:
            LOGGER.error("a recording cannot be stored: %s", error)
            raise self._full() from None
        self._bytes += len(data)
        return stored

    async def delete(self, identity: Identity, name: str, epoch: str) -> None:
        """Raises Refusal (403, 404)."""
        stored = await self.find(identity, name, epoch)
        _require_owner(identity, stored.owner)
        if self._files is not None:
            await asyncio.to_thread(self._files.delete, stored)

    def _storing(self) -> RecordingFiles:
        if self._files is None:
            raise Refusal(404, "not_stored", "this server stores no recordings")
        return self._files

    async def _owner(self, identity: Identity, name: str, epoch: str) -> str:
        """Whose recording it is, or is to be: the first of it is taken only while they host the session. Raises Refusal."""
        stored = None if self._files is None else await asyncio.to_thread(self._files.find, name, epoch)
        owner = stored.owner if stored is not None else (await self._registry.require(name)).owner
        _require_owner(identity, owner)
        return owner

    async def _make_room(self, more_bytes: int) -> None:
        """Raises Refusal (503) where sessions that run take all there may be."""
        if self._most_bytes is None:
            return
        uncounted = self._counted_s == float("-inf")
        if uncounted or self._bytes + more_bytes > self._most_bytes:
            if time.monotonic() - self._counted_s >= COUNT_EVERY_S:
                await self._clean(more_bytes)
            if self._bytes + more_bytes > self._most_bytes:
                raise self._full()

    async def _keep_clean(self) -> None:
        while True:
            try:
                await self._clean()
            except CodewrapError as error:
                LOGGER.error("recordings cannot be cleaned up: %s", error)
            await asyncio.sleep(CLEAN_EVERY_S)

    async def _clean(self, more_bytes: int = 0) -> None:
        self._counted_s = time.monotonic()
        deleted, self._bytes = await asyncio.to_thread(self._storing().clean_up, self._clock(), more_bytes)
        if deleted:
            LOGGER.info("%d recordings were too old or too much, and deleted", len(deleted))

    def _full(self) -> Refusal:
        return Refusal(503, "storage_full", "there is no room for recordings now", retry_after_s=RETRY_S)


def may_read(identity: Identity, stored: Stored) -> bool:
    """Whether the identity's token is for it. A link leads to the run that it was made for, and later ones: to none before."""
    return identity.reaches(stored.name) and (identity.kind != "share" or stored.updated_at >= identity.issued_at)


def _require_owner(identity: Identity, owner: str) -> None:
    if identity.role is not Role.ADMIN and identity.user != owner:
        raise forbidden("this session is somebody else's")


BODY_BYTES = MOST_BYTES
"""The most that is stored at once."""
