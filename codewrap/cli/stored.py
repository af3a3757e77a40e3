"""Recordings that a `serve-auth` stores: listed; and fetched, opened and checked, to be shown like those that are here.

What is fetched lies in a private directory, opened, for as long as this process lives.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codewrap.cli import console, environment
from codewrap.config import Gateway
from codewrap.errors import RemoteProtocolError, SessionNotFound, TransportError
from codewrap.protocol.blocks import Block, Opener, recording_key
from codewrap.protocol.channels import is_session_name, output_channel
from codewrap.store import files
from codewrap.store.archive import Archive, Kept
from codewrap.store.logcopy import LogCopy
from codewrap.store.sessions import process_start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codewrap.cli.environment import Environment
    from codewrap.transport.recordings import RecordingClient, StoredRecording

# Who lists sessions sees those of this machine all the same, and soon.
LIST_WAIT_S = 5.0
LOOK_S = 1.0
"""Its host brings more every five seconds."""
PATIENCE_S = 60.0
# A signature is made for one socket; to learn a channel's key any socket's name will do.
_NO_SOCKET = "1.1"


def listed(server: Gateway, name: str | None = None) -> list[StoredRecording]:
    """Those that our token reaches, of one name or of all, the one last heard of first. Raises AuthError, TransportError."""
    client = _client(server, LIST_WAIT_S)
    try:
        return client.all(name)
    finally:
        client.close()


def public(stored: StoredRecording, server: Gateway) -> dict[str, Any]:
    """For programs (`--json`)."""
    return asdict(stored) | {"state": state_of(stored), "server": server.url, "stored": True}


def state_of(stored: StoredRecording) -> str:
    """What became of its session, in a word: as far as the server can tell."""
    if stored.ended:
        return "ended"
    return "running" if stored.live else "lost"


def fetch(here: Environment, server: Gateway, text: str) -> Kept:
    """The newest of a name that the server stores, or the one that ``NAME@EPOCH`` says, opened and checked.

    Raises SessionNotFound, AuthError, TransportError, RemoteProtocolError (it was altered), StoreError.
    """
    fetched = follow(here, server, text)
    fetched.close()
    return fetched.kept


def follow(here: Environment, server: Gateway, text: str) -> Fetched:
    """The same, of which more can be fetched as it comes, if it still runs. Whoever calls closes it."""
    client = _client(server)
    try:
        fetched = Fetched(here, server, client, _chosen(client, text))
    except BaseException:
        client.close()
        raise
    try:
        fetched.begin()
    except BaseException:
        fetched.close()
        raise
    return fetched


def _chosen(client: RecordingClient, text: str) -> StoredRecording:
    name, at, epoch = text.partition("@")
    found = client.all(name) if is_session_name(name) and (epoch or not at) else []
    fitting = [stored for stored in found if stored.epoch.startswith(epoch)]
    if not fitting:
        where = f"neither on this machine (codewrap ls --all) nor stored at {client.server}"
        raise SessionNotFound(text, f"{where}; one that runs and is not stored is shown by codewrap attach")
    if at and len(fitting) > 1:
        raise SessionNotFound(text, "several begin so, give more of it")
    return fitting[0]


class Fetched:
    """One recording in a directory of ours, opened: first what there is, by `begin`, then `more`."""

    def __init__(self, here: Environment, server: Gateway, client: RecordingClient, stored: StoredRecording) -> None:
        """Raises StoreError."""
        self._here = here
        self._server = server
        self._client = client
        self._stored = stored
        self._opener: Opener
        self._directory = _directory(here.values)
        self._copy = LogCopy(self._directory, stored.name, stored.epoch)
        self._facts: Mapping[str, Any] = {}
        self._at = 0
        self._due_s = 0.0
        self._failing_s = 0.0

    def begin(self) -> None:
        """Raises as `fetch`."""
        self._opener = Opener(recording_key(self._secret(), self._stored.name, self._stored.epoch))
        self._read()
        self._judge()
        self._note()

    @property
    def kept(self) -> Kept:
        """Raises SessionNotFound."""
        kept = Archive(self._directory).find(f"{self._stored.name}@{self._stored.epoch}")
        if kept is None:
            raise SessionNotFound(self._stored.name, "its recording is gone from this machine")
        return kept

    def more(self) -> None:
        """What has come since, now and then; a server that does not answer is given a minute. Raises as `fetch`."""
        now_s = time.monotonic()
        if now_s < self._due_s or not self._runs:
            return
        try:
            came = self._read()
            if not came:
                self._look_again()
        except TransportError as error:
            self._failing_s = self._failing_s or now_s
            if not error.retry or now_s - self._failing_s > PATIENCE_S:
                raise
        else:
            self._failing_s = 0.0
        self._note()
        self._due_s = time.monotonic() + LOOK_S

    def close(self) -> None:
        """What was fetched stays as long as this process."""
        self._copy.close()
        self._client.close()

    @property
    def _runs(self) -> bool:
        return self._stored.live and not self._opener.is_whole

    def _read(self) -> bool:
        """Whether there was anything."""
        before = self._at
        for piece in self._client.read(self._stored.name, self._stored.epoch, self._at):
            self._at += len(piece)
            for block in self._opened(self._opener, piece):
                self._copy.write(block.output_at, block.output, block.timeline)
                self._facts = block.facts or self._facts
        return self._at > before

    def _look_again(self) -> None:
        """Whether its host is there; a recording that was deleted meanwhile goes on no more."""
        found = [each for each in self._client.all(self._stored.name) if each.epoch == self._stored.epoch]
        self._stored = found[0] if found else replace(self._stored, live=False)

    def _note(self) -> None:
        self._copy.note(self._facts, self._stored.updated_at, runs=self._runs)

    def _opened(self, opener: Opener, piece: bytes) -> list[Block]:
        try:
            return list(opener.feed(piece))
        except RemoteProtocolError as error:
            first = "; or the server has another master key since" if not opener.blocks else ""
            raise RemoteProtocolError(f"{self._server.url}: {error}{first}") from None

    def _judge(self) -> None:
        stored = self._stored
        if stored.ended and not self._opener.is_whole:
            raise RemoteProtocolError(
                f"{self._server.url}: the stored recording is damaged: it is said to have ended, and its end is missing"
            )
        if self._opener.is_whole:
            until = ""
        elif stored.live:
            until = f", up to {console.moment(stored.updated_at)}: it still runs"
        else:
            until = f", up to {console.moment(stored.updated_at)}: its end was never stored"
        console.say(f"session {stored.name}@{stored.epoch[:8]} as {self._server.url} stores it{until}")

    def _secret(self) -> bytes:
        from codewrap.transport.authorize import HttpAuthorizer

        user = environment.user_name(self._here.values)
        authorizer = HttpAuthorizer(self._server.url, self._server.token, role="viewer", name=user)
        try:
            secret = authorizer.authorize(output_channel(self._stored.name, encrypted=True), _NO_SOCKET).shared_secret
        finally:
            authorizer.close()
        if secret is None:
            raise TransportError(self._server.url, "gives no key to open recordings with", retry=False)
        return secret


def _directory(values: Mapping[str, str]) -> Path:
    """A new one, gone with this process. Those of processes that were killed are removed."""
    root = files.private_directory(files.state_directory(values) / "fetched")
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            pid, _, began = entry.name.rpartition("-")[0].partition("-")
            if not pid.isdigit() or _began(int(pid)) != began:
                shutil.rmtree(entry.path, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{_began(os.getpid())}-", dir=root))
    console.at_end(functools.partial(shutil.rmtree, made, ignore_errors=True))
    return made


def _began(pid: int) -> str:
    """Fit for a file's name."""
    return hashlib.sha256(process_start(pid).encode()).hexdigest()[:16]


def _client(server: Gateway, timeout_s: float | None = None) -> RecordingClient:
    from codewrap.transport.recordings import TIMEOUT_S, RecordingClient

    return RecordingClient(server.url, server.token, timeout_s=timeout_s or TIMEOUT_S)
