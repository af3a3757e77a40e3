"""A URL picks the store, or is refused in one line that does not repeat it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from codewrap.errors import ConfigError
from codewrap.server.state import StateStore
from codewrap.server.stores.opening import is_shared, open_store


def where(url: str | None, directory: Path) -> str:
    async def opened() -> str:
        store: StateStore = open_store(url, directory)
        await store.close()
        return store.where

    return asyncio.run(opened())


def refused(url: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        open_store(url, Path("/nonexistent"))
    return caught.value


def test_without_a_url_it_is_a_file_in_the_servers_directory(tmp_path: Path) -> None:
    assert where(None, tmp_path / "serve-auth") == f"sqlite:///{tmp_path}/serve-auth/state.sqlite"
    assert (tmp_path / "serve-auth" / "state.sqlite").exists()


def test_a_sqlite_url_names_its_own_file(tmp_path: Path) -> None:
    assert where(f"sqlite:///{tmp_path}/own/s%20p.db", Path("/nonexistent")) == f"sqlite:///{tmp_path}/own/s%20p.db"
    assert (tmp_path / "own" / "s%20p.db").exists()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://:se%2Fcret@h:6380/3", "redis://h:6380/3"),
        ("rediss://user:se%2Fcret@[::1]/3", "rediss://[::1]:6379/3"),
        ("postgresql://user:se%2Fcret@h/name", "postgresql://h:5432/name"),
        ("postgresql://user:se%2Fcret@h:5433/name?sslmode=require&password=secret", "postgresql://h:5433/name"),
        ("postgres://user@h/name", "postgres://h:5432/name"),
        ("postgresql:///name?host=/run/postgresql", "postgresql://localhost:5432/name"),
    ],
)
def test_a_server_is_shown_without_user_and_password(url: str, shown: str, tmp_path: Path) -> None:
    assert where(url, tmp_path) == shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "private",
        "private://u:private@h",
        "mysql://u:private@h/n",
        "redis:private",
        "redis://:private@",
        "redis://:private@h:port/0",
        "redis://:private@h/name",
        "redis://:pri#vate@h/0",
        "redis://:private@h/0?max_connections=private",
        "redis://:private@h/0?private=1",
        "postgresql:private",
        "postgresql://u:private@h:port/n",
        "postgresql://u:pri vate@h/n",
        "postgresql+asyncpg://u:private@h/n",
        "sqlite://private",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///private?mode=ro",
        "redis://:private@h/0\n",
    ],
)
def test_a_wrong_url_is_refused_in_one_line_and_not_repeated(url: str) -> None:
    error = refused(url)
    said = str(error) + repr(error) + repr(error.__cause__)
    assert str(error).startswith("CODEWRAP_STATE: ")
    assert "\n" not in str(error)
    assert "private" not in said
    assert "vate" not in said


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("redis", "redis://:private@h/0", "codewrap[redis]"),
        ("psycopg", "postgresql://u:private@h/n", "codewrap[postgresql]"),
    ],
)
def test_a_missing_driver_is_told_with_the_extra_that_brings_it(module: str, url: str, extra: str) -> None:
    program = textwrap.dedent(f"""
        import sys
        sys.modules[{module!r}] = None  # as if it were not installed
        from pathlib import Path
        from codewrap.errors import ConfigError
        from codewrap.server.stores.opening import open_store
        try:
            open_store({url!r}, Path())
        except ConfigError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("CODEWRAP_STATE: needs ")
    assert f"pip install '{extra}'" in done.stdout
    assert "private" not in done.stdout + done.stderr


def test_only_servers_are_shared_by_machines() -> None:
    assert [is_shared(url) for url in ("redis://h", "rediss://h", "postgresql://h/n", "postgres://h/n")] == [True] * 4
    assert [is_shared(url) for url in (None, "sqlite:///x", "nothing")] == [False] * 3
