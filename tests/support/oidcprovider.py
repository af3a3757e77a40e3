"""A real OpenID Connect provider (npm's `oidc-provider`) on this machine, and the ways to get tokens from it over HTTP.

Issuer, clients and accounts stay the same over `stop` and `start`, and while its keys rotate.
"""

from __future__ import annotations

import base64
import html
import http.client
import json
import re
import secrets
import subprocess
import tempfile
import urllib.parse
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.node import SOURCE, Node

AUDIENCE = "codewrap-page"  # the client's id: what ID tokens are for
RESOURCE = "https://codewrap.example.com/"  # what access tokens are for
REDIRECT = "http://127.0.0.1:9/landing"
SIGNED = ("RS256", "PS256", "ES256", "EdDSA", "HS256", "ES384")
STOP_TIMEOUT_S = 10.0
MAX_STEPS = 12
ACCOUNTS: dict[str, dict[str, Any]] = {
    "alice": {
        "name": "Alice \u202eA.",
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["dev", "staff"],
        "realm_access": {"roles": ["codewrap-admin"]},
        "machines": ["build-*", "deploy"],
    },
    "bob|x=1.2": {"preferred_username": "bob", "email": "bob@example.com", "email_verified": False, "groups": "ops"},
    "carol": {"groups": ["sales"]},
}


def key_pair(algorithm: str, kid: str) -> dict[str, Any]:
    """A new private key as a JWK, for signing with ``algorithm``."""
    made: str
    if algorithm in ("RS256", "PS256"):
        made = RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    elif algorithm == "EdDSA":
        made = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate())
    else:
        curve = ec.SECP384R1() if algorithm == "ES384" else ec.SECP256R1()
        made = ECAlgorithm.to_jwk(ec.generate_private_key(curve))
    bare = {name: value for name, value in json.loads(made).items() if name != "key_ops"}
    return bare | {"kid": kid, "use": "sig", "alg": algorithm}


def public(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """What a provider shows of ``jwk``."""
    return {name: value for name, value in jwk.items() if name not in {"d", "p", "q", "dp", "dq", "qi"}}


def key_set(generation: str) -> list[dict[str, Any]]:
    """One key for each algorithm; ``generation`` stands in their ids."""
    return [key_pair(algorithm, f"{algorithm}-{generation}") for algorithm in SIGNED if algorithm != "HS256"]


class OidcProvider:
    """One provider process. A client for each algorithm: `codewrap-page` (RS256), `codewrap-page-ES256` and so on."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._secret = secrets.token_urlsafe(32)
        self.keys = key_set("first")
        self.alg = "ES256"

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> OidcProvider:
        """Start, on the port of the last time where there was one; returns when it listens."""
        assert self._process is None
        self._process = subprocess.Popen(
            [str(self._node.binary), str(SOURCE / "oidc-provider.mjs"), str(self._node.modules)],
            env=self._node.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        clients = [self._client(algorithm) for algorithm in SIGNED] + [self._robot()]
        said = {"port": self._port, "jwks": {"keys": self.keys}, "clients": clients, "accounts": ACCOUNTS, "alg": self.alg}
        issuer = self._tell(said)["issuer"]
        self._port = int(issuer.rpartition(":")[2])
        return self

    def stop(self) -> None:
        """End it; nobody listens on its port then."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.kill()
        process.wait(STOP_TIMEOUT_S)
        process.stdin.close()
        process.stdout.close()

    def rotate(self, keys: list[dict[str, Any]]) -> None:
        """Sign with ``keys`` and show them, from now on."""
        self.keys = keys
        self._tell({"jwks": {"keys": keys}})

    def show(self, jwks: object) -> None:
        """Answer ``jwks`` (JSON, or text as it is) to whoever asks for keys; None: the real ones again."""
        self._tell({"served": jwks})

    def times_asked(self) -> int:
        """How often its keys were asked for since it started."""
        return int(json.loads(self._call("GET", "/asked")[2])["asked"])

    def access_token(self, resource: str = RESOURCE) -> str:
        """A client's own token (client credentials), as RFC 9068 has it: `typ` is at+jwt."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": "codewrap"}
        return str(self._token("robot", form)["access_token"])

    def id_token(self, account: str, algorithm: str = "RS256", *, resource: str | None = None) -> str:
        """What the provider says of ``account`` after the whole code flow, as a browser would walk it."""
        return str(self._signed_in(account, algorithm, resource)["id_token"])

    def user_access_token(self, account: str, resource: str = RESOURCE) -> str:
        """The access token that comes with an ID token."""
        return str(self._signed_in(account, "RS256", resource)["access_token"])

    def close(self) -> None:
        """Stop it and release everything."""
        self.stop()
        self._log.close()

    def __enter__(self) -> OidcProvider:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _client(self, algorithm: str) -> dict[str, Any]:
        return {
            "client_id": client_id(algorithm),
            "client_secret": self._secret,
            "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "id_token_signed_response_alg": algorithm,
        }

    def _robot(self) -> dict[str, Any]:
        return {
            "client_id": "robot",
            "client_secret": self._secret,
            "redirect_uris": [],
            "response_types": [],
            "grant_types": ["client_credentials"],
        }

    def _signed_in(self, account: str, algorithm: str, resource: str | None) -> dict[str, Any]:
        client = client_id(algorithm)
        asked = {"client_id": client, "response_type": "code", "redirect_uri": REDIRECT, "scope": "openid", "nonce": "n"}
        wanted = {} if resource is None else {"resource": resource}
        code = _Browser(self._call).walk(f"/auth?{urllib.parse.urlencode(asked | wanted)}", account)
        return self._token(client, {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT} | wanted)

    def _token(self, client: str, form: Mapping[str, str]) -> dict[str, Any]:
        pair = base64.b64encode(f"{client}:{self._secret}".encode()).decode()
        status, _, body = self._call("POST", "/token", form, {"Authorization": f"Basic {pair}"})
        assert status == 200, body
        said = json.loads(body)
        assert isinstance(said, dict)
        return said

    def _call(
        self, method: str, path: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            body = None if form is None else urllib.parse.urlencode(form)
            kind = {} if form is None else {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request(method, path, body, {**kind, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def _tell(self, said: Mapping[str, object]) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(said) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            self._log.seek(0)
            raise RuntimeError(f"the provider ended: {self._log.read().decode(errors='replace')[-800:]}")
        heard = json.loads(answer)
        assert isinstance(heard, dict)
        return heard


def client_id(algorithm: str) -> str:
    """The client whose ID tokens are signed with ``algorithm``."""
    return AUDIENCE if algorithm == "RS256" else f"{AUDIENCE}-{algorithm}"


class _Browser:
    """Follows redirects, keeps cookies and fills in the provider's forms."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._cookies: dict[str, str] = {}

    def walk(self, path: str, account: str) -> str:
        """The code that stands in the address it lands on."""
        method, form = "GET", None
        for _ in range(MAX_STEPS):
            cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            status, headers, body = self._call(method, path, form, {"Cookie": cookie})
            for line in headers.get_all("set-cookie", []):
                name, _, rest = line.partition("=")
                self._cookies[name] = rest.partition(";")[0]
            if status in (302, 303):
                there = urllib.parse.urlsplit(headers["location"])
                if headers["location"].startswith(REDIRECT):
                    return urllib.parse.parse_qs(there.query)["code"][0]
                method, form, path = "GET", None, f"{there.path}?{there.query}"
            else:
                assert status == 200, body
                action = re.search(r'<form[^>]* action="([^"]+)"', body)
                prompt = re.search(r'name="prompt" value="([^"]+)"', body)
                assert action and prompt, body
                path = urllib.parse.urlsplit(html.unescape(action[1])).path
                method, form = "POST", {"prompt": prompt[1], "login": account, "password": "any"}
        raise AssertionError(f"no code after {MAX_STEPS} steps; the last was {path}")
