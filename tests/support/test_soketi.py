"""The support itself: it starts, keeps its port over a kill, and does not outlive its owner."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.support.node import Node
from tests.support.soketi import SoketiServer

pytestmark = pytest.mark.soketi
REPOSITORY = Path(__file__).resolve().parent.parent.parent


def test_server_keeps_its_port_over_a_kill(node: Node) -> None:
    with SoketiServer(node) as server:
        port = server.port
        server.kill()
        assert not server.is_running
        server.start()
        assert server.is_running
        assert server.port == port


def test_server_ends_with_the_process_that_started_it() -> None:
    owner = textwrap.dedent("""
        import os
        from tests.support.node import installed_node
        from tests.support.soketi import SoketiServer
        server = SoketiServer(installed_node()).start()
        print(server._process.pid, flush=True)
        os.kill(os.getpid(), 9)
    """)
    ended = subprocess.run([sys.executable, "-c", owner], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    pid = int(ended.stdout)
    try:
        psutil.Process(pid).wait(10)
    except psutil.NoSuchProcess:
        return
