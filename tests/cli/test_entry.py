"""The script's entry point: the collector is off while the command line is imported, and on when a command runs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

PROGRAM = """
import gc, sys
from codewrap.cli import entry

assert gc.isenabled(), "importing it has no effect"
from codewrap.cli import ls, main

assert gc.isenabled()
was_enabled = []
export_flags = main.environment.Environment.export_flags
main.environment.Environment.export_flags = lambda here: was_enabled.append(gc.isenabled()) or export_flags(here)
ls._show = lambda records: None
ls.console.say = lambda text: print(was_enabled[0], gc.isenabled())
sys.argv = ["codewrap", "ls"]
entry.main()
"""


def test_the_collector_is_off_until_a_command_runs(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False True\n", "")


def test_the_installed_script_is_this_entry() -> None:
    (script,) = entry_points(group="console_scripts", name="codewrap")
    assert script.value == "codewrap.cli.entry:main"


def test_who_interrupts_while_it_is_being_imported_gets_no_traceback(tmp_path: Path) -> None:
    program = """
import sys
from codewrap.cli import entry

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "codewrap.cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
sys.argv = ["codewrap", "ls"]
entry.main()
"""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
