"""The two profiles of limits."""

from __future__ import annotations

import dataclasses

import pytest

from codewrap.broker.limits import Limits


def test_the_cloud_profile_has_the_hosted_services_figures() -> None:
    cloud = Limits.pusher_cloud()
    assert (cloud.event_bytes, cloud.events_per_batch, cloud.channels_per_event) == (10_240, 10, 100)
    assert (cloud.channel_name_chars, cloud.event_name_chars, cloud.user_id_chars) == (164, 200, 128)
    assert (cloud.presence_members, cloud.presence_member_bytes) == (100, 1024)
    assert (cloud.client_events_per_s, cloud.over_connections_code) == (10, 4004)


def test_the_default_is_nowhere_tighter_than_the_cloud() -> None:
    default, cloud = Limits.default(), Limits.pusher_cloud()
    assert default == Limits()
    assert default.client_events_per_s is None
    for name in ("event_bytes", "channel_name_chars", "presence_members", "connections", "user_id_chars"):
        assert getattr(default, name) >= getattr(cloud, name)


def test_limits_do_not_change_once_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().event_bytes = 1  # type: ignore[misc]
