"""Imports that wait, in packages made for the test."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.transport.later import import_later

NAME = "codewrap_test_package"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that adds a line to a file each time it is executed; `done` gives the lines."""
    root = tmp_path / NAME
    root.mkdir()
    (root / "__init__.py").write_text(
        "from pathlib import Path\n"
        "with (Path(__file__).parent / 'executed').open('a') as lines: lines.write('x')\n"
        "from . import part\n"
        "answer = part.half * 2\n"
    )
    (root / "part.py").write_text("half = 21\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield str(root / "executed")
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]


def times_executed(path: str) -> int:
    return len(Path(path).read_text()) if Path(path).exists() else 0


def test_import_does_not_execute_the_package(package: str) -> None:
    import_later(NAME)
    assert importlib.import_module(NAME).__name__ == NAME
    assert times_executed(package) == 0


def test_first_look_executes_it_once(package: str) -> None:
    import_later(NAME)
    module = importlib.import_module(NAME)
    assert module.answer == 42
    assert module.part.half == 21
    assert times_executed(package) == 1
    assert importlib.import_module(NAME) is module


def test_importing_a_submodule_executes_the_package_first(package: str) -> None:
    import_later(NAME)
    assert importlib.import_module(f"{NAME}.part").half == 21
    assert times_executed(package) == 1
    assert sys.modules[NAME].answer == 42


def test_a_submodule_may_wait_by_itself(package: str) -> None:
    parent = importlib.import_module(NAME)
    (Path(package).parent / "other.py").write_text("half = 4\n")
    import_later(f"{NAME}.other")
    assert parent.other is importlib.import_module(f"{NAME}.other")
    assert "half" not in vars(parent.other)
    assert parent.other.half == 4


def test_what_it_has_not_is_an_attribute_error(package: str) -> None:
    import_later(NAME)
    module = importlib.import_module(NAME)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = module.nothing_like_it
    assert module.answer == 42
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = module.nothing_like_it


def test_threads_that_look_at_once_all_get_the_whole_module(package: str) -> None:
    import_later(NAME)
    module = importlib.import_module(NAME)
    start = threading.Barrier(8)
    found: list[int] = []

    def look() -> None:
        start.wait()
        found.append(module.answer)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [42] * 8
    assert times_executed(package) == 1


def test_a_package_that_is_loaded_stays(package: str) -> None:
    module = importlib.import_module(NAME)
    import_later(NAME)
    assert importlib.import_module(NAME) is module
    assert times_executed(package) == 1


def test_a_package_that_is_not_installed_stays_missing() -> None:
    import_later("codewrap_no_such_package")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("codewrap_no_such_package")


def test_a_viewer_never_executes_requests() -> None:
    program = "import sys, codewrap.transport.subscribe, codewrap.transport.publish; print('urllib3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
