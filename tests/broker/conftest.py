"""A hub with a hand-turned clock and recorded sockets, for the tests of the pure modules."""

from __future__ import annotations

import pytest

from tests.support.hub import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
