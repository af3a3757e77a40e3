"""Which browsers may talk to the hub: the `Host` and `Origin` headers, judged.

Pure. `Host` is checked against DNS rebinding; a request without `Origin` does not come from a web page and passes; a page
served by this very host and port passes; any other page must be listed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
ANY = "*"


@dataclass(frozen=True, slots=True)
class Door:
    """``hosts`` are names without port (`*`: any); ``origins`` are `scheme://host[:port]` as browsers send them."""

    hosts: Collection[str] = LOOPBACK_HOSTS
    origins: Collection[str] = ()

    def admits(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Judge ASGI headers (names in lower case)."""
        host, origin = "", None
        for name, value in headers:
            if name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1").lower()
        if ANY not in self.hosts and host_name(host) not in self.hosts:
            return False
        if origin is None or ANY in self.origins or origin in self.origins:
            return True
        return bool(host) and origin.partition("://")[2] == host


def host_name(host: str) -> str:
    """The name in a `Host` header: without port, without the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
