"""The surroundings of one invocation: environment, working directory, streams. Taken once, passed down, replaceable in tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codewrap import config


@dataclass(frozen=True, slots=True)
class Environment:
    """``original`` is what the child inherits; ``values`` is it over `.env`, for our own settings."""

    original: Mapping[str, str]
    values: Mapping[str, str]

    @classmethod
    def capture(cls, environ: Mapping[str, str] | None = None) -> Environment:
        """``environ`` stands for this process's own. Raises ConfigError when `.env` is there and cannot be read."""
        original = dict(os.environ if environ is None else environ)
        return cls(original, config.read_environment(original, Path.cwd()))

    def export_flags(self) -> None:
        """Let `.env` set flags too: the command-line parser looks for their ``CODEWRAP_*`` names in the process's environment."""
        for name, value in self.values.items():
            if name.startswith("CODEWRAP_") and name not in config.SECRET_NAMES:
                os.environ.setdefault(name, value)


_captured: Environment | None = None


def current() -> Environment:
    """The environment of this process, as `main` found it."""
    global _captured  # noqa: PLW0603 - one process, one environment; set once
    if _captured is None:
        _captured = Environment.capture()
    return _captured


def user_name(values: Mapping[str, str]) -> str:
    """What others see of who this is: ``CODEWRAP_USER``, else the login name."""
    return values.get("CODEWRAP_USER") or values.get("USER") or values.get("LOGNAME") or f"uid {os.getuid()}"


def is_interactive() -> bool:
    """A person is at both ends: what we read and what we write are terminals."""
    return sys.stdin is not None and os.isatty(0) and os.isatty(1)
