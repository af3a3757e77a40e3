"""How property tests run: bounded, without time limits of their own, the same examples every time in CI.

A failure prints its smallest example, and a line (`@reproduce_failure`) that repeats it elsewhere.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("here", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, database=None)


def load() -> None:
    """By `tests/conftest.py`, before any test is collected."""
    settings.load_profile("ci" if os.environ.get("CI") else "here")
