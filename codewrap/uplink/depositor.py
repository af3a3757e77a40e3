"""Brings a session's log to its server while it runs, sealed, in a thread of its own: publishing never waits for it.

What was brought is noted beside the log (`stored`), so that an uplink after this one goes on there. What the server lacks, or was
sealed with a key that is not good any more, is brought again from the beginning: the log has it all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from codewrap.errors import AuthError, CodewrapError, StoreError, TransportError
from codewrap.protocol.blocks import DATA_BYTES, FACTS_BYTES, Block, recording_key, seal_block
from codewrap.protocol.sealing import NONCE_BYTES
from codewrap.store.files import write_private
from codewrap.store.logcopy import LogBytes

EVERY_S = 5.0
# What a program writes without end is not all brought at once: others use the line.
BLOCKS_AT_ONCE = 8
END_WITHIN_S = 20.0
RETRY_MOST_S = 60.0
STORED = "stored"
LOGGER = logging.getLogger("codewrap.uplink")


class Depository(Protocol):
    """Where it is brought (`transport.recordings.RecordingClient`)."""

    def put(self, name: str, epoch: str, at: int, data: bytes, *, last: bool) -> bool:
        """False: there is less than ``at``. Raises AuthError, TransportError."""

    def close(self) -> None:
        """End what is under way; may be called by another thread."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What was brought: bytes and blocks, up to where in the log's files, sealed with which key."""

    at: int = 0
    blocks: int = 0
    output_at: int = 0
    timeline_at: int = 0
    key_id: str = ""


class Depositor:
    """One session's. ``secret`` gives the key of its output (it may ask the server); ``notice`` is told why it is given up."""

    def __init__(
        self,
        session: str,
        epoch: str,
        directory: Path,
        depository: Depository,
        secret: Callable[[], bytes | None],
        notice: Callable[[str], None],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._session = session
        self._epoch = epoch
        self._directory = directory
        self._depository = depository
        self._secret = secret
        self._notice = notice
        self._every_s = every_s
        self._progress = _read_progress(directory / STORED)
        self._ended = False
        self._done = False
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording-depositor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self, *, ended: bool, within_s: float = END_WITHIN_S) -> bool:
        """Bring the rest; ``ended``: nothing follows it. False where that was not done in time, or was given up."""
        self._ended = ended
        self._hurry.set()
        self._thread.join(within_s)
        if self._thread.is_alive():
            self._stop.set()
            self._depository.close()
            self._notice("the end of the recording could not be stored at the server in time")
        else:
            self._depository.close()
        return self._done

    def _run(self) -> None:
        try:
            log = LogBytes(self._directory)
        except StoreError as error:
            LOGGER.warning("nothing is stored: %s", error)
            return
        try:
            self._keep_bringing(log)
        except Exception:
            LOGGER.exception("storing the recording failed")
        finally:
            log.close()

    def _keep_bringing(self, log: LogBytes) -> None:
        failures = 0
        while not self._stop.is_set():
            hurry, ended = self._hurry.is_set(), self._ended
            try:
                if self._bring(log, hurry=hurry, ended=ended):
                    self._done = True
                    return
                failures = 0
                wait_s = self._every_s
            except CodewrapError as error:
                if isinstance(error, AuthError) or (isinstance(error, TransportError) and not error.retry):
                    self._notice(f"the recording is not stored at the server: {error}")
                    return
                failures += 1
                wait_s = min(0.5 * 2.0 ** min(failures, 10), RETRY_MOST_S)
            if hurry:  # it is the end of the time for it that ends this
                self._stop.wait(min(wait_s, 1.0))
            else:
                self._hurry.wait(wait_s)

    def _bring(self, log: LogBytes, *, hurry: bool, ended: bool) -> bool:
        """What is new, some blocks of it at a time; all of it in a hurry. True: nothing is left, and nothing will come."""
        secret = self._secret()
        if secret is None:
            raise TransportError("the server", "gives no key to seal the recording with", retry=False)
        key = recording_key(secret, self._session, self._epoch)
        key_id = hashlib.sha256(key).hexdigest()[:16]
        if self._progress.key_id != key_id:
            self._progress = Progress(key_id=key_id)
        left = BLOCKS_AT_ONCE
        while (hurry or left) and not self._stop.is_set():
            left -= 1
            block = self._next(log, ended=ended)
            if not block.output and not block.timeline and not block.last and block.number:
                return hurry
            self._put(block, key)
            if block.last:
                return True
        return False

    def _next(self, log: LogBytes, *, ended: bool) -> Block:
        done = self._progress
        output_at, output, timeline = log.next(done.output_at, done.timeline_at, DATA_BYTES)
        # A line that a full disk cut short is no more than that, and nobody will finish it.
        nothing = not output and not timeline
        last = ended and (nothing or log.is_at_end(output_at + len(output), done.timeline_at + len(timeline)))
        facts = log.facts(FACTS_BYTES) if last or not done.blocks else None
        return Block(done.blocks, output_at, output, done.timeline_at, timeline, facts, last)

    def _put(self, block: Block, key: bytes) -> None:
        done = self._progress
        sealed = seal_block(block, key, os.urandom(NONCE_BYTES))
        if not self._depository.put(self._session, self._epoch, done.at, sealed, last=block.last):
            self._progress = Progress(key_id=done.key_id)
            raise TransportError("the server", "lacks what was stored: it is brought again")
        at = done.at + len(sealed)
        self._progress = Progress(at, block.number + 1, block.output_end, block.timeline_end, done.key_id)
        try:
            write_private(self._directory / STORED, json.dumps(asdict(self._progress)).encode())
        except StoreError:  # then another uplink brings it all again
            LOGGER.warning("what was stored cannot be noted")


def _read_progress(path: Path) -> Progress:
    """As it was noted; from the beginning where that cannot be read."""
    try:
        progress = Progress(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return Progress()
    numbers = (progress.at, progress.blocks, progress.output_at, progress.timeline_at)
    return progress if all(type(number) is int and number >= 0 for number in numbers) else Progress()
