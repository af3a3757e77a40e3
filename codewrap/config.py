"""The one reader of environment and `.env`; gives frozen Settings. Read by `cli` alone, which passes plain values on.

Order: flags, environment, `.env` of the working directory. Every refusal names the setting as the user spells it and
never its value. Imported before the child starts: what only some settings need is imported where they are read.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codewrap.errors import ConfigError

MASTER_KEY_BYTES = 32
SOKETI_NAMES = (
    "SOKETI_HOST",
    "SOKETI_PORT",
    "SOKETI_SERVICE_USER",
    "SOKETI_SERVICE_KEY",
    "SOKETI_SERVICE_SECRET",
)
# The first spelling is the one that deployed .env files use; the second is what one would expect.
SOKETI_MASTER_KEY_NAMES = ("SOKET_ENCRYPTION_MASTER_KEY_BASE64", "SOKETI_ENCRYPTION_MASTER_KEY_BASE64")
PUSHER_NAMES = (
    "PUSHER_APP_ID",
    "PUSHER_KEY",
    "PUSHER_SECRET",
    "PUSHER_CLUSTER",
    "PUSHER_HOST",
    "PUSHER_PORT",
)
PUSHER_MASTER_KEY_NAMES = ("PUSHER_ENCRYPTION_MASTER_KEY_BASE64",)
# Taken out of the child's environment: what authorizes somebody, whoever set it.
SECRET_NAMES = frozenset(
    {
        "SOKETI_SERVICE_SECRET",
        "PUSHER_SECRET",
        "AUTH_TOKEN",
        "CODEWRAP_TOKEN",
        "CODEWRAP_METRICS_TOKEN",
        "CODEWRAP_SIGNING_KEY",
        "CODEWRAP_NOTIFY",  # who has a webhook's URL can post to it
        "CODEWRAP_NOTIFY_SECRET",
        "CODEWRAP_STATE",  # its URL may hold a password
        *SOKETI_MASTER_KEY_NAMES,
        *PUSHER_MASTER_KEY_NAMES,
    }
)
PUSHER_EVENT_BYTES = 10_240
PUSHER_CLIENT_EVENTS_PER_S = 10
SOKETI_EVENT_BYTES = 100_000
MAX_TOKEN_CHARACTERS = 8192
AUDIT_FILE_BYTES = 16 * 1024 * 1024
AUDIT_FILES = 8
RETENTION = "30d"
RECORDINGS_MAX = "2G"
# As people write them, in seconds; a month is 30 days.
_PERIODS_S = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86_400.0, "day": 86_400.0}
_PERIODS_S["month"] = 30 * 86_400.0
_MULTIPLES = {"": 1, "k": 1000, "m": 1_000_000}
LEAST_BUDGET = 20  # one event for one viewer costs 2, and half of a budget comes back only by and by


class Mode(enum.Enum):
    """How a session reaches its viewers; `docs/architecture.md`, "Three ways to run"."""

    EMBEDDED = "embedded"
    DIRECT = "direct"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Broker:
    """A Pusher-compatible server and one of its apps. ``family`` is the prefix of the settings that named it."""

    family: str
    app_id: str
    key: str
    secret: str = field(repr=False)
    api_host: str
    api_port: int
    ws_host: str
    ws_port: int
    tls: bool
    master_key: bytes | None = field(default=None, repr=False)
    event_bytes: int = PUSHER_EVENT_BYTES

    @property
    def client_events_per_s(self) -> int | None:
        """What it takes from one connection; None where that is not limited, as far as is known."""
        return PUSHER_CLIENT_EVENTS_PER_S if self.family == "PUSHER" else None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A `codewrap serve-auth` and what it knows us by."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything configured, checked; ``state_url`` by whoever opens that store. ``warnings`` are lines to be seen once."""

    mode: Mode
    reason: str
    broker: Broker | None
    gateway: Gateway | None
    auth_token: str | None = field(default=None, repr=False)
    signing_keys: tuple[bytes, ...] = field(default=(), repr=False)
    state_url: str | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()


def read_environment(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Environment over `.env` of ``directory``: one mapping; empty values count as not set."""
    values: dict[str, str] = {}
    chosen = environ.get("CODEWRAP_ENV_FILE")
    path = directory / (chosen or ".env")
    if chosen and not _is_there(path, Path.exists):
        raise ConfigError("CODEWRAP_ENV_FILE", "names a file that is not there")
    if _is_there(path, Path.is_file):
        from dotenv import dotenv_values

        try:
            values = {name: value for name, value in dotenv_values(path).items() if value}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    values.update({name: value for name, value in environ.items() if value})
    return values


def _is_there(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except OSError:  # a directory that may not be searched, a name too long
        return False


def load(values: Mapping[str, str], mode: str | None = None, *, tls: bool | None = None) -> Settings:
    """Settings from `read_environment`'s mapping. ``mode`` and ``tls`` are flags and win. Raises ConfigError."""
    return _Reader(values, tls).settings(mode or values.get("CODEWRAP_MODE"))


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without what authorizes somebody."""
    return {name: value for name, value in environ.items() if name not in SECRET_NAMES}


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be this machine."""
    import ipaddress

    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Budget:
    """So many messages in so long; ``text`` is how the user put it."""

    messages: float
    period_s: float
    text: str


def parse_rate(name: str, value: str) -> float:
    """Events a second, out of ``5``, ``5/s`` or ``300/min``; 0 for ``none``. Raises ConfigError naming ``name``."""
    if value.lower() == "none":
        return 0.0
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(?:/(s|sec|min))?", value.lower())
    per_s = float(found[1]) / _PERIODS_S[found[2] or "s"] if found else 0.0
    if not 0.01 <= per_s <= 1000:
        raise ConfigError(name, "is not a rate of 0.01 to 1000 events a second", "for example 5, 5/s or 300/min; or none")
    return per_s


def parse_duration(name: str, value: str) -> int:
    """Seconds, out of ``90m``, ``8h`` or ``30d``. Raises ConfigError naming ``name``."""
    found = re.fullmatch(r"([0-9]{1,9})(s|sec|m|min|h|hour|d|day)", value.lower())
    seconds = int(found[1]) * int(_PERIODS_S["min" if found[2] == "m" else found[2]]) if found else 0
    if seconds < 1:
        raise ConfigError(name, "is not a length of time", "for example 90m, 8h or 30d")
    return seconds


def parse_budget(name: str, value: str) -> Budget:
    """Messages in a period, out of ``50k/day``, ``200000/day`` or ``1M/month``. Raises ConfigError naming ``name``."""
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([km]?)/(min|h|hour|d|day|month)", value.lower())
    if found is None:
        raise ConfigError(name, "is not a number of messages in a period", "for example 50k/day, 2k/hour or 1M/month")
    messages = float(found[1]) * _MULTIPLES[found[2]]
    if messages < LEAST_BUDGET:
        raise ConfigError(name, f"is less than {LEAST_BUDGET} messages", "an event costs one message and one for each viewer")
    return Budget(messages, _PERIODS_S[found[3]], value)


def audit_limits(values: Mapping[str, str]) -> tuple[int, int]:
    """How large a file of an audit log grows, in bytes, and how many files are kept. Raises ConfigError."""
    size, files = (
        values.get("CODEWRAP_AUDIT_BYTES") or str(AUDIT_FILE_BYTES),
        values.get("CODEWRAP_AUDIT_FILES") or str(AUDIT_FILES),
    )
    if not _is_number(size, 65_536, 2**32):
        raise ConfigError("CODEWRAP_AUDIT_BYTES", "is not a size in bytes", f"use 65536 to {2**32}")
    if not _is_number(files, 2, 1000):
        raise ConfigError("CODEWRAP_AUDIT_FILES", "is not a number of files", "use 2 to 1000")
    return int(size), int(files)


def recordings_kept(values: Mapping[str, str]) -> tuple[int | None, int | None]:
    """For how many seconds the log of a session is kept after its end, 0 for not at all, and how many bytes all of them may take.

    None where there is no limit. Raises ConfigError.
    """
    age = values.get("CODEWRAP_RETENTION") or RETENTION
    size = values.get("CODEWRAP_RECORDINGS_MAX") or RECORDINGS_MAX
    found = re.fullmatch(r"([0-9]{1,12})([kmgt]?)b?", size.lower())
    if found is None and size.lower() != "none":
        raise ConfigError("CODEWRAP_RECORDINGS_MAX", "is not a size in bytes", "for example 500M or 2G; or none")
    most_bytes = None if found is None else int(found[1]) * 1000 ** " kmgt".index(found[2] or " ")
    if age.lower() in ("0", "forever"):
        return (0 if age == "0" else None), most_bytes
    try:
        return parse_duration("CODEWRAP_RETENTION", age), most_bytes
    except ConfigError as error:
        advice = "for example 8h or 30d; 0 to keep nothing, or forever"
        raise ConfigError(error.setting, error.problem, advice) from None


def most_per_user(values: Mapping[str, str]) -> tuple[int, int]:
    """How many sockets, and how many sessions, `serve-auth` lets one user have. Raises ConfigError."""
    found = []
    for name, default in (("CODEWRAP_MAX_SOCKETS_PER_USER", 100), ("CODEWRAP_MAX_SESSIONS_PER_USER", 200)):
        value = values.get(name) or str(default)
        if not _is_number(value, 1, 100_000):
            raise ConfigError(name, "is not a number", "use 1 to 100000")
        found.append(int(value))
    return found[0], found[1]


def metrics_token(values: Mapping[str, str]) -> str | None:
    """The token that reads `serve-auth`'s metrics and nothing else. Raises ConfigError."""
    value = values.get("CODEWRAP_METRICS_TOKEN")
    return check_token("CODEWRAP_METRICS_TOKEN", value) if value else None


class _Reader:
    """Reads one mapping; collects warnings on the way."""

    def __init__(self, values: Mapping[str, str], tls: bool | None) -> None:
        self._values = values
        self._tls_flag = tls
        self._warnings: list[str] = []

    def settings(self, mode_name: str | None) -> Settings:
        embedded = (mode_name or "").lower() == Mode.EMBEDDED.value  # what is set for servers does not matter then
        broker = None if embedded else self._broker()
        gateway = None if embedded else self._gateway()
        mode, reason = self._mode(mode_name, broker, gateway)
        token = self._values.get("AUTH_TOKEN")
        if token is not None:
            check_token("AUTH_TOKEN", token)
        keys, state_url = self._signing_keys(), self._values.get("CODEWRAP_STATE")
        return Settings(mode, reason, broker, gateway, token, keys, state_url, tuple(self._warnings))

    def _mode(self, name: str | None, broker: Broker | None, gateway: Gateway | None) -> tuple[Mode, str]:
        if name:
            try:
                mode = Mode(name.lower())
            except ValueError:
                raise ConfigError("CODEWRAP_MODE", "is not a mode", "use embedded, direct or gateway") from None
            if mode is Mode.DIRECT and broker is None:
                raise ConfigError("CODEWRAP_MODE", "direct needs a server", "set SOKETI_* or PUSHER_*")
            if mode is Mode.GATEWAY and gateway is None:
                raise ConfigError("CODEWRAP_MODE", "gateway needs a server", "set CODEWRAP_URL and CODEWRAP_TOKEN")
            return mode, "it was asked for"
        if broker is not None:
            return Mode.DIRECT, f"{broker.family}_* is set"
        if gateway is not None:
            return Mode.GATEWAY, "CODEWRAP_URL and CODEWRAP_TOKEN are set"
        return Mode.EMBEDDED, "nothing is configured"

    def _broker(self) -> Broker | None:
        if any(name in self._values for name in SOKETI_NAMES):
            if any(name in self._values for name in PUSHER_NAMES):
                self._warnings.append("both SOKETI_* and PUSHER_* are set: SOKETI_* is used")
            return self._soketi()
        if any(name in self._values for name in PUSHER_NAMES):
            return self._pusher()
        return None

    def _soketi(self) -> Broker:
        host = self._host("SOKETI_HOST", "127.0.0.1")
        port = self._port("SOKETI_PORT", 6001)
        return Broker(
            family="SOKETI",
            app_id=self._app_id("SOKETI_SERVICE_USER"),
            key=self._required("SOKETI_SERVICE_KEY"),
            secret=self._required("SOKETI_SERVICE_SECRET"),
            api_host=host,
            api_port=port,
            ws_host=host,
            ws_port=port,
            tls=self._tls("SOKETI_USE_TLS", host),
            master_key=self._master_key(SOKETI_MASTER_KEY_NAMES),
            event_bytes=self._event_bytes(SOKETI_EVENT_BYTES),
        )

    def _pusher(self) -> Broker:
        host, cluster = self._values.get("PUSHER_HOST"), self._values.get("PUSHER_CLUSTER")
        if cluster and not re.fullmatch(r"[a-z0-9-]{1,32}", cluster):
            raise ConfigError("PUSHER_CLUSTER", "is not a cluster's name", "for example eu or mt1")
        if host:
            host = self._host("PUSHER_HOST", "")
            api_host = ws_host = host
        elif cluster:
            api_host, ws_host = f"api-{cluster}.pusher.com", f"ws-{cluster}.pusher.com"
        else:
            raise ConfigError("PUSHER_CLUSTER", "is missing", "set it, or PUSHER_HOST for another server")
        tls = self._tls("PUSHER_USE_TLS", api_host)
        port = self._port("PUSHER_PORT", 443 if tls else 80)
        return Broker(
            family="PUSHER",
            app_id=self._app_id("PUSHER_APP_ID"),
            key=self._required("PUSHER_KEY"),
            secret=self._required("PUSHER_SECRET"),
            api_host=api_host,
            api_port=port,
            ws_host=ws_host,
            ws_port=port,
            tls=tls,
            master_key=self._master_key(PUSHER_MASTER_KEY_NAMES),
            event_bytes=self._event_bytes(PUSHER_EVENT_BYTES),
        )

    def _gateway(self) -> Gateway | None:
        url, token = self._values.get("CODEWRAP_URL"), self._values.get("CODEWRAP_TOKEN")
        if url is None:
            return None
        checked = check_url("CODEWRAP_URL", url)
        if token is None:
            raise ConfigError("CODEWRAP_TOKEN", "is missing", "CODEWRAP_URL is set, and its server wants a token")
        check_token("CODEWRAP_TOKEN", token)
        from urllib.parse import urlsplit

        parts = urlsplit(checked)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            self._no_tls_allowed("CODEWRAP_URL", parts.hostname or "", "CODEWRAP_USE_TLS")
        return Gateway(checked, token)

    def _no_tls_allowed(self, setting: str, host: str, switch: str) -> None:
        wanted = self._tls_flag if self._tls_flag is not None else self._boolean(switch)
        if wanted is not False:
            raise ConfigError(setting, f"is http to {host}, which is not this machine", f"use https, or set {switch}=false")
        self._warn_no_tls(host)

    def _warn_no_tls(self, host: str) -> None:
        self._warnings.append(f"TLS is switched off: who can see the network path to {host} can see tokens and names")

    def _tls(self, name: str, host: str) -> bool:
        wanted = self._tls_flag if self._tls_flag is not None else self._boolean(name)
        if wanted is not None:
            if not wanted and not is_loopback(host):
                self._warn_no_tls(host)
            return wanted
        return not is_loopback(host)

    def _boolean(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is None:
            return None
        if value.lower() in {"1", "true", "yes", "on"}:
            return True
        if value.lower() in {"0", "false", "no", "off"}:
            return False
        raise ConfigError(name, "is neither true nor false")

    def _required(self, name: str) -> str:
        value = self._values.get(name)
        if not value:
            raise ConfigError(name, "is missing", "the other settings of this server are set")
        if not value.isprintable() or value != value.strip():
            raise ConfigError(name, "holds spaces or control characters at its ends or within")
        return value

    def _app_id(self, name: str) -> str:
        value = self._required(name)
        if not (value.isascii() and value.isdigit()):
            raise ConfigError(name, "is not an app id of digits", "the server's app needs a numeric id")
        return value

    def _host(self, name: str, default: str) -> str:
        value = self._values.get(name, default)
        bare = value.strip("[]")
        if not bare or not re.fullmatch(r"[A-Za-z0-9.:_-]+", bare):
            raise ConfigError(name, "is not a host name or address", "give it without http:// and without a path")
        if ":" in bare:
            import ipaddress

            try:
                ipaddress.IPv6Address(bare)
            except ValueError:
                raise ConfigError(name, "is not a host name or address", "the port has a setting of its own") from None
        return bare

    def _port(self, name: str, default: int) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if _is_number(value, 1, 65_535):
            return int(value)
        raise ConfigError(name, "is not a port", "use 1 to 65535")

    def _event_bytes(self, default: int) -> int:
        value = self._values.get("CODEWRAP_MAX_EVENT_BYTES")
        if value is None:
            return default
        if _is_number(value, 1024, 10_000_000):
            return int(value)
        raise ConfigError("CODEWRAP_MAX_EVENT_BYTES", "is not a size in bytes", "use 1024 to 10000000")

    def _signing_keys(self) -> tuple[bytes, ...]:
        name = "CODEWRAP_SIGNING_KEY"
        parts = self._values.get(name, "").split(",")
        return tuple(decode_master_key(name, part.strip()) for part in parts if part.strip())

    def _master_key(self, names: tuple[str, ...]) -> bytes | None:
        for name in names:
            value = self._values.get(name)
            if value is not None:
                return decode_master_key(name, value)
        return None


def _is_number(text: str, least: int, most: int) -> bool:
    # Python refuses to convert thousands of digits with an error of its own.
    return text.isascii() and text.isdigit() and len(text) <= 20 and least <= int(text) <= most


def decode_master_key(name: str, value: str) -> bytes:
    """The 32 bytes of a base64 master key. Raises ConfigError naming ``name``."""
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise ConfigError(name, "is not 32 bytes in base64", "make one with: openssl rand -base64 32")
    return key


def check_token(name: str, value: str) -> str:
    """A token that fits into an HTTP header. Raises ConfigError naming ``name``."""
    if not value.isascii() or not value.isprintable() or " " in value or len(value) > MAX_TOKEN_CHARACTERS:
        raise ConfigError(name, "is not a token", "printable ASCII without spaces")
    return value


def check_url(name: str, value: str) -> str:
    """An http or https URL without credentials, query and trailing slash. Raises ConfigError naming ``name``."""
    from urllib.parse import urlsplit

    if not value.isprintable() or " " in value:  # urlsplit drops some of them silently and keeps others in the host's name
        raise ConfigError(name, "is not a URL", "it holds spaces or control characters")
    try:
        parts = urlsplit(value)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise ConfigError(name, "is not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
        raise ConfigError(name, "is not an http or https URL", "for example https://codewrap.example.com")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(name, "holds credentials, a query or a fragment", "the token goes into CODEWRAP_TOKEN")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
