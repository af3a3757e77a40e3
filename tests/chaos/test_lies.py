"""Sessions over a broker that lies: nothing is typed that nobody typed, nothing is shown that was not written, whatever is told.

The broker is between the real one and each side (`tests/support/lies.py`); it has all rights but no key. What must hold is what
holds under faults: each lie is dropped, or costs what a lost event costs. More: `pytest tests/chaos/test_lies.py --lies 100`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos.conftest import kind_of
from tests.chaos.pictures import Pictures
from tests.chaos.scenario import Scenario
from tests.chaos.stage import Broker
from tests.support.chaosplan import ChaosPlan
from tests.support.lies import mark

pytestmark = [pytest.mark.soketi, pytest.mark.timeout(600)]


def test_no_lie_of_a_broker_is_typed_or_shown(lying: int, brokers: dict[str, Broker], pictures: Pictures, tmp_path: Path) -> None:
    told = Scenario(lying, brokers[kind_of(lying)], tmp_path, pictures, ChaosPlan.of_lies(lying)).play()
    assert not told.wrong, told.story
    assert re.search(r"lies: \{'", told.story), told.story
    for kept in tmp_path.rglob("*"):
        if kept.is_file() and (kept.name in ("kept", "late", "heard", "output") or kept.suffix == ".terminal"):
            assert mark().encode() not in kept.read_bytes(), kept.name
