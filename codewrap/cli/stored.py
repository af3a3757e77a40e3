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
from dataclasses import asdict
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
    client = _client(server)
    try:
        return _Fetched(here, server, client, _chosen(client, text)).kept()
    finally:
        client.close()


def _chosen(client: RecordingClient, text: str) -> StoredRecording:
    name, at, epoch = text.partition("@")
    found = client.all(name) if is_session_name(name) and (epoch or not at) else []
    fitting = [stored for stored in found if stored.epoch.startswith(epoch)]
    if not fitting:
        raise SessionNotFound(text, f"neither on this machine (codewrap ls --all) nor stored at {client.server}")
    if at and len(fitting) > 1:
        raise SessionNotFound(text, "several begin so, give more of it")
    return fitting[0]


class _Fetched:
    """One recording on its way into a directory of ours."""

    def __init__(self, here: Environment, server: Gateway, client: RecordingClient, stored: StoredRecording) -> None:
        self._here = here
        self._server = server
        self._client = client
        self._stored = stored

    def kept(self) -> Kept:
        stored = self._stored
        opener = Opener(recording_key(self._secret(), stored.name, stored.epoch))
        directory = _directory(self._here.values)
        copy = LogCopy(directory, stored.name, stored.epoch)
        facts: Mapping[str, Any] = {}
        for piece in self._client.read(stored.name, stored.epoch):
            for block in self._opened(opener, piece):
                copy.write(block.output_at, block.output, block.timeline)
                facts = block.facts or facts
        self._judge(opener)
        copy.finish(facts, stored.updated_at, runs=stored.live and not opener.is_whole)
        kept = Archive(directory).find(f"{stored.name}@{stored.epoch}")
        if kept is None:
            raise SessionNotFound(stored.name, "its recording is gone from this machine")
        return kept

    def _opened(self, opener: Opener, piece: bytes) -> list[Block]:
        try:
            return list(opener.feed(piece))
        except RemoteProtocolError as error:
            first = "; or the server has another master key since" if not opener.blocks else ""
            raise RemoteProtocolError(f"{self._server.url}: {error}{first}") from None

    def _judge(self, opener: Opener) -> None:
        stored = self._stored
        if stored.ended and not opener.is_whole:
            raise RemoteProtocolError(
                f"{self._server.url}: the stored recording is damaged: it is said to have ended, and its end is missing"
            )
        if opener.is_whole:
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
