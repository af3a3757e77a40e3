"""The targets of notifications: a webhook, a command of the user's, the desktop.

What is told comes from a terminal, so from anybody: it reaches a command by stdin and environment only, never by its command line
or a shell, and a desktop with what looks like markup taken out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from codewrap.errors import TransportError
from codewrap.protocol.channels import printable
from codewrap.transport.webhook import Webhook
from codewrap.uplink.courier import Target
from codewrap.uplink.occurrence import Occurrence

COMMAND_S = 30.0
_VARIABLE = "CODEWRAP_"


def targets(wanted: Sequence[Mapping[str, Any]], secret: str | None) -> list[Target]:
    """As `cli/notifying.py` has checked and written them."""
    return [_target(each, secret) for each in wanted]


def _target(wanted: Mapping[str, Any], secret: str | None) -> Target:
    if wanted["kind"] == "webhook":
        return WebhookTarget(Webhook(wanted["url"], secret))
    return DesktopTarget() if wanted["kind"] == "desktop" else CommandTarget(wanted["command"])


class WebhookTarget:
    """An address that takes a POST."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    def deliver(self, occurrence: Occurrence) -> None:
        self._webhook.post(occurrence.to_json(), occurrence.number, time.time())


class CommandTarget:
    """A command, run anew for each event: JSON on stdin, the same in CODEWRAP_EVENT and the like. None of our secrets."""

    def __init__(self, command: Sequence[str], timeout_s: float = COMMAND_S) -> None:
        self._command = list(command)
        self._timeout_s = timeout_s

    def deliver(self, occurrence: Occurrence) -> None:
        run(self._command, occurrence, self._timeout_s)


class DesktopTarget:
    """The desktop of this machine, where there is one: `notify-send`."""

    def deliver(self, occurrence: Occurrence) -> None:
        program = shutil.which("notify-send")
        if program is None or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return  # the terminal has told it (OSC 9), or nobody sits here
        plain = occurrence.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        run([program, "--app-name=codewrap", "--", occurrence.headline, plain], occurrence, COMMAND_S)


def run(command: Sequence[str], occurrence: Occurrence, timeout_s: float) -> None:
    """Run ``command`` to its end. Raises TransportError, which is not worth another try: it may have done half of its work."""
    told = {"EVENT": occurrence.event.value, "TEXT": occurrence.text, "ATTACH": occurrence.attach, "SESSION": occurrence.session}
    if occurrence.answer_url:
        told["ANSWER_URL"] = occurrence.answer_url
    environ = {**os.environ, **{_VARIABLE + name: value for name, value in told.items()}}
    label = printable(command[0], 60)
    try:
        process = subprocess.Popen(
            list(command),
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be started"
        raise TransportError(label, f"cannot be run: {reason.lower()}", retry=False) from error
    try:
        process.communicate(occurrence.to_json(), timeout_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise TransportError(label, f"did not end within {timeout_s:g} s", retry=False) from None
    if process.returncode:
        raise TransportError(label, f"failed with status {process.returncode}", retry=False)
