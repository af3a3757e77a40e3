"""The schemas of screens, against real documents and what they must refuse."""

from __future__ import annotations

from typing import Any

import pytest

from codewrap.server.looking import Outcome, Place, Result
from codewrap.server.openapi import document
from tests.support.looking import FakeLooks
from tests.support.schema import Mismatch, check


def fits(name: str, value: Any) -> None:
    whole = document()
    check(value, whole["components"]["schemas"][name], whole)


def test_a_real_screen_fits() -> None:
    text = b"\x1b[1;32;44mbold\x1b[m \xe6\xbc\xa2 \x1b[38;2;1;2;3;9mcolour\x1b[m\x1b[?1002h"
    fits("Screen", FakeLooks(text).look(Place("build", "anna", "Anna", encrypted=True, may_type=False)).document())


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(Result.TYPED, True, "run", 0),
        Outcome(Result.MATCHED, True, "run", 5, "ab", ("a", None)),
        Outcome(Result.ENDED, True, "run", 5, status=3),
        Outcome(Result.TIMED_OUT, False, "run", 5, reason="waiting for a match"),
    ],
)
def test_every_outcome_fits(outcome: Outcome) -> None:
    fits("Sent", outcome.document())


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"text": ""},
        {"keys": []},
        {"waitFor": "x"},
        {"text": "x", "other": 1},
        {"text": "x", "timeoutS": 0},
        {"text": "x", "timeoutS": 61},
    ],
)
def test_what_lacks_something_to_type_or_has_too_much_does_not_fit(wrong: dict[str, Any]) -> None:
    fits("Send", {"text": "x", "keys": ["C-c"], "waitFor": "x", "timeoutS": 0.5, "paste": True, "encrypted": False})
    with pytest.raises(Mismatch):
        fits("Send", wrong)
