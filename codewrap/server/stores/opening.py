"""Opens the state store that a URL names: `sqlite:///PATH`, `postgresql://...`, `redis://...` or `rediss://...`.

Every refusal is one line that names the setting and never the URL, which may hold a password.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from codewrap.errors import ConfigError
from codewrap.server.state import StateStore
from codewrap.server.stores.privatefile import private_file

SETTING = "CODEWRAP_STATE"
DEFAULT_FILE = "state.sqlite"
_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql", "postgres")
_REDIS = ("redis", "rediss")
_EXAMPLES = "for example sqlite:////var/lib/codewrap/state.sqlite, redis://HOST:6379/0 or postgresql://USER@HOST/NAME"


def open_store(url: str | None, directory: Path, setting: str = SETTING) -> StateStore:
    """The store at ``url``; where that is None, SQLite in ``directory``, the server's own. The caller closes it.

    Makes and checks the file of SQLite, and connects to the others at first use: whether they answer is seen then.
    Raises ConfigError naming ``setting``, and StoreError for the file.
    """
    if url is None:
        return _sqlite(directory / DEFAULT_FILE)
    scheme, _, rest = url.partition(":")
    if not url.isprintable() or " " in url:
        raise ConfigError(setting, "is not a URL", "it holds spaces or control characters")
    if scheme == "sqlite":
        path = url.removeprefix(_SQLITE)
        if path == url or not path or path == ":memory:" or "?" in path:
            raise ConfigError(setting, "names no file", f"{_SQLITE}PATH, with four slashes for an absolute path")
        return _sqlite(Path(path))
    if scheme not in (*_POSTGRESQL, *_REDIS) or not rest.startswith("//"):
        raise ConfigError(setting, "is not the URL of a state store", _EXAMPLES)
    return _redis(url, setting) if scheme in _REDIS else _postgresql(url, setting)


def is_shared(url: str | None) -> bool:
    """Whether several copies on several machines may stand before it. ``url`` need not be right."""
    return url is not None and url.partition(":")[0] in (*_POSTGRESQL, *_REDIS)


def _sqlite(path: Path) -> StateStore:
    from codewrap.server.stores.sql import sqlite_store

    return sqlite_store(private_file(path))


def _redis(url: str, setting: str) -> StateStore:
    parts = _split(url, setting)
    try:
        from codewrap.server.stores.redisstore import RedisStore
    except ImportError:
        raise ConfigError(setting, "needs the client of Redis", "pip install 'codewrap[redis]'") from None
    database = parts.path.strip("/")
    if not parts.hostname or (database and not database.isdigit()):
        raise ConfigError(setting, "is not the URL of a Redis", "redis://[:PASSWORD@]HOST[:PORT][/NUMBER]; rediss:// with TLS")
    try:
        return RedisStore(url, _shown(parts, 6379, database or "0"), _secrets(parts))
    except (ValueError, TypeError):  # of its query
        raise ConfigError(setting, "has an option that the client of Redis does not take") from None


def _postgresql(url: str, setting: str) -> StateStore:
    from codewrap.server.stores.sql import SqlUrlError, postgresql_store

    parts = _split(url, setting)
    try:
        return postgresql_store(url, _shown(parts, 5432, parts.path.strip("/")), _secrets(parts))
    except ImportError:
        raise ConfigError(setting, "needs the driver of PostgreSQL", "pip install 'codewrap[postgresql]'") from None
    except SqlUrlError:
        raise ConfigError(setting, "is not the URL of a PostgreSQL", "postgresql://USER:PASSWORD@HOST[:PORT]/NAME") from None


def _split(url: str, setting: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # that it is a number is found out when it is asked for
    except ValueError:
        raise ConfigError(setting, "is not a URL", "a host and a port of digits; other characters in a password as %XX") from None
    if parts.fragment:
        raise ConfigError(setting, "is not a URL", "write # as %23")
    return parts


def _shown(parts: SplitResult, port: int, database: str) -> str:
    """Without user, password and options."""
    host = parts.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or port}/{database}"


def _secrets(parts: SplitResult) -> tuple[str, ...]:
    """Passwords, in every spelling in which a driver might repeat them."""
    said = [parts.password or "", *(value for name, value in parse_qsl(parts.query) if name == "password")]
    return tuple({form for text in said for form in (text, unquote(text), quote(unquote(text), safe="")) if form})
