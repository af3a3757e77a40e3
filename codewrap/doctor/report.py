"""What a check found, as values: a status, one line for people, a time. Pure; knows no check and no terminal.

Every failure is built by `failed`, which asks for an advice: nobody is left with a finding and no next step.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from codewrap.errors import AuthError, CodewrapError, TransportError
from codewrap.protocol.channels import printable

MAX_DETAIL_CHARACTERS = 500


class Status(enum.Enum):
    """How a check ended. Only FAIL makes the whole fail; SKIP is what could not be tried."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``ms`` is the time of what was measured, None where nothing was."""

    name: str
    status: Status
    detail: str
    ms: float | None = None

    def as_object(self) -> dict[str, object]:
        """For JSON."""
        ms = None if self.ms is None else round(self.ms, 2)
        return {"name": self.name, "status": self.status.value, "detail": self.detail, "ms": ms}


_Result = TypeVar("_Result")
# A part of the examination: tells its checks one by one, and returns what the next part needs.
Checking = Generator[Check, None, _Result]


def passed(name: str, detail: str, ms: float | None = None) -> Check:
    """It works."""
    return Check(name, Status.OK, _line(detail), ms)


def warned(name: str, problem: str, advice: str, ms: float | None = None) -> Check:
    """It works, and something about it should be known. ``advice`` says what to do."""
    return Check(name, Status.WARN, _line(f"{problem}: {advice}"), ms)


def failed(name: str, problem: str, advice: str, ms: float | None = None) -> Check:
    """It does not work. ``advice`` says what to do."""
    return Check(name, Status.FAIL, _line(f"{problem}: {advice}"), ms)


def skipped(name: str, reason: str) -> Check:
    """It was not tried."""
    return Check(name, Status.SKIP, _line(reason))


def all_skipped(names: Sequence[str], reason: str) -> list[Check]:
    """None of these was tried, all for one reason."""
    return [skipped(name, reason) for name in names]


def words(error: CodewrapError) -> str:
    """What happened, without the server's name, which the report has said already."""
    if isinstance(error, AuthError):
        return f"refused{_code(error.status)}, {error.reason}"
    if isinstance(error, TransportError):
        return f"{error.reason}{_code(error.status)}"
    return str(error)


@dataclass(frozen=True, slots=True)
class Report:
    """The whole examination. ``mode`` and ``server`` are None where the settings do not tell."""

    mode: str | None
    server: str | None
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(check.status is not Status.FAIL for check in self.checks)

    def count(self, status: Status) -> int:
        """How many ended so."""
        return sum(check.status is status for check in self.checks)

    def as_object(self) -> dict[str, object]:
        """For JSON."""
        checks = [check.as_object() for check in self.checks]
        return {"ok": self.ok, "mode": self.mode, "server": self.server, "checks": checks}


def _line(text: str) -> str:
    return printable(text, MAX_DETAIL_CHARACTERS)


def _code(status: int | None) -> str:
    return f" ({status})" if status is not None else ""
