"""What is told, as JSON and in a few words."""

from __future__ import annotations

import json

import pytest

from codewrap.uplink.occurrence import Happening, Occurrence


@pytest.mark.parametrize(
    ("event", "headline"),
    [
        (Happening.AWAITING, "build waits for you"),
        (Happening.ENDED, "build has ended"),
        (Happening.FAILED, "build has failed"),
    ],
)
def test_body_names_everything(event: Happening, headline: str) -> None:
    told = Occurrence(event, "build", "Go on? ä\udcff", ("it asks",), 1_800_000_000.5, "codewrap attach build", "run-1")
    assert json.loads(told.to_json()) == {
        "event": event.value,
        "session": "build",
        "text": "Go on? ä?",
        "evidence": ["it asks"],
        "at": 1_800_000_000.5,
        "attach": "codewrap attach build",
        "id": "run-1",
    }
    assert told.headline == headline


def test_link_is_told_where_there_is_one() -> None:
    told = Occurrence(Happening.AWAITING, "build", "Go on?", (), 5.0, "codewrap attach build", "1", answer_url="https://a/a/b#t")
    assert json.loads(told.to_json())["answer_url"] == "https://a/a/b#t"
