"""Sessions whose events are dropped, repeated, reordered and delayed, and whose connections break, by a seed.

A seed that fails is played again by its name: `pytest "tests/chaos/test_seeds.py::NAME[seed17-soketi]" --chaos-seeds 18`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.scenario import Told

pytestmark = [pytest.mark.soketi, pytest.mark.timeout(600)]


def test_a_session_comes_through_faults_whole_and_says_what_it_lost(seed: int, played: Callable[[int], Told]) -> None:
    told = played(seed)
    assert not told.wrong, told.story
