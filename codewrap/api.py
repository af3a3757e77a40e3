"""codewrap for Python programs: attach to a session, type, wait, look. What `import codewrap` gives, and nothing more.

Nothing here prints, and nothing is read but the settings (environment and `.env`) and a session's record. What is wrong is
raised as a `CodewrapError` of `codewrap.errors`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from codewrap.cli.destination import Destination
from codewrap.cli.environment import Environment
from codewrap.cli.remotes import attached
from codewrap.errors import (
    EXIT_NOT_EXECUTABLE,
    EXIT_NOT_FOUND,
    CommandNotExecutable,
    CommandNotFound,
    ConfigError,
    NotStarted,
)
from codewrap.terminal.shown import Shown
from codewrap.viewer import keynames
from codewrap.viewer.remote import Remote

TIMEOUT_S = 30.0
START_S = 60.0


class Session:
    """A session that is attached to; made by `attach` and `run`. Leaving the ``with`` block, or `close`, leaves it: it goes on.

    Every ``timeout`` is in seconds, None for ever, and ends in `WaitTimeout`. Methods may be called from any thread.
    """

    def __init__(self, name: str, remote: Remote) -> None:
        self.name = name
        self._remote = remote

    @property
    def screen(self) -> Shown:
        """What it shows now, as a value: ``text``, ``rows``, ``cursor``, ``size``, ``title``, ``modes``, ``document()``."""
        return self._remote.shown()

    @property
    def status(self) -> int | None:
        """Its exit status once it has ended, None before."""
        ended = self._remote.ended
        return None if ended is None else ended.status

    def send(self, text: str | bytes, *, paste: bool = False, timeout: float | None = TIMEOUT_S) -> None:
        """Type ``text``, an end of a line being Enter; returns when its command was given all of it.

        ``paste``: hand it over as a paste. Raises TypingRefused, SessionEnded, SessionLost, WaitTimeout.
        """
        data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        self._remote.type(self._remote.as_paste(data) if paste else self._remote.as_text(data), timeout)

    def keys(self, *names: str, timeout: float | None = TIMEOUT_S) -> None:
        """Press keys: ``keys("C-c")``, ``keys("Up", "Enter")``. As `send`; raises ConfigError for what is no key's name."""
        try:
            data = self._remote.as_keys(names)
        except keynames.UnknownKey as error:
            raise ConfigError("keys", f"{error.key!r} is no key", "such as C-c, M-x, Enter, Up, F5") from error
        self._remote.type(data, timeout)

    def wait_for(self, pattern: str | re.Pattern[str], *, timeout: float | None = TIMEOUT_S) -> re.Match[str]:
        """Until ``pattern`` is found in what is printed or drawn since the last `send` or `keys`, or since the last match.

        Before anything was sent, also in what the screen shows. In a ``str`` ^ and $ are ends of lines. Raises SessionEnded,
        SessionLost, WaitTimeout; ConfigError for what is no regular expression.
        """
        try:
            compiled = re.compile(pattern, re.MULTILINE) if isinstance(pattern, str) else pattern
        except re.error as error:
            raise ConfigError("pattern", f"is not a regular expression: {error}") from error
        return self._remote.find(compiled, timeout)

    def wait(self, *, timeout: float | None = None) -> int:
        """Until it ends; its exit status. Raises SessionLost, WaitTimeout."""
        return self._remote.wait(timeout)

    def close(self) -> None:
        """Leave it. It goes on."""
        self._remote.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<codewrap.Session {self.name}>"


def attach(
    session: str,
    *,
    read_only: bool = False,
    timeout: float | None = TIMEOUT_S,
    encrypted: bool = True,
    mode: str | None = None,
    tls: bool | None = None,
    environ: Mapping[str, str] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Session:
    """Attach to ``session``, a name or a link, as `codewrap attach` would; returns when its screen is there.

    ``environ`` stands for `os.environ`. ``on_notice`` is told, in a thread of ours, what a person should know: the code to say
    where leave to type must be asked for. Raises SessionNotFound, NotAttached, AuthError, TransportError, ConfigError,
    WaitTimeout.
    """
    say = on_notice or _nothing
    if session == "-" or ("://" in session and not session.partition("#")[2]):
        raise ConfigError("session", "is no name, and no link with a token")
    to = Destination.find(session, Environment.capture(environ), mode, tls=tls, quiet=on_notice is None, say=say)
    return Session(to.name, attached(to, timeout, encrypted=encrypted, read_only=read_only, say=say))


def run(
    command: Sequence[str],
    *,
    name: str | None = None,
    cols: int | None = None,
    rows: int | None = None,
    share: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float | None = TIMEOUT_S,
    environ: Mapping[str, str] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Session:
    """Run ``command`` in a session of its own in the background, and attach to it: it outlives this program.

    Raises CommandNotFound, CommandNotExecutable, NotStarted, and as `attach`.
    """
    if not command:
        raise ConfigError("command", "is empty")
    flags = {"--name": name, "--cols": cols, "--rows": rows, "--share": share}
    options = [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
    started = _started([*options, "--", *command], cwd, environ, str(command[0]))
    return attach(started, timeout=timeout, environ=environ, on_notice=on_notice)


def _started(words: Sequence[str], cwd: str | os.PathLike[str] | None, environ: Mapping[str, str] | None, command: str) -> str:
    """The name of the session. A process of its own: ours may have threads, which do not survive a fork."""
    program = [sys.executable, "-c", "from codewrap.cli.entry import main; main()", "run", "--detach", "--json", *words]
    done = subprocess.run(
        program,
        cwd=cwd,
        env=None if environ is None else dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode == EXIT_NOT_FOUND:
        raise CommandNotFound(command)
    if done.returncode == EXIT_NOT_EXECUTABLE:
        raise CommandNotExecutable(command)
    lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason was given"]
    if done.returncode:
        raise NotStarted(command, lines[-1].removeprefix("codewrap: "))
    name: str = json.loads(done.stdout)["session"]
    return name


def _nothing(_: str) -> None:
    pass
