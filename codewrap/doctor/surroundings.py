"""Checks that ask nobody: directories, terminal, the proxy of the environment, TLS, credentials that everybody knows.

All facts are handed in, but for the proxy, which is read as `transport/origin.py` reads it.
"""

from __future__ import annotations

import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codewrap.doctor.report import Check, failed, passed, warned
from codewrap.errors import StoreError
from codewrap.transport.base import AppCredentials, Endpoint
from codewrap.transport.origin import Origin

# What Soketi takes when it is told nothing: known to everybody.
DEFAULT_APP_ID, DEFAULT_KEY, DEFAULT_SECRET = "app-id", "app-key", "app-secret"
_DEFAULT_ADVICE = "whoever reaches the server can read and type; set SOKETI_DEFAULT_APP_ID, _KEY and _SECRET there"


@dataclass(frozen=True, slots=True)
class Terminal:
    """What `run` and `attach` would have. ``size`` is (columns, rows), None where there is no terminal."""

    term: str
    encoding: str
    size: tuple[int, int] | None


def terminal(found: Terminal) -> Check:
    """Whether programs on it can draw."""
    if found.size is None:
        return passed("terminal", f"none here; {found.encoding.upper() or 'no encoding'}")
    said = f"{found.term or 'no TERM'}, {found.encoding.upper()}, {found.size[0]} x {found.size[1]}"
    if found.term in ("", "dumb"):
        return warned("terminal", said, "full-screen programs cannot draw; set TERM (for example xterm-256color)")
    if found.encoding.lower().replace("-", "").replace("_", "") != "utf8":
        return warned("terminal", said, "characters beyond ASCII will look wrong; set LANG=C.UTF-8")
    return passed("terminal", said)


def directories(makers: Sequence[tuple[str, Callable[[], Path]]]) -> Iterator[Check]:
    """Each is (setting that moves it, what makes and checks it): private and writable."""
    for setting, make in makers:
        name = "sessions kept in" if "RUNTIME" in setting else "logs kept in"
        try:
            path = make()
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"x")
        except StoreError as error:
            yield failed(name, str(error), f"make it yours alone, or set {setting} to another directory")
        except OSError as error:
            yield failed(name, f"{path} cannot be written: {error.strerror}", f"make room, or set {setting}")
        else:
            yield passed(name, f"{path} (private, writable)")


def proxy(origin: Origin) -> Check:
    """Which proxy of the environment would be used, without the password that may be in its address."""
    found = urllib.request.getproxies_environment()
    scheme = "https" if origin.tls else "http"
    if not found.get("http") and not found.get("https"):
        return passed("proxy", "none")
    if origin.is_loopback:
        return passed("proxy", "set, and not used for this machine")
    if not is_proxied(origin):
        return passed("proxy", f"set, and not used for {origin.host}")
    url = found[scheme]
    try:
        parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
        where = f"{parts.hostname}:{parts.port or 80}"
    except ValueError:
        return failed("proxy", f"{scheme}_proxy is not an address", "use http://HOST:PORT, or unset it")
    if parts.scheme != "http" or not parts.hostname:
        return failed("proxy", f"{scheme}_proxy is not an http:// proxy", f"use one, or put {origin.host} into no_proxy")
    return passed("proxy", f"{scheme}_proxy is used: {where}")


def is_proxied(origin: Origin) -> bool:
    """Whether the environment names a proxy for this server."""
    url = urllib.request.getproxies_environment().get("https" if origin.tls else "http")
    return bool(url) and not origin.is_loopback and not urllib.request.proxy_bypass(origin.authority)


def plain_http(endpoints: Sequence[Endpoint], name: str = "TLS") -> Check:
    """Whether anything leaves this machine without TLS."""
    bare = [endpoint for endpoint in endpoints if not endpoint.tls and not _origin(endpoint).is_loopback]
    if bare:
        problem = f"none to {bare[0].host}"
        return warned(name, problem, "who sees the network path sees tokens and names; use https, and leave out --no-tls")
    if all(endpoint.tls for endpoint in endpoints):
        return passed(name, "on")
    return passed(name, "not needed within this machine")


def default_credentials(credentials: AppCredentials) -> Check:
    """Whether they are the ones that Soketi comes with."""
    parts = {
        "app id": credentials.app_id == DEFAULT_APP_ID,
        "key": credentials.key == DEFAULT_KEY,
        "secret": credentials.secret == DEFAULT_SECRET,
    }
    found = [name for name, is_default in parts.items() if is_default]
    if not found:
        return passed("default secrets", "none of Soketi's is in use")
    named = ", ".join(found[:-1]) + " and " * (len(found) > 1) + found[-1]
    return warned("default secrets", f"Soketi's own {named} in use", _DEFAULT_ADVICE)


def _origin(endpoint: Endpoint) -> Origin:
    return Origin(endpoint.host, endpoint.port, endpoint.tls, endpoint.path)
