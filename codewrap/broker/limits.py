"""How much one hub accepts, as one frozen value with two profiles.

Owns the numbers and nothing else; who enforces one names it. Figures of Pusher's own service stand in `pusher_cloud`.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a hub. Sizes are bytes of UTF-8, lengths are characters, None means no bound."""

    event_bytes: int = 100 * KIB
    event_name_chars: int = 200
    channel_name_chars: int = 200
    channels_per_event: int = 100
    events_per_batch: int = 10
    client_events_per_s: int | None = None
    presence_members: int = 1000
    presence_member_bytes: int = 10 * KIB
    user_id_chars: int = 200
    watchlist_users: int = 100
    cache_ttl_s: float = 1800.0
    cached_events: int = 1000
    connections: int = 10_000
    over_connections_code: int = 4100  # "come back later": a hub of one's own may have room again in a second
    channels_per_connection: int = 10_000
    frame_bytes: int = 1024 * KIB  # an event of 100 KB whose every byte is escaped to six still fits
    request_bytes: int = 8192 * KIB
    json_depth: int = 64
    outgoing_bytes: int = 4096 * KIB  # per socket; beyond it the reader is too slow and is closed with 4100
    request_age_s: int = 600
    activity_timeout_s: int = 30
    pong_timeout_s: float = 30.0
    count_each_change_up_to: int = 100
    count_interval_s: float = 5.0
    hold_back_s: float = 3.0

    @classmethod
    def default(cls) -> Limits:
        """Generous: for a hub of one's own."""
        return cls()

    @classmethod
    def pusher_cloud(cls) -> Limits:
        """As the hosted service has them (free plan): what runs here runs there."""
        return cls(
            event_bytes=10 * KIB,
            channel_name_chars=164,
            client_events_per_s=10,
            presence_members=100,
            presence_member_bytes=KIB,
            user_id_chars=128,
            connections=100,
            over_connections_code=4004,
            activity_timeout_s=120,
        )
