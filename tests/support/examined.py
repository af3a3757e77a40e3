"""A real `codewrap doctor` process: own home, own directories, and no variables of ours but those of the test."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.served import REPOSITORY, Served
from tests.support.soketi import SoketiServer

WITHIN_S = 60.0
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
TOKEN = "a-token-that-is-long-enough"
_SECRET_NAMES = ("SECRET", "TOKEN", "MASTER_KEY")


@dataclass(frozen=True, slots=True)
class Examined:
    """What a run said."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The one JSON object of `--json`."""
        found: dict[str, Any] = json.loads(self.out)
        assert set(found) == {"ok", "mode", "server", "checks"}
        assert all(set(check) == {"name", "status", "detail", "ms"} for check in found["checks"])
        assert self.status == (0 if found["ok"] else 1)
        return found

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """The findings by name; each name is there once."""
        checks = self.report["checks"]
        named = {check["name"]: check for check in checks}
        assert len(named) == len(checks)
        return named

    def having(self, status: str) -> dict[str, str]:
        """Details of the findings with ``status``, by name."""
        return {name: check["detail"] for name, check in self.checks.items() if check["status"] == status}


def environ(directory: Path, settings: dict[str, str]) -> dict[str, str]:
    """The variables of such a process."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "error,ignore::DeprecationWarning:pusher,ignore::DeprecationWarning:pysher",
        "CODEWRAP_RUNTIME_DIR": str(directory / "run"),
        "CODEWRAP_STATE_DIR": str(directory / "state"),
        **settings,
    }


COMMAND = (sys.executable, "-m", "codewrap.cli.main", "doctor")


def examine(directory: Path, settings: dict[str, str] | None = None, *options: str) -> Examined:
    """Run it to its end. Nothing may be said on stderr, and no secret anywhere."""
    settings = settings or {}
    process = subprocess.run(
        [*COMMAND, *options],
        cwd=directory,
        env=environ(directory, settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert process.stderr == ""
    for name, value in settings.items():
        assert not any(word in name for word in _SECRET_NAMES) or value not in process.stdout, name
    return Examined(process.returncode, process.stdout, process.stderr)


def to_soketi(server: SoketiServer, **changes: str) -> dict[str, str]:
    """Settings for a Soketi."""
    return {
        "SOKETI_HOST": server.host,
        "SOKETI_PORT": str(server.port),
        "SOKETI_SERVICE_USER": server.app_id,
        "SOKETI_SERVICE_KEY": server.key,
        "SOKETI_SERVICE_SECRET": server.secret,
        "SOKET_ENCRYPTION_MASTER_KEY_BASE64": MASTER_KEY,
        **changes,
    }


def to_gateway(served: Served, **changes: str) -> dict[str, str]:
    """Settings for a `serve-auth`."""
    return {"CODEWRAP_URL": served.url, "CODEWRAP_TOKEN": TOKEN, **changes}
