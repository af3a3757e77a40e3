"""The server's own keys on disk, made once: its token, what it signs others with, the app of its own hub.

A restart must not lock anybody out.

Its directory and the one above are private (0700, ours, no symlinks), its files are 0600.
A file appears whole or not at all, and replaces one that is there only where a key is changed for a new one.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from codewrap.errors import StoreError

KEYS_FILE = "keys.json"
TOKEN_FILE = "token"  # noqa: S105  (a name)
SIGNING_KEY_FILE = "signing-key"
VERSION = 1
MASTER_KEY_BYTES = 32
SIGNING_KEY_BYTES = 32
_MAX_FILE_BYTES = 64 * 1024
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class HubKeys:
    """The app of the server's own hub. ``app_id`` is digits."""

    app_id: str
    key: str
    secret: str = field(repr=False)
    master_key: bytes = field(repr=False)


class KeyStore:
    """The directory `serve-auth` in ``state``, codewrap's own (`$XDG_STATE_HOME/codewrap`). Every method raises StoreError."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.directory = state / "serve-auth"

    @property
    def token_path(self) -> Path:
        """Where `token` stands: one line, for the administrator to read."""
        return self.directory / TOKEN_FILE

    def token(self) -> str:
        """The server's token; 256 random bits, made at the first call."""
        text = self._kept(TOKEN_FILE, lambda: secrets.token_urlsafe(32) + "\n").strip()
        if len(text) < 32 or not text.isascii() or not text.isprintable() or " " in text:
            raise StoreError(str(self.token_path), "does not hold a token: delete it, and a new one is made")
        return text

    def signing_key(self) -> bytes:
        """What tokens are signed with, where no other key is set; made at the first call."""
        text = self._kept(SIGNING_KEY_FILE, lambda: base64.b64encode(secrets.token_bytes(SIGNING_KEY_BYTES)).decode() + "\n")
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except ValueError:
            key = b""
        if len(key) != SIGNING_KEY_BYTES:
            path = self.directory / SIGNING_KEY_FILE
            raise StoreError(str(path), "does not hold a key: delete it for a new one, which makes all tokens void")
        return key

    def hub_keys(self) -> HubKeys:
        """The keys of the server's own hub; made at the first call."""
        text = self._kept(KEYS_FILE, _new_keys)
        try:
            fields = json.loads(text)
            keys = HubKeys(
                fields["app_id"], fields["key"], fields["secret"], base64.b64decode(fields["master_key"], validate=True)
            )
            right = (
                fields["version"] == VERSION
                and keys.app_id.isdigit()
                and all(len(text) >= 16 for text in (keys.key, keys.secret))
                and len(keys.master_key) == MASTER_KEY_BYTES
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            right = False
        if not right:
            raise StoreError(str(self.directory / KEYS_FILE), "does not hold this version's keys: delete it for new ones")
        return keys

    def rotate_master_key(self) -> None:
        """Give the server's own hub another master key, from its next start on. Its other keys stay."""
        keys = self.hub_keys()
        path = self.directory / KEYS_FILE
        try:
            with self._opened() as directory:
                _write(directory, KEYS_FILE, _text_of(replace(keys, master_key=_new_master_key())), over=True)
        except OSError as error:
            raise StoreError(str(path), error.strerror or str(error)) from error

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        """The text of the file ``name``, which is made where it is missing."""
        path = self.directory / name
        try:
            with self._opened() as directory:
                text = _read(directory, name, path)
                if text is None:
                    _write(directory, name, make())
                    text = _read(directory, name, path)
        except OSError as error:
            raise StoreError(str(path), error.strerror or str(error)) from error
        if text is None:
            raise StoreError(str(path), "vanished while it was made")
        return text

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """The directory as an open descriptor: what it was checked to be is what is used."""
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = _enter(None, self._state, self._state)
        try:
            directory = _enter(state, Path(self.directory.name), self.directory)
        finally:
            os.close(state)
        try:
            yield directory
        finally:
            os.close(directory)


def _enter(parent: int | None, name: Path, path: Path) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    try:
        directory = os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
    except OSError as error:
        raise StoreError(str(path), "is not a directory, or is a symlink") from error
    facts = os.fstat(directory)
    if facts.st_uid != os.geteuid():
        os.close(directory)
        raise StoreError(str(path), "belongs to another user")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        os.close(directory)
        raise StoreError(str(path), f"is open to others: chmod 700 {path}")
    return directory


def _read(directory: int, name: str, path: Path) -> str | None:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(str(path), "cannot be opened, or is a symlink") from error
    with os.fdopen(file, "rb") as stream:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
            raise StoreError(str(path), "is not a file of this user")
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise StoreError(str(path), f"is open to others, who may have read it: delete it, or chmod 600 {path}")
        data = stream.read(_MAX_FILE_BYTES)
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise StoreError(str(path), "is damaged") from None


def _write(directory: int, name: str, text: str, *, over: bool = False) -> None:
    """Make ``name`` unless it is there: whoever comes first (another copy that starts now) is the one that counts.

    ``over``: in place of what is there.
    """
    draft = f".{name}.{secrets.token_hex(8)}"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(text.encode("ascii"))
            stream.flush()
            os.fsync(file)
        if over:
            os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=directory)


def _new_keys() -> str:
    app_id = str(100_000 + secrets.randbelow(900_000))
    return _text_of(HubKeys(app_id, secrets.token_hex(16), secrets.token_hex(32), _new_master_key()))


def _new_master_key() -> bytes:
    return secrets.token_bytes(MASTER_KEY_BYTES)


def _text_of(keys: HubKeys) -> str:
    fields = {
        "version": VERSION,
        "app_id": keys.app_id,
        "key": keys.key,
        "secret": keys.secret,
        "master_key": base64.b64encode(keys.master_key).decode("ascii"),
    }
    return json.dumps(fields, indent=1) + "\n"
