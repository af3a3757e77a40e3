"""The shape of the project, held by machine: who may import what, and that every module has its test."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "codewrap"
LAYERS = {
    "errors": 0,
    "protocol": 1,
    "terminal": 2,
    "transport": 2,
    "store": 2,
    "config": 2,
    "redaction": 1,
    "host": 3,
    "uplink": 3,
    "viewer": 3,
    "broker": 3,
    "server": 3,
    "doctor": 3,
    "cli": 4,
    "api": 5,
}
# A third-party package is imported in one place; here are the places.
THIRD_PARTY = {
    "pusher": {"transport/publish.py", "server/authorize.py"},
    "pysher": {"transport/subscribe.py"},
    "websocket": {"transport/subscribe.py"},
    "nacl": {"protocol/sealing.py"},
    "avt": {"terminal/emulator.py"},
    "typer": {"cli/"},
    "rich": {"cli/"},
    "dotenv": {"config.py"},
    "segno": {"cli/picture.py"},
    "PIL": {"terminal/raster.py"},
    "jwt": {"server/tokens.py", "server/oidc.py", "server/oidckeys.py"},
    "starlette": {"broker/", "server/", "cli/serving.py"},
    "sqlalchemy": {"server/stores/"},
    "redis": {"server/stores/redisstore.py"},
    "limits": {"server/"},
    "re2": {"server/patterns.py"},
    "prometheus_client": {"server/metrics.py"},
    "uvicorn": {"broker/serving.py", "cli/serving.py"},
}
PURE_BROKER = {
    "hub.py",
    "apps.py",
    "channels.py",
    "connections.py",
    "limits.py",
    "messages.py",
    "names.py",
    "presence.py",
    "refusals.py",
    "restapi.py",
    "signatures.py",
    "users.py",
    "webhooks.py",
}
IMPURE = {"socket", "select", "selectors", "threading", "asyncio", "subprocess", "os", "time", "random", "secrets"}
NETWORK = {"pusher", "pysher", "requests", "websocket", "starlette", "uvicorn", "nacl", "asyncio", "ssl", "http.client"}
NETWORK |= {"sqlalchemy", "redis", "psycopg", "limits", "prometheus_client"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def layer_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path, *, at_run_time_only: bool = True) -> Iterator[str]:
    """Dotted names of what ``path`` imports, wherever in the file; imports for type checkers alone do not count."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if at_run_time_only and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped.update(inner for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_down_only(path: Path) -> None:
    own = layer_of(path)
    assert own in LAYERS, f"{own} has no layer: add it here and to docs/architecture.md"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "codewrap" or len(parts) < 2 or parts[1] not in LAYERS:
            continue
        other = parts[1]
        assert other == own or LAYERS[other] < LAYERS[own], f"{name_of(path)} imports {name}"
        assert other != "config" or own == "cli", f"{name_of(path)} reads the settings; cli passes plain values on"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_third_party_packages_are_imported_in_one_place(path: Path) -> None:
    for name in imported(path):
        package = name.split(".")[0]
        if package != "codewrap" and package not in sys.stdlib_module_names:
            places = THIRD_PARTY.get(package, set())
            assert any(name_of(path).startswith(place) for place in places), f"{name_of(path)} imports {name}"


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if layer_of(path) == "protocol" or name_of(path).removeprefix("broker/") in PURE_BROKER],
    ids=name_of,
)
def test_pure_modules_touch_neither_clock_nor_system(path: Path) -> None:
    touched = {name.split(".")[0] for name in imported(path)} & IMPURE
    assert not touched, f"{name_of(path)} imports {sorted(touched)}"


def test_every_module_has_its_test_file() -> None:
    lacking = [name_of(path) for path in modules() if not (ROOT / "tests" / twin(path)).exists()]
    assert lacking == []


def twin(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return (relative.parent / f"test_{relative.name}").as_posix()


def test_host_process_imports_nothing_of_the_network() -> None:
    assert loaded_by("import codewrap.cli.run") == []


def test_command_line_opens_without_the_network_stack() -> None:
    program = (
        "import sys; sys.argv = ['codewrap', '--help']; from codewrap.cli.main import main\ntry: main()\nexcept SystemExit: pass"
    )
    assert loaded_by(program) == []


def loaded_by(program: str) -> list[str]:
    """Which modules of the network stack are in memory after ``program``, in a fresh interpreter."""
    report = "\nimport sys; print(); print('LOADED', *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program + report], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.rsplit("LOADED", 1)[1].split())
    return sorted(name for name in NETWORK if name in loaded)


def test_no_module_grows_past_comfort() -> None:
    long = {name_of(path): lines for path in modules() if (lines := len(path.read_text().splitlines())) > 500}
    assert long == {}
