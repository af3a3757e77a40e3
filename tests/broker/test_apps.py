"""What an app may be called, and that its secret stays out of sight."""

from __future__ import annotations

import pytest

from codewrap.broker.apps import App, Webhook
from codewrap.errors import ConfigError


def test_the_secret_is_in_no_repr() -> None:
    assert "hush" not in repr(App("1", "key", "hush")) + str(App("1", "key", "hush"))


@pytest.mark.parametrize(
    ("app_id", "key", "secret"),
    [("", "k", "s"), ("app", "k", "s"), ("²", "k", "s"), ("1", "", "s"), ("1", "a:b", "s"), ("1", "a/b", "s"), ("1", "k", "")],
)
def test_unusable_credentials_are_refused_without_being_repeated(app_id: str, key: str, secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        App(app_id, key, secret)
    assert "a:b" not in str(caught.value)


def test_a_webhook_wants_its_events_and_channels_only() -> None:
    hook = Webhook("https://example.com/", frozenset({"member_added"}), "presence-")
    assert hook.wants("member_added", "presence-a")
    assert not hook.wants("member_removed", "presence-a")
    assert not hook.wants("member_added", "private-a")


def test_a_webhook_must_be_possible() -> None:
    with pytest.raises(ConfigError):
        Webhook("ftp://example.com/")
    with pytest.raises(ConfigError, match="surprise"):
        Webhook("http://example.com/", frozenset({"surprise"}))
