"""How much is tried. The numbers of the test command are small; more is asked for by hand."""

from __future__ import annotations

import pytest

FUZZ = 20_000
EXAMPLES = 25


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=FUZZ, help="how many inputs tests/fuzz/test_server.py tries")
    parser.addoption("--fuzz-seed", type=int, default=1, help="the first seed of tests/fuzz, which all it does follows from")
    parser.addoption("--examples", type=int, default=EXAMPLES, help="examples of each operation that schemathesis tries")


@pytest.fixture
def fuzz_count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("fuzz", default=FUZZ))


@pytest.fixture
def fuzz_seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("fuzz_seed", default=1))


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("examples", default=EXAMPLES))
