"""Errors: what they say, what they leave with, and that their places in the tree are as the module's head draws them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from codewrap import errors
from codewrap.errors import (
    AuthError,
    CodewrapError,
    CommandNotExecutable,
    CommandNotFound,
    ConfigError,
    NoRoom,
    ProtocolError,
    RemoteProtocolError,
    SessionNameTaken,
    SessionNotFound,
    StoreError,
    TransportError,
)


@pytest.mark.parametrize(
    ("error", "text", "status"),
    [
        (ConfigError("SOKETI_PORT", "is not a port", "use 1 to 65535"), "SOKETI_PORT: is not a port (use 1 to 65535)", 2),
        (ConfigError("--name", "is missing"), "--name: is missing", 2),
        (CommandNotFound("vmi"), "vmi: command not found", 127),
        (CommandNotExecutable("/etc/passwd"), "/etc/passwd: cannot be executed: permission denied", 126),
        (CommandNotExecutable("x", "exec format error"), "x: cannot be executed: exec format error", 126),
        (
            NoRoom("vim", OSError(11, "Resource temporarily unavailable")),
            "vim: cannot be started: resource temporarily unavailable (the limits of processes and files: ulimit -a)",
            125,
        ),
        (SessionNotFound("otter", "look with ls"), "no session 'otter' can be found: look with ls", 255),
        (SessionNotFound("otter"), "no session 'otter' can be found", 255),
        (AuthError("the server", "wrong token", 401), "the server refuses these credentials (401): wrong token", 125),
        (AuthError("the server", "wrong token"), "the server refuses these credentials: wrong token", 125),
        (TransportError("http://h:1", "no answer", status=502), "http://h:1: no answer (status 502)", 125),
        (StoreError("/dir", "belongs to another user"), "/dir: belongs to another user", 125),
    ],
)
def test_error_says_what_happened_and_has_its_exit_status(error: CodewrapError, text: str, status: int) -> None:
    assert str(error) == text
    assert error.exit_status == status


def test_taken_name_says_what_to_do() -> None:
    assert "--name" in str(SessionNameTaken("otter"))


def test_retry_is_the_transport_error_s_default() -> None:
    assert TransportError("s", "r").retry
    assert not TransportError("s", "r", retry=False).retry


def test_peers_faults_and_ours_are_different_protocol_errors() -> None:
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert issubclass(errors.LocalProtocolError, ProtocolError)
    assert not issubclass(RemoteProtocolError, errors.LocalProtocolError)


def test_head_of_the_module_draws_every_class() -> None:
    drawn = set(re.findall(r"^[ │├└─]*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE))
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, CodewrapError)}
    assert classes <= drawn


def test_module_needs_nothing_of_the_project() -> None:
    program = "import sys, codewrap.errors; print(*[name for name in sys.modules if name.startswith('codewrap.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["codewrap.errors"]
