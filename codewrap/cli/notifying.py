"""`run --notify`: whom to tell when the command waits for somebody, or is over. Read and checked here, told by the uplink."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codewrap import config
from codewrap.errors import ConfigError
from codewrap.protocol.channels import printable

SETTING, SECRET = "CODEWRAP_NOTIFY", "CODEWRAP_NOTIFY_SECRET"
LEAST_SECRET_CHARACTERS = 16
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Notifying:
    """``labels`` say for people who is told. The rest is the uplink's."""

    labels: tuple[str, ...]
    targets: tuple[dict[str, Any], ...] = field(repr=False)
    secret: str | None = field(default=None, repr=False)

    def plan(self, *, answers: bool) -> dict[str, Any]:
        """As `uplink/tellers.py` takes it. ``answers``: who is told of a prompt may answer it, where a server passes that on."""
        return {"targets": list(self.targets), "secret": self.secret, "answers": answers}


def read_targets(options: Sequence[str], values: Mapping[str, str]) -> Notifying | None:
    """What ``--notify`` says, else CODEWRAP_NOTIFY: targets with semicolons between. None for nobody. Raises ConfigError."""
    name, wanted = "--notify", list(options)
    if not wanted:
        name, wanted = SETTING, [part.strip() for part in values.get(SETTING, "").split(";")]
    wanted = [text for text in dict.fromkeys(wanted) if text]
    if not wanted or wanted == ["none"]:
        return None
    secret = values.get(SECRET)
    if secret is not None and (len(secret) < LEAST_SECRET_CHARACTERS or not secret.isprintable()):
        raise ConfigError(SECRET, f"is shorter than {LEAST_SECRET_CHARACTERS} characters", "make one with: openssl rand -hex 32")
    read = [_target(name, text) for text in wanted]
    return Notifying(tuple(label for label, _ in read), tuple(target for _, target in read), secret)


def _target(name: str, text: str) -> tuple[str, dict[str, Any]]:
    if text == "desktop":
        return text, {"kind": "desktop"}
    if _URL.match(text):
        return _webhook(name, text)
    import shlex

    try:
        command = shlex.split(text)
    except ValueError as error:
        raise ConfigError(name, "is no command line: a quotation mark is not closed") from error
    if not command:
        raise ConfigError(name, "is empty", "use desktop, a URL, or a command")
    return printable(command[0], 60), {"kind": "command", "command": command}


def _webhook(name: str, url: str) -> tuple[str, dict[str, Any]]:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme.lower() not in {"http", "https"} or not host or not url.isprintable() or not url.isascii() or " " in url:
        raise ConfigError(name, "is not an http or https URL", "for example https://hooks.example.com/abc")
    if "@" in parts.netloc or parts.fragment:
        raise ConfigError(name, "holds credentials or a fragment", "CODEWRAP_NOTIFY_SECRET signs what is sent")
    if parts.scheme.lower() == "http" and not config.is_loopback(host):
        raise ConfigError(name, "is http to another machine", "use https: what the terminal shows is sent there")
    # The path is what authorizes with many services: it is not shown.
    rest = "/…" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme.lower()}://{parts.netloc}{rest}", {"kind": "webhook", "url": url}
