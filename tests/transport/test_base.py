"""The values that cross the network's seam."""

from __future__ import annotations

from codewrap.errors import TransportError
from codewrap.transport.base import AppCredentials, Endpoint, Event, RetryLater


def test_endpoint_shows_an_address_and_no_key() -> None:
    assert Endpoint("::1", 6001, False, "app-key", "/ws").url == "http://[::1]:6001/ws"
    assert "app-key" not in Endpoint("example.org", 443, True, "app-key").url


def test_credentials_do_not_show_their_secret() -> None:
    assert "hush" not in repr(AppCredentials("1", "key", "hush"))


def test_event_size_counts_encoded_bytes() -> None:
    assert Event("private-a", "e", "─é").size_bytes == 5


def test_a_request_for_patience_is_a_transport_error_worth_retrying() -> None:
    error = RetryLater("http://b", "slow down", status=429, retry_after_s=3.0)
    assert isinstance(error, TransportError)
    assert (error.retry, error.status, error.retry_after_s) == (True, 429, 3.0)
