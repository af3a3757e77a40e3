"""The exception tree. Facts are attributes; the sentence for people is built in ``__str__``.

CodewrapError
├── ConfigError              a setting is missing or wrong (exit status 2)
├── CommandError
│   ├── CommandNotFound      nothing of that name to run (127)
│   ├── CommandNotExecutable it is there but cannot be executed (126)
│   ├── NotStarted           no session was made for it
│   └── NoRoom               the system makes no process, or no terminal, for it
├── SessionError
│   ├── SessionNotFound      no such session can be reached (255)
│   ├── SessionNameTaken     a running session has this name
│   ├── SessionNested        this is inside it already
│   ├── SessionWatchesItself it would be shown within itself (255)
│   ├── NotAttached          a viewer could not attach, or may not watch any more (255)
│   ├── SessionLost          its host is gone, without an end (254)
│   ├── SessionEnded         it has ended before what was waited for came (1)
│   ├── TypingRefused        nobody lets us type into it (255)
│   ├── WaitTimeout          what was waited for did not come in time (124)
│   └── SessionNotShareable  no link can lead to it
├── AuthError                the server refuses these credentials
├── TransportError           the server cannot be reached, or answers wrongly
├── StoreError               the disk refuses
└── ProtocolError
    ├── LocalProtocolError   we broke the rules: a bug here
    └── RemoteProtocolError  the peer broke the rules
"""

from __future__ import annotations

EXIT_NO_MATCH = 1
EXIT_USAGE = 2
EXIT_TIMEOUT = 124
EXIT_FAILED = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_INTERRUPTED = 130
EXIT_LOST = 254
EXIT_NOT_ATTACHED = 255


class CodewrapError(Exception):
    """Base of everything codewrap raises on purpose. ``exit_status`` is what the command line leaves with."""

    exit_status = EXIT_FAILED


class ConfigError(CodewrapError):
    """A setting is missing or wrong. ``setting`` is its name as the user spells it; the value is never kept."""

    exit_status = EXIT_USAGE

    def __init__(self, setting: str, problem: str, advice: str = "") -> None:
        super().__init__(setting, problem, advice)
        self.setting = setting
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}" + (f" ({self.advice})" if self.advice else "")


class CommandError(CodewrapError):
    """The command cannot be started. ``command`` is its first word."""

    def __init__(self, command: str, reason: str = "") -> None:
        super().__init__(command, reason)
        self.command = command
        self.reason = reason


class CommandNotFound(CommandError):
    """Nothing of that name to run."""

    exit_status = EXIT_NOT_FOUND

    def __str__(self) -> str:
        return f"{self.command}: command not found"


class CommandNotExecutable(CommandError):
    """It exists and cannot be executed."""

    exit_status = EXIT_NOT_EXECUTABLE

    def __str__(self) -> str:
        return f"{self.command}: cannot be executed: {self.reason or 'permission denied'}"


class NotStarted(CommandError):
    """No session was made for it; ``reason`` says why."""

    def __str__(self) -> str:
        return f"{self.command}: not started: {self.reason}"


class NoRoom(CommandError):
    """The system has no process or terminal left for it, whatever it is."""

    def __init__(self, command: str, refused: OSError) -> None:
        super().__init__(command, (refused.strerror or "the system refuses").lower())
        self.number = refused.errno

    def __str__(self) -> str:
        return f"{self.command}: cannot be started: {self.reason} (the limits of processes and files: ulimit -a)"


class SessionError(CodewrapError):
    """About one session by ``name``."""

    def __init__(self, name: str, advice: str = "") -> None:
        super().__init__(name, advice)
        self.name = name
        self.advice = advice


class SessionNotFound(SessionError):
    """No such session can be reached from here."""

    exit_status = EXIT_NOT_ATTACHED

    def __str__(self) -> str:
        return f"no session {self.name!r} can be found" + (f": {self.advice}" if self.advice else "")


class SessionNameTaken(SessionError):
    """A running session of this user already has the name."""

    def __str__(self) -> str:
        return f"a session {self.name!r} is already running: choose another --name, or attach to it"


class SessionNested(SessionError):
    """What runs here runs inside this session already."""

    def __str__(self) -> str:
        return (
            f"this is inside session {self.name!r} already, and seen there: --nested makes a session within it all the same, "
            "--detach one beside it"
        )


class SessionWatchesItself(SessionError):
    """It would show what it shows, without end."""

    exit_status = EXIT_NOT_ATTACHED

    def __str__(self) -> str:
        return f"this is inside session {self.name!r}, which would be shown within itself (if it is not: unset CODEWRAP_SESSION)"


class NotAttached(SessionError):
    """A viewer could not attach, or may not watch any more; ``advice`` says why. ``absent``: nobody runs it."""

    exit_status = EXIT_NOT_ATTACHED

    def __init__(self, name: str, advice: str = "", *, absent: bool = False) -> None:
        super().__init__(name, advice)
        self.absent = absent

    def __str__(self) -> str:
        return f"not attached to {self.name!r}: {self.advice}"


class SessionLost(SessionError):
    """It went away without an end, or does not answer any more; ``advice`` says how."""

    exit_status = EXIT_LOST

    def __str__(self) -> str:
        return f"session {self.name!r}: {self.advice}"


class SessionEnded(SessionError):
    """What was wanted of it cannot come any more. ``status`` is its exit status, ``advice`` says when that was."""

    exit_status = EXIT_NO_MATCH

    def __init__(self, name: str, status: int, advice: str = "") -> None:
        super().__init__(name, advice)
        self.args = (name, status, advice)
        self.status = status

    def __str__(self) -> str:
        return f"session {self.name!r} has ended with status {self.status}" + (f", {self.advice}" if self.advice else "")


class TypingRefused(SessionError):
    """What was typed was not passed on to the command; ``advice`` says why."""

    exit_status = EXIT_NOT_ATTACHED

    def __str__(self) -> str:
        return f"nothing may be typed into {self.name!r}: {self.advice}"


class WaitTimeout(SessionError, TimeoutError):
    """``wanted`` did not come within ``timeout_s``."""

    exit_status = EXIT_TIMEOUT

    def __init__(self, name: str, wanted: str, timeout_s: float) -> None:
        super().__init__(name, wanted)
        self.args = (name, wanted, timeout_s)
        self.wanted = wanted
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"session {self.name!r}: after {self.timeout_s:g} s still {self.wanted}"


class SessionNotShareable(SessionError):
    """No link can lead to it, as it does not go through a server that makes links."""

    def __str__(self) -> str:
        return f"session {self.name!r} cannot be shared: {self.advice}"


class AuthError(CodewrapError):
    """``server`` refuses: ``status`` is its HTTP or protocol code, ``reason`` its words (never a credential)."""

    def __init__(self, server: str, reason: str, status: int | None = None) -> None:
        super().__init__(server, reason, status)
        self.server = server
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        code = f" ({self.status})" if self.status is not None else ""
        return f"{self.server} refuses these credentials{code}: {self.reason}"


class TransportError(CodewrapError):
    """``server`` cannot be reached or answers wrongly. ``retry`` says whether the same call may work later."""

    def __init__(self, server: str, reason: str, *, retry: bool = True, status: int | None = None) -> None:
        super().__init__(server, reason, retry, status)
        self.server = server
        self.reason = reason
        self.retry = retry
        self.status = status

    def __str__(self) -> str:
        code = f" (status {self.status})" if self.status is not None else ""
        return f"{self.server}: {self.reason}{code}"


class StoreError(CodewrapError):
    """The disk refuses ``path``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class ProtocolError(CodewrapError):
    """Somebody broke the rules of ``docs/protocol.md``."""


class LocalProtocolError(ProtocolError):
    """We broke them: a bug here."""


class RemoteProtocolError(ProtocolError):
    """The peer broke them: what it sent is dropped."""
