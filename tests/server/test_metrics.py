"""What is counted, as Prometheus's own parser reads it."""

from __future__ import annotations

import math

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from codewrap import __version__
from codewrap.server.metrics import Census, Metrics, Now, channel_kind
from codewrap.transport.base import Event

NOTHING = Now(sessions=0, revocations=0, publishes_waiting=0, audit_waiting=0, audit_refused=0, census=None)


def samples(metrics: Metrics, now: Now = NOTHING) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and by the labels' values, in the order of the labels' names."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text(now).decode())
        for sample in family.samples
    }


def test_a_request_counts_by_route_status_and_code() -> None:
    metrics = Metrics(process=False)
    metrics.answered("POST", "/pusher/auth", 200, 0.004, None)
    metrics.answered("POST", "/pusher/auth", 403, 0.004, "forbidden")
    metrics.answered("BREW", "none", 404, 0.004, None)
    found = samples(metrics)
    assert found["codewrap_http_request_seconds_count", ("POST", "/pusher/auth")] == 2
    assert found["codewrap_http_request_seconds_bucket", ("0.005", "POST", "/pusher/auth")] == 2
    assert found["codewrap_http_responses_total", ("/pusher/auth", "200")] == 1
    assert found["codewrap_http_refusals_total", ("forbidden", "403")] == 1
    assert found["codewrap_http_refusals_total", ("other", "404")] == 1
    assert found["codewrap_http_request_seconds_count", ("other", "none")] == 1


def test_decisions_are_counted_by_their_reasons() -> None:
    metrics = Metrics(process=False)
    metrics.authenticated("ok", "token")
    metrics.authenticated("failed", "unknown")
    metrics.authorized("output", "ok")
    metrics.typed("forbidden")
    metrics.limit_hit("inputs", "session")
    metrics.blocked()
    metrics.revoked("user")
    found = samples(metrics)
    for name, labels in [
        ("authentications", ("token", "ok")),
        ("authentications", ("unknown", "failed")),
        ("authorizations", ("output", "ok")),
        ("input_frames", ("forbidden",)),
        ("limits_hit", ("session", "inputs")),
        ("blocks", ()),
        ("revocations_carried_out", ("user",)),
    ]:
        assert found[f"codewrap_{name}_total", labels] == 1


def test_events_are_counted_by_the_kind_of_their_channel_and_by_bytes() -> None:
    metrics = Metrics(process=False)
    events = [Event("private-encrypted-command-build", "output", "é"), Event("presence-command-build", "sync", "123")]
    metrics.published(events, 0.01)
    metrics.publish_failed("RetryLater", 3.0)
    found = samples(metrics)
    assert found["codewrap_events_published_total", ("output",)] == 1
    assert found["codewrap_event_bytes_published_total", ("output",)] == 2
    assert found["codewrap_event_bytes_published_total", ("presence",)] == 3
    assert found["codewrap_publish_failures_total", ("RetryLater",)] == 1
    assert found["codewrap_publish_seconds_count", ()] == 2


def test_a_channel_is_told_by_its_kind_and_never_by_its_name() -> None:
    assert channel_kind("private-input-build") == channel_kind("private-encrypted-input-build") == "input"
    assert channel_kind("private-command-build") == "output"
    assert channel_kind("whatever-it-is") == "other"


def test_the_state_store_is_counted_by_operation() -> None:
    metrics = Metrics(process=False)
    metrics.state_asked("version", 0.001, answered=True)
    metrics.state_asked("version", 1.8, answered=False)
    found = samples(metrics)
    assert found["codewrap_state_seconds_count", ("version",)] == 2
    assert found["codewrap_state_failures_total", ("version",)] == 1


def test_what_is_now_is_told_and_what_is_not_known_is_no_number() -> None:
    metrics = Metrics(process=False)
    first = Now(3, 2, 1, 5, 0, Census(7, {"viewer": 4, "host": 3}))
    found = samples(metrics, first)
    assert found["codewrap_sessions", ()] == 3
    assert found["codewrap_revocations", ()] == 2
    assert found["codewrap_publishes_waiting", ()] == 1
    assert found["codewrap_audit_lines_waiting", ()] == 5
    assert found["codewrap_hub_sockets", ()] == 7
    assert found["codewrap_hub_present", ("viewer",)] == 4
    later = samples(metrics, Now(None, 0, 0, None, None, Census(0)))
    assert math.isnan(later["codewrap_sessions", ()])
    assert math.isnan(later["codewrap_audit_lines_waiting", ()])
    assert ("codewrap_hub_present", ("viewer",)) not in later


def test_two_servers_in_one_process_count_apart_and_leave_the_global_registry_alone() -> None:
    before = {family.name for family in REGISTRY.collect()}
    one, other = Metrics(), Metrics()
    one.blocked()
    assert samples(one)["codewrap_blocks_total", ()] == 1
    assert samples(other)["codewrap_blocks_total", ()] == 0
    assert {family.name for family in REGISTRY.collect()} == before


def test_the_process_and_what_runs_are_told() -> None:
    found = samples(Metrics())
    assert found["codewrap_build_info", (__version__,)] == 1
    assert found["process_resident_memory_bytes", ()] > 1_000_000
    assert any(name == "python_info" for name, _ in found)
