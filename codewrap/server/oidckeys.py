"""The keys that an OpenID Connect provider signs with: discovered, kept, and asked for again by age or for an unknown key.

No token can make us ask often (`ASK_AGAIN_S`), no answer is waited for without end, and none is fetched on the event loop. While
the provider is away its last keys go on, for a day.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from codewrap.errors import ConfigError, TransportError
from codewrap.server.oidcerrors import ProviderAway
from codewrap.transport.origin import Origin
from codewrap.transport.webclient import WebClient

LOGGER = logging.getLogger("codewrap.server")
FRESH_S = 600.0  # a key that the provider withdraws is good for this much longer, while somebody signs in now and then
OLD_S = 3600.0  # older keys are used only after it was tried to get newer ones
MOST_S = 86_400.0  # a provider that is kept from us for longer might have withdrawn any of them
ASK_AGAIN_S = 30.0  # whatever the tokens say: anybody can make up ids of keys
FIRST_AGAIN_S = 5.0  # while there are none at all
TIMEOUT_S = 5.0  # for each of the two answers
MAX_DOCUMENT_BYTES = 256 * 1024
MAX_KEYS = 64
RSA_BITS = range(2048, 8192 + 1)
DISCOVERY = "/.well-known/openid-configuration"
# What may sign, and by which kind of key. Nothing symmetric: a public key is no secret. Nothing unsigned.
ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "PS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
}

Get = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A public key, for one algorithm: an RSA key may be there for two."""

    kid: str | None
    algorithm: str
    key: PyJWK


KeySet = tuple[ShownKey, ...]


class ProviderKeys:
    """The keys of ``issuer``. Owned by one event loop; ``get`` fetches a URL on another thread and raises TransportError."""

    def __init__(self, issuer: str, *, get: Get | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._get = get if get is not None else fetch
        self._clock = clock
        self._keys: KeySet = ()
        self._fetched_at_s: float | None = None
        self._asked_at_s: float | None = None
        self._problem: str | None = None
        self._asking: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key for a token's header; None where the provider shows none. Raises ProviderAway where that cannot be told."""
        await self._freshen()
        found = _pick(self._keys, kid, algorithm)
        if found is None and self._may_ask(ASK_AGAIN_S):
            await self._ask()
            found = _pick(self._keys, kid, algorithm)
        if found is None and self._problem is not None:
            raise ProviderAway(self._problem)
        return found

    async def close(self) -> None:
        """Give up what is under way. Its thread ends by its own time limit."""
        asking, self._asking = self._asking, None
        if asking is not None and not asking.done():
            asking.cancel()
            await asyncio.wait([asking])

    async def _freshen(self) -> None:
        age_s = self._age_s()
        if age_s >= MOST_S:
            if self._may_ask(FIRST_AGAIN_S):
                await self._ask()
            if self._age_s() >= MOST_S:
                raise ProviderAway(self._problem or "the provider's keys are not known yet")
        elif age_s >= FRESH_S and self._may_ask(ASK_AGAIN_S):
            asking = self._ask()
            # Who comes after a quiet night waits for one answer, but not each time when there is none.
            if age_s >= OLD_S and self._problem is None:
                await asking

    def _age_s(self) -> float:
        return float("inf") if self._fetched_at_s is None else self._clock() - self._fetched_at_s

    def _may_ask(self, pause_s: float) -> bool:
        """Whether it is time, or somebody is asking already whose answer can be waited for."""
        if self._asking is not None and not self._asking.done():
            return True
        return self._asked_at_s is None or self._clock() - self._asked_at_s >= pause_s

    def _ask(self) -> asyncio.Future[None]:
        if self._asking is None or self._asking.done():
            self._asked_at_s = self._clock()
            self._asking = asyncio.get_running_loop().create_task(self._fetch())
        return asyncio.shield(self._asking)  # one caller that goes away does not take it from the others

    async def _fetch(self) -> None:
        try:
            # The sum of the two answers' limits, and what looking a name up may take, which nothing else bounds.
            async with asyncio.timeout(3 * TIMEOUT_S):
                keys = await asyncio.to_thread(fetch_keys, self._issuer, self._get)
        except TimeoutError:
            self._failed("the provider gives no answer in time")
        except TransportError as error:
            self._failed(f"the provider's keys are not to be had: {error}")
        else:
            if self._problem is not None:
                LOGGER.warning("the OpenID Connect provider answers again")
            self._keys, self._fetched_at_s, self._problem = keys, self._asked_at_s, None

    def _failed(self, problem: str) -> None:
        if self._problem is None:
            LOGGER.warning("OpenID Connect: %s", problem)
        self._problem = problem


def fetch_keys(issuer: str, get: Get) -> KeySet:
    """Discover ``issuer``'s keys. Blocks. Raises TransportError for every answer that is not to be believed."""
    said = _object(issuer, get(issuer.rstrip("/") + DISCOVERY))
    if said.get("issuer") != issuer:  # OpenID Connect Discovery 4.3: exactly
        raise TransportError(issuer, "calls itself by another issuer's name", retry=False)
    where = said.get("jwks_uri")
    if not isinstance(where, str):
        raise TransportError(issuer, "does not say where its keys are", retry=False)
    _check_way(issuer, where)
    return parse_keys(issuer, get(where))


def fetch(url: str) -> bytes:
    """What stands at ``url``. Blocks for TIMEOUT_S at most. Raises TransportError, for redirects and errors of HTTP too."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    client = WebClient(Origin.parse(f"{parts.scheme}://{parts.netloc}"), timeout_s=TIMEOUT_S, prepares=False)
    try:
        answer = client.request("GET", target, headers={"Accept": "application/json", "Connection": "close"})
    except UnicodeError as error:  # from looking up a name that none can have
        raise TransportError(client.server, "its name cannot be found", retry=False) from error
    finally:
        client.close()
    if answer.status != 200:
        raise TransportError(client.server, "answers with another status than 200", status=answer.status)
    if len(answer.body) > MAX_DOCUMENT_BYTES:
        raise TransportError(client.server, f"sends more than {MAX_DOCUMENT_BYTES} bytes")
    return answer.body


def parse_keys(server: str, body: bytes) -> KeySet:
    """The usable keys of a JWK set (RFC 7517); others are passed over. Raises TransportError where it is none."""
    shown = _object(server, body).get("keys")
    if not isinstance(shown, list) or len(shown) > MAX_KEYS:
        raise TransportError(server, "shows no set of keys, or a very large one", retry=False)
    return tuple(key for jwk in shown if isinstance(jwk, dict) for key in _usable(jwk))


def _usable(jwk: Mapping[str, Any]) -> list[ShownKey]:
    kid = jwk.get("kid")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(kid, str | None) or jwk.get("use", "sig") != "sig":
        return []
    if not isinstance(operations, list) or "verify" not in operations or "d" in jwk:  # "d": a private key, seen by everybody
        return []
    found = []
    for algorithm, (kind, curve) in ALGORITHMS.items():
        if jwk.get("kty") == kind and jwk.get("alg", algorithm) == algorithm and (curve is None or jwk.get("crv") == curve):
            key = _built(jwk, algorithm)
            if key is not None:
                found.append(ShownKey(kid, algorithm, key))
    return found


def _built(jwk: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    try:
        key = PyJWK(dict(jwk), algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):  # what it raises depends on which member is wrong
        return None
    bits = getattr(key.key, "key_size", None)
    return None if jwk["kty"] == "RSA" and bits not in RSA_BITS else key


def _pick(keys: KeySet, kid: str | None, algorithm: str) -> PyJWK | None:
    """By id; a token that names none is checked with the only key there is for its algorithm (OpenID Connect Core, 10.1)."""
    found = [shown.key for shown in keys if shown.algorithm == algorithm and (kid is None or shown.kid == kid)]
    return found[0] if found and (kid is not None or len(found) == 1) else None


def _check_way(issuer: str, url: str) -> None:
    try:
        origin = Origin.parse(url.partition("?")[0], "jwks_uri")
        trusted = origin.tls or (origin.is_loopback and not Origin.parse(issuer).tls)
    except ConfigError as error:
        raise TransportError(issuer, "names no address for its keys", retry=False) from error
    if not trusted or not url.isascii() or not url.isprintable() or " " in url:
        raise TransportError(issuer, "shows its keys without TLS, or at no proper address", retry=False)


def _object(server: str, body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise TransportError(server, "answers with something else than JSON") from error
    if not isinstance(said, dict):
        raise TransportError(server, "answers with something else than a JSON object")
    return said
