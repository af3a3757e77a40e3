"""The one app a hub serves: its credentials, its switches and where its webhooks go.

Owns values only. The secret never shows in a repr or an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from codewrap.errors import ConfigError

HOOK_EVENTS = frozenset(
    {
        "channel_occupied",
        "channel_vacated",
        "member_added",
        "member_removed",
        "client_event",
        "cache_miss",
        "subscription_count",
    }
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to POST events of these kinds, for channels whose names begin with ``channel_prefix``."""

    url: str
    events: frozenset[str] = HOOK_EVENTS
    channel_prefix: str = ""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError("webhook url", "must begin with http:// or https://")
        if unknown := self.events - HOOK_EVENTS:
            raise ConfigError("webhook events", f"unknown: {', '.join(sorted(unknown))}")

    def wants(self, event: str, channel: str) -> bool:
        """Whether this hook is to be told."""
        return event in self.events and channel.startswith(self.channel_prefix)


@dataclass(frozen=True, slots=True)
class App:
    """One app. ``app_id`` is digits (the official server libraries insist); ``key`` is public, ``secret`` is not.

    ``authorized_within_s`` closes (4009) a connection that has neither signed in nor joined a private or presence
    channel by then; None leaves everybody in.
    """

    app_id: str
    key: str
    secret: str = field(repr=False)
    client_events: bool = True
    subscription_counts: bool = False
    watchlists: bool = True
    authorized_within_s: float | None = None
    webhooks: tuple[Webhook, ...] = ()

    def __post_init__(self) -> None:
        if not (self.app_id.isascii() and self.app_id.isdigit()):
            raise ConfigError("app id", "must be digits")
        if not self.key or ":" in self.key or "/" in self.key:
            raise ConfigError("app key", "must not be empty nor contain ':' or '/'")
        if not self.secret:
            raise ConfigError("app secret", "must not be empty")
