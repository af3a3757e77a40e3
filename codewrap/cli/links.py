"""Links to a session, `BASE/s/NAME#TOKEN`, and to answer a prompt of one, `BASE/a/NAME#TOKEN`.

The former are made for `share` and read for `attach`, the latter read for `answer`. No error here holds the token.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from codewrap import config
from codewrap.cli.arguments import concealed
from codewrap.errors import ConfigError
from codewrap.protocol.channels import is_session_name

FROM_STDIN = "-"
MAX_LINK_CHARACTERS = 8192
_PATH = re.compile(r"(?P<prefix>.*)/s/(?P<name>[^/]+)/?")
_ANSWER_PATH = re.compile(r"(?P<prefix>.*)/a/(?P<name>[^/]+)/?")
_SETTING = "URL"


@dataclass(frozen=True, slots=True)
class Link:
    """``base`` is the server's URL, ``host`` its name and port as they are connected to."""

    base: str
    host: str
    session: str
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """The whole link; whoever has it can use it."""
        return f"{self.base}/s/{self.session}#{self.token}"


def is_link(argument: str) -> bool:
    """Whether `attach` was given a link, or is to read one, and no session's name."""
    return argument == FROM_STDIN or "://" in argument


def read(argument: str, *, plain: bool = False) -> Link:
    """The link that ``argument`` is, or stands for. ``plain`` allows http to another machine. Raises ConfigError."""
    return _read(argument, _PATH, "to a session", plain=plain)


def read_answer(argument: str, *, plain: bool = False) -> Link:
    """As `read`, of a link to answer a prompt."""
    return _read(argument, _ANSWER_PATH, "to answer a prompt", plain=plain)


def _read(argument: str, form: re.Pattern[str], purpose: str, *, plain: bool) -> Link:
    address, _, fragment = (line_of_stdin("link: ").strip() if argument == FROM_STDIN else argument).partition("#")
    base, host, session = _parse(address, form, purpose, plain=plain)
    token = concealed(fragment)
    if token == "":
        token = _asked("token of this link: ")
    if token is None:
        raise ConfigError(_SETTING, "holds no token that can be read any more")
    return Link(base, host, session, config.check_token(_SETTING, token))


def _parse(address: str, form: re.Pattern[str], purpose: str, *, plain: bool) -> tuple[str, str, str]:
    checked = config.check_url(_SETTING, address)
    parts = urlsplit(checked)
    path = form.fullmatch(parts.path)
    if path is None or not is_session_name(path["name"]):
        letter = "s" if form is _PATH else "a"
        raise ConfigError(_SETTING, f"is not a link {purpose}", f"such as https://codewrap.example.com/{letter}/NAME#TOKEN")
    host = _ascii_host(parts.hostname or "")
    if parts.scheme == "http" and not plain and not config.is_loopback(host):
        raise ConfigError(_SETTING, f"is http to {host}, which is not this machine", "use https, or allow it with --no-tls")
    authority = f"[{host}]" if ":" in host else host
    authority += f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{authority}{path['prefix']}", authority, path["name"]


def _ascii_host(name: str) -> str:
    """As it is looked up: letters that only look like others are not hidden (`xn--...`)."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise ConfigError(_SETTING, "has no valid host name") from None


def line_of_stdin(prompt: str) -> str:
    """The next line of stdin; byte by byte, as what follows it is for others. At a terminal it is asked for, without echo."""
    if os.isatty(0):
        return _asked(prompt)
    line = bytearray()
    while len(line) < MAX_LINK_CHARACTERS and (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode(errors="replace")


def _asked(prompt: str) -> str:
    """What is typed at the terminal, without echo."""
    if not os.isatty(0):
        raise ConfigError(_SETTING, "has no token behind a #, and nobody can be asked", "quote the whole link")
    import getpass

    try:
        return getpass.getpass(prompt, sys.stderr)
    except EOFError:
        return ""
