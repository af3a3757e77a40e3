"""The support itself: servers do not outlive who started them, and several do not meet."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.postgresserver import PostgresServer
from tests.support.redisserver import RedisServer

pytestmark = pytest.mark.debian
REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("kind", ["redisserver.RedisServer", "postgresserver.PostgresServer"])
def test_server_ends_with_the_process_that_started_it(kind: str) -> None:
    module, name = kind.split(".")
    owner = textwrap.dedent(f"""
        import os
        from tests.support.{module} import {name}
        server = {name}().start()
        print(server._directory.path, server._process.pid, flush=True)
        os.kill(os.getpid(), 9)
    """)
    ended = subprocess.run(
        [sys.executable, "-c", owner], cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False
    )
    directory, pid = ended.stdout.split()
    try:
        psutil.Process(int(pid)).wait(30)
    except psutil.NoSuchProcess:
        pass
    assert Path(directory).name.startswith("codewrap-")
    subprocess.run(["rm", "-r", directory], check=True, timeout=30)


def test_two_servers_of_a_kind_are_two() -> None:
    with RedisServer() as one, RedisServer() as two:
        assert one.url != two.url


def test_tests_do_not_see_each_others_tables(postgres_server: PostgresServer) -> None:
    one, two = postgres_server.fresh(), postgres_server.fresh()
    with psycopg.connect(one) as first, psycopg.connect(two) as second:
        first.execute("CREATE TABLE things ()")
        first.commit()
        assert second.execute("SELECT to_regclass('things')").fetchone() == (None,)
