"""What the host says of its command's terminal."""

from __future__ import annotations

import os
import signal
import termios

from codewrap.host.looking import CALL_CHARACTERS, look, notification
from codewrap.protocol.geometry import Size
from codewrap.terminal.child import PtyOptions, start_on_pipes, start_on_pty

SIZE = Size(rows=24, cols=80)


def test_flags_and_foreground_are_those_of_the_terminal_now() -> None:
    child = start_on_pty(["sleep", "100"], dict(os.environ), PtyOptions(SIZE))
    try:
        said = look(child, None)
        assert said == {"here": False, "typed_s": 0.0, "canonical": True, "echo": True, "pid": child.pid, "group": child.pid}
        attributes = termios.tcgetattr(child.terminal_fd)
        attributes[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(child.terminal_fd, termios.TCSANOW, attributes)
        said = look(child, 12.5)
        assert (said["canonical"], said["echo"], said["here"], said["typed_s"]) == (False, False, True, 12.5)
    finally:
        child.signal(signal.SIGKILL)
        os.waitpid(child.waited_pid, 0)
        child.close()
    assert look(child, None) == {"here": False, "typed_s": 0.0}


def test_notification_holds_nothing_that_a_terminal_obeys() -> None:
    assert notification("build: Go on?\x07\x1b]52;c;x\x07") == b"\x1b]9;build: Go on?\\x07\\x1b]52;c;x\\x07\x07"
    assert len(notification("x" * 10_000)) <= CALL_CHARACTERS + 8


def test_of_pipes_there_is_nothing_to_say() -> None:
    child = start_on_pipes(["true"], dict(os.environ))
    os.waitpid(child.pid, 0)
    assert look(child, None) == {"here": False, "typed_s": 0.0}
    child.close()
