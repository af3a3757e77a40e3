"""Whom to tell is read from the option or the setting, checked, and shown without what is secret in it."""

from __future__ import annotations

import pytest

from codewrap.cli.notifying import Notifying, read_targets
from codewrap.errors import ConfigError

SECRET = "0123456789abcdef"


def read(*options: str, **values: str) -> Notifying:
    found = read_targets(options, values)
    assert found is not None
    return found


def test_each_kind_of_target_is_known() -> None:
    found = read("desktop", "https://hooks.example.com/T0/secret?x=1", "say 'it waits' --loud", "http://127.0.0.1:8000")
    assert found.plan(answers=True) == {
        "targets": [
            {"kind": "desktop"},
            {"kind": "webhook", "url": "https://hooks.example.com/T0/secret?x=1"},
            {"kind": "command", "command": ["say", "it waits", "--loud"]},
            {"kind": "webhook", "url": "http://127.0.0.1:8000"},
        ],
        "secret": None,
        "answers": True,
    }
    assert found.labels == ("desktop", "https://hooks.example.com/…", "say", "http://127.0.0.1:8000")


def test_option_wins_over_the_setting_and_can_say_nobody() -> None:
    assert read(CODEWRAP_NOTIFY="desktop; say hello ;").labels == ("desktop", "say")
    assert read("say", CODEWRAP_NOTIFY="desktop").labels == ("say",)
    assert read_targets(["none"], {"CODEWRAP_NOTIFY": "desktop"}) is None
    assert read_targets([], {}) is None


def test_secret_goes_along_and_is_in_no_repr() -> None:
    found = read("https://hooks.example.com/T0", CODEWRAP_NOTIFY_SECRET=SECRET)
    assert found.plan(answers=False)["secret"] == SECRET
    assert SECRET not in repr(found)
    assert "T0" not in repr(found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://hooks.example.com/", "http to another machine"),
        ("ftp://hooks.example.com/", "not an http or https URL"),
        ("https://", "not an http or https URL"),
        ("https://a b/", "not an http or https URL"),
        ("https://[::1", "not an http or https URL"),
        ("https://a:99999/", "not an http or https URL"),
        ("https://user:pass@example.com/", "credentials"),
        ("https://example.com/#x", "fragment"),
        ("say 'it", "quotation mark"),
        ("   ", "empty"),
    ],
)
def test_what_cannot_be_told_is_refused_without_saying_its_value(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        read_targets([text], {})
    assert "pass" not in str(caught.value).replace("passes", "")


def test_secret_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigError, match="CODEWRAP_NOTIFY_SECRET"):
        read_targets(["desktop"], {"CODEWRAP_NOTIFY_SECRET": "short"})
