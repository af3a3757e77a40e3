"""What `run` says: lines at the beginning and a summary at the end, or one JSON object. Decides nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codewrap.cli import console, detach
from codewrap.config import Mode, Settings
from codewrap.host.session import Outcome
from codewrap.protocol.admission import Share
from codewrap.protocol.channels import printable
from codewrap.store.sessions import SessionRecord
from codewrap.store.spent import read_spent

if TYPE_CHECKING:
    from codewrap.cli.run import RunOptions

_WHO_TYPES = {
    Share.VIEW: "nobody else may type",
    Share.WRITE: "others may type",
    Share.ASK: "others ask before they type",
}


class RunLines:
    """Those of one run. ``outer``: the session that it runs in, or "".

    With `--detach` stdout is not the command's: programs find there what they need, the JSON object or the session's name.
    """

    def __init__(self, options: RunOptions, settings: Settings, outer: str) -> None:
        self._options = options
        self._settings = settings
        self._outer = outer
        self._notices: list[str] = []

    def begin(self, record: SessionRecord, *, stored: bool = False) -> None:
        """The command runs. ``stored``: what it writes is kept at the server too."""
        for warning in self._settings.warnings:
            console.say(f"warning: {warning}")
        if self._options.json:
            self._say_json(record, stored=stored)
            return
        if not self._options.quiet:
            what = printable(" ".join(record.command), 60)
            console.say(f"session {record.name}: {what} ({_WHO_TYPES[self._options.share]})")
            console.say(f"attach with: codewrap attach {record.name}")
            console.say(self._relay_line(record, stored=stored))
            if self._options.notifying is not None:
                console.say(f"tells when it waits for you, ends or fails: {', '.join(self._options.notifying.labels)}")
            if self._outer:
                console.say(f"inside session {self._outer}, whose viewers see this too")
        if self._options.detach and (self._options.quiet or not os.isatty(1)):
            detach.tell_program(record.name + "\n")

    def notice(self, text: str) -> None:
        """Something that the uplink has to say. In the middle of a full-screen program it would spoil that: kept for the end."""
        self._notices.append(printable(text, 300))

    def end(self, name: str, outcome: Outcome, log_directory: Path) -> None:
        """The command has ended."""
        if (self._options.json or self._options.quiet) and not self._options.detach:
            return
        for text in dict.fromkeys(self._notices):
            console.say(text)
        if outcome.log_broken:
            console.say(f"the session log could not be kept whole: {outcome.log_broken}")
        exited = outcome.exited
        how = f"killed by signal {exited.signal}" if exited.signal is not None else f"exit {exited.code}"
        parts = [how, console.duration(outcome.duration_s), f"{console.amount(outcome.output_bytes)} of output"]
        parts += _costs(outcome.uplink, log_directory)
        if outcome.restarts:
            parts.append(f"the link was restarted {outcome.restarts} times")
        console.say(f"session {name} ended: " + ", ".join(parts))

    def _say_json(self, record: SessionRecord, *, stored: bool) -> None:
        said: dict[str, Any] = {
            "session": record.name,
            "attach": f"codewrap attach {record.name}",
            "url": self._settings.gateway.url if self._settings.gateway else None,
            "endpoint": record.endpoint,
            "mode": record.mode,
            "encrypted": record.encrypted,
            "read_only": record.read_only,
            "share": record.share,
            "stored": stored,
        }
        if self._options.notifying is not None:
            said["notify"] = list(self._options.notifying.labels)
        if self._options.detach:
            detach.tell_program(console.json_line(said | {"pid": record.pid}))
        else:
            console.say_json(said)

    def _relay_line(self, record: SessionRecord, *, stored: bool) -> str:
        sealed = "end-to-end encrypted" if record.encrypted else "NOT encrypted: the relay can read along"
        if self._settings.mode is Mode.EMBEDDED:
            return f"relay: embedded, this machine only ({record.endpoint}); {sealed}"
        recording = ", and so is the recording that is stored there" if stored else ""
        return f"relay: {record.endpoint} ({record.mode}); {sealed}{recording}"


def _costs(report: dict[str, Any], log_directory: Path) -> list[str]:
    """Who watched, and what that cost; as far as it is written down where the uplink still delivers."""
    parts = []
    if report:
        parts.append(f"{report['peak_watchers']} watching at most")
    elif (spent := read_spent(log_directory)) is not None:
        report = spent.public(time.time())
    if report:
        size = f" ({console.amount(report['bytes'])})" if report["events"] else ""
        parts.append(f"{report['events']} events sent{size}")
    if report.get("messages"):
        a_day = console.count(report["messages_per_day_estimate"])
        parts.append(f"about {console.count(report['messages'])} messages ({a_day} a day at this rate)")
    if report.get("refused"):
        parts.append(f"{report['refused']} publishes failed")
    return parts
