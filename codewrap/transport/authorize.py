"""What signs subscriptions: the app secret here, or `serve-auth` over HTTP."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
import urllib.parse
from collections.abc import Callable

from codewrap.errors import AuthError, RemoteProtocolError, TransportError
from codewrap.protocol import grants
from codewrap.protocol.channels import ChannelRole, parse_channel, sealed_input_channel
from codewrap.protocol.grants import Grant
from codewrap.protocol.roles import CHALLENGE
from codewrap.protocol.sealing import KEY_BYTES, shared_secret
from codewrap.transport.base import AppCredentials, Authorization
from codewrap.transport.origin import Origin
from codewrap.transport.webclient import WebClient, check_token, explain_body, refusal

AUTH_TIMEOUT_S = 8.0
_SOCKET_ID = re.compile(r"[0-9]+\.[0-9]+")
_ENCRYPTED = "private-encrypted-"
_FORM = "application/x-www-form-urlencoded"

# What the broker is told of a socket's user: an id and what others may know.
MemberOf = Callable[[str], tuple[str, dict[str, object]]]


class SecretAuthorizer:
    """Signs with the app's secret. ``member`` names the user behind a socket id, for presence channels, grants and sign-in."""

    def __init__(
        self,
        credentials: AppCredentials,
        master_key: bytes | None,
        member: MemberOf,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._master_key = master_key
        self._member = member
        self._clock = clock

    def authorize(self, channel: str, socket_id: str) -> Authorization:
        """Raises AuthError for what cannot be signed: a public channel, a strange socket id, no master key."""
        self._check(socket_id)
        if channel.startswith("presence-"):
            channel_data = self._channel_data(socket_id)
            return Authorization(self._sign(f"{socket_id}:{channel}:{channel_data}"), channel_data)
        if not channel.startswith("private-"):
            raise AuthError("this program", "only private and presence channels are signed")
        auth = self._sign(f"{socket_id}:{channel}")
        if not channel.startswith(_ENCRYPTED):
            return Authorization(auth, grant=self._grant(channel, socket_id))
        if self._master_key is None:
            raise AuthError("this program", "encrypted channels need a master key")
        return Authorization(auth, shared_secret=shared_secret(channel, self._master_key))

    def sign_in(self, socket_id: str) -> tuple[str, str] | None:
        """``(auth, user_data)``."""
        self._check(socket_id)
        user_id, info = self._member(socket_id)
        user_data = json.dumps({"id": user_id, "user_info": info})
        return self._sign(f"{socket_id}::user::{user_data}"), user_data

    def _grant(self, channel: str, socket_id: str) -> Grant | None:
        """What `serve-auth` would give to a writer. Whoever holds the secret may be anybody; this says who it is."""
        try:
            parsed = parse_channel(channel)
        except RemoteProtocolError:
            return None
        if parsed.role is not ChannelRole.INPUT or self._master_key is None:
            return None
        base_key = shared_secret(sealed_input_channel(parsed.session), self._master_key)
        return grants.make_grant(base_key, self._member(socket_id)[0], int(self._clock()) + grants.LIFE_S)

    def _channel_data(self, socket_id: str) -> str:
        user_id, info = self._member(socket_id)
        return json.dumps({"user_id": user_id, "user_info": info})

    def _sign(self, text: str) -> str:
        digest = hmac.new(self._credentials.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return f"{self._credentials.key}:{digest}"

    def _check(self, socket_id: str) -> None:
        if not _SOCKET_ID.fullmatch(socket_id):
            raise AuthError("this program", "the broker's socket id is not one")


class HttpAuthorizer:
    """Asks `serve-auth` at ``url``. ``role`` and ``name`` are what this viewer wants to be and be called.

    ``challenge`` is to be shown to the session's host (`roles.CHALLENGE`); "" for none.
    """

    def __init__(
        self, url: str, token: str, *, role: str, name: str, challenge: str = "", timeout_s: float = AUTH_TIMEOUT_S
    ) -> None:
        self._token = check_token(token)
        self._role = role
        self._name = name
        self._challenge = {CHALLENGE: challenge} if challenge else {}
        self._web = WebClient(Origin.parse(url), timeout_s=timeout_s)

    def authorize(self, channel: str, socket_id: str) -> Authorization:
        """Raises AuthError when refused, TransportError when it cannot be asked now."""
        said = self._ask("/pusher/auth", socket_id=socket_id, channel_name=channel)
        auth, channel_data, secret = said.get("auth"), said.get("channel_data"), said.get("shared_secret")
        if not isinstance(auth, str) or not isinstance(channel_data, str | None):
            raise self._nonsense()
        shared = None if secret is None else self._secret(secret)
        return Authorization(auth, channel_data, shared, self._granted(said))

    def sign_in(self, socket_id: str) -> tuple[str, str] | None:
        """``(auth, user_data)``."""
        said = self._ask("/pusher/user-auth", socket_id=socket_id)
        auth, user_data = said.get("auth"), said.get("user_data")
        if not isinstance(auth, str) or not isinstance(user_data, str):
            raise self._nonsense()
        return auth, user_data

    def close(self) -> None:
        """Release the connection. Never raises."""
        self._web.close()

    def _ask(self, path: str, **fields: str) -> dict[str, object]:
        ours = {"role": self._role, "name": self._name, "client_output": "1", **self._challenge}
        form = urllib.parse.urlencode({**fields, **ours})
        headers = {"Content-Type": _FORM, "Authorization": f"Bearer {self._token}"}
        answer = self._web.request("POST", path, form.encode("ascii"), headers)
        if answer.status != 200:
            words = explain_body(answer.body, (self._token,))
            raise refusal(self._web.server, answer.status, words, answer.headers.get("retry-after"))
        try:
            said = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise self._nonsense() from error
        if not isinstance(said, dict):
            raise self._nonsense()
        return said

    def _granted(self, said: dict[str, object]) -> Grant | None:
        key, writer, until = said.get("input_key"), said.get("writer"), said.get("input_until")
        if key is None and writer is None and until is None:
            return None
        if not isinstance(writer, str) or not grants.is_writer(writer) or type(until) is not int or until <= 0:
            raise self._nonsense()
        return Grant(self._secret(key), writer, until)

    def _secret(self, text: object) -> bytes:
        try:
            secret = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        except binascii.Error as error:
            raise self._nonsense() from error
        if len(secret) != KEY_BYTES:
            raise self._nonsense()
        return secret

    def _nonsense(self) -> TransportError:
        return TransportError(self._web.server, "answers with something else than an authorization", retry=False)
