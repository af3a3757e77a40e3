"""One POST of a notification to an address of the user's, signed, within a time. Follows no redirect, keeps no connection.

The signature is over what was sent and when: ``Codewrap-Signature: v1=HEX``, HEX the HMAC-SHA256 of ``TIMESTAMP.BODY`` with the
shared secret, and ``Codewrap-Timestamp: TIMESTAMP`` (seconds since 1970). ``Codewrap-Id`` is the same for each try.
"""

from __future__ import annotations

import hashlib
import hmac
import urllib.parse

from codewrap.errors import TransportError
from codewrap.transport.origin import Origin
from codewrap.transport.webclient import WebClient

TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The value of ``Codewrap-Signature``. Who receives it computes the same and compares in constant time."""
    return "v1=" + hmac.new(secret.encode(), str(timestamp).encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhook:
    """One address. Without a ``secret`` nothing is signed. The URL is checked by who was given it (`cli/notifying.py`)."""

    def __init__(self, url: str, secret: str | None, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urllib.parse.urlsplit(url)
        tls = parts.scheme == "https"
        self._origin = Origin(parts.hostname or "", parts.port or (443 if tls else 80), tls)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret = secret
        self._timeout_s = timeout_s

    @property
    def label(self) -> str:
        """For people: without its path, which is a secret with many services."""
        return self._origin.label

    def post(self, body: bytes, number: str, now: float) -> None:
        """Send ``body`` (JSON). Raises TransportError, whose ``retry`` says whether to try again."""
        headers = {"Content-Type": "application/json", "Codewrap-Id": number, "Codewrap-Timestamp": str(int(now))}
        if self._secret:
            headers["Codewrap-Signature"] = sign(self._secret, int(now), body)
        client = WebClient(self._origin, timeout_s=self._timeout_s, connect_timeout_s=CONNECT_TIMEOUT_S, prepares=False)
        try:
            status = client.request("POST", self._target, body, headers).status
        finally:
            client.close()
        if 300 <= status < 400:
            raise TransportError(self.label, "answers with a redirect, which is not followed", retry=False, status=status)
        if not 200 <= status < 300:
            passing = status >= 500 or status in (408, 425, 429)
            raise TransportError(self.label, "does not take the notification", retry=passing, status=status)
