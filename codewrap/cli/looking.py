"""The viewers behind `serve-auth`'s `/screen` and `/send`: each is one of the session's viewers, under the asker's name.

What was looked at a moment ago is still connected: who asks every second costs no more than one who stays.
"""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from codewrap.cli.connections import Access, input_interval_s, publish_once
from codewrap.cli.destination import new_challenge
from codewrap.errors import AuthError, ConfigError, NotAttached, SessionEnded, TransportError, WaitTimeout
from codewrap.protocol.grants import Grant
from codewrap.protocol.roles import Role
from codewrap.server.authorize import ChannelRequest, Signer
from codewrap.server.looking import Outcome, Place, Result, Sight, Typing
from codewrap.server.refusals import Refusal
from codewrap.transport.base import Authorization, Authorizer, Deliver, Event, Publisher, Subscriber

if TYPE_CHECKING:
    import re

    from codewrap.broker.app import HubRuntime
    from codewrap.config import Broker
    from codewrap.viewer.remote import Remote

LINGER_S: Final = 3.0
MOST_IDLE: Final = 16
# A viewer gives a host that does not answer up sooner.
JOIN_S: Final = 10.0
PUBLISH_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Way:
    """To the broker. ``publish`` blocks; raises TransportError or AuthError."""

    subscriber: Callable[[Authorizer, Deliver], Subscriber]
    publish: Callable[[Event], None]
    endpoint: str
    client_events_per_s: int | None


def way_to_broker(broker: Broker) -> Way:
    """To a configured one."""
    access = Access.to_broker(broker)
    return Way(partial(_broker_subscriber, access), partial(publish_once, access), access.ws.url, broker.client_events_per_s)


def way_to_hub(runtime: HubRuntime, make_publisher: Callable[[], Publisher]) -> Way:
    """To the server's own, without a socket. What is published is so in its event loop, as all the server's is."""
    publish = partial(_publish_to_hub, runtime, make_publisher)
    return Way(partial(_hub_subscriber, runtime), publish, "this server", runtime.limits.client_events_per_s)


def _broker_subscriber(access: Access, authorizer: Authorizer, deliver: Deliver) -> Subscriber:
    from codewrap.transport.subscribe import PysherSubscriber

    # Signed in, so that a revoked user's connections end.
    return PysherSubscriber(access.ws, authorizer, deliver, sign_in=True)


def _hub_subscriber(runtime: HubRuntime, authorizer: Authorizer, deliver: Deliver) -> Subscriber:
    from codewrap.broker.serving import LocalConnection
    from codewrap.transport.local import LocalSubscriber

    return LocalSubscriber(partial(LocalConnection, runtime), authorizer, deliver)


def _publish_to_hub(runtime: HubRuntime, make_publisher: Callable[[], Publisher], event: Event) -> None:
    if runtime.loop is None:
        raise TransportError("the hub", "is not running")
    done: Future[None] = Future()
    runtime.loop.call_soon_threadsafe(_publish, make_publisher, event, done)
    try:
        done.result(PUBLISH_S)
    except TimeoutError as error:
        raise TransportError("the hub", "did not take it in time") from error


def _publish(make_publisher: Callable[[], Publisher], event: Event, done: Future[None]) -> None:
    try:
        make_publisher().publish([event])
    except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits
        done.set_exception(error)
    else:
        done.set_result(None)


class Viewers:
    """`server.looking.Looks`, over ``way``; ``signer`` lets them in as it would the asker's own viewers."""

    def __init__(self, way: Way, signer: Signer, *, linger_s: float = LINGER_S) -> None:
        self._way = way
        self._signer = signer
        self._pool = _Pool(self._begun, linger_s)

    def check_keys(self, names: tuple[str, ...]) -> None:
        """Raises ConfigError."""
        from codewrap.viewer import keynames

        try:
            keynames.check(names)
        except keynames.UnknownKey as error:
            raise ConfigError("keys", "there is one that is no key's name", "such as C-c, M-x, Enter, Up, F5") from error

    def look(self, place: Place) -> Sight:
        """As the session's screen is now."""
        with self._pool.taken(place, shared=True) as held:
            held.remote.join(JOIN_S)
            held.joined = True
            shown, epoch, offset = held.remote.seen()
            return Sight(place.session, epoch, offset, shown)

    def type(self, place: Place, typing: Typing) -> Outcome:
        """Type, then wait. Nobody else uses the same viewer meanwhile."""
        deadline_s = time.monotonic() + typing.timeout_s
        with self._pool.taken(place, shared=False) as held:
            try:
                held.remote.join(min(JOIN_S, typing.timeout_s))
            except WaitTimeout as error:
                if typing.timeout_s >= JOIN_S:
                    raise
                return Outcome(Result.TIMED_OUT, False, "", 0, reason=error.wanted)
            held.joined = True
            outcome = _typed(held.remote, typing, deadline_s)
            held.spoiled = not outcome.typed
            return outcome

    def stop(self) -> None:
        """For good: whoever comes later is not attached either."""
        self._pool.close()

    def _begun(self, place: Place) -> Remote:
        from codewrap.viewer.conversation import Terms
        from codewrap.viewer.remote import Inbox, Remote

        challenge, inbox = new_challenge(), Inbox()
        interval_s = input_interval_s(self._way.client_events_per_s)
        terms = Terms(
            session=place.session,
            encrypted=place.encrypted,
            read_only=not place.may_type,
            endpoint=self._way.endpoint,
            challenge=challenge,
            input_interval_s=interval_s,
        )
        subscriber = self._way.subscriber(_Signing(self._signer, place, challenge), inbox.deliver)
        remote = Remote(terms, subscriber, inbox, self._way.publish)
        remote.start()
        return remote


def _typed(remote: Remote, typing: Typing, deadline_s: float) -> Outcome:
    text = typing.text.encode()
    data = (remote.as_paste(text) if typing.paste else remote.as_text(text)) + remote.as_keys(typing.keys)
    typed = False
    try:
        remote.type(data, deadline_s - time.monotonic())
        typed = True
        if typing.pattern is None:
            return _outcome(remote, Result.TYPED, typed)
        found = remote.find(typing.pattern, max(0.0, deadline_s - time.monotonic()))
    except WaitTimeout as error:
        return _outcome(remote, Result.TIMED_OUT, typed, reason=error.wanted)
    except SessionEnded as error:
        return _outcome(remote, Result.ENDED, typed, status=error.status)
    return _outcome(remote, Result.MATCHED, typed, found=found)


def _outcome(
    remote: Remote,
    result: Result,
    typed: bool,
    *,
    found: re.Match[str] | None = None,
    status: int | None = None,
    reason: str | None = None,
) -> Outcome:
    _, epoch, offset = remote.seen()
    match = None if found is None else found[0]
    groups = () if found is None else found.groups()
    return Outcome(result, typed, epoch, offset, match, groups, status, reason)


class _Signing:
    """An `Authorizer` that gives a viewer what `/pusher/auth` would give to its user's own. Any thread's."""

    def __init__(self, signer: Signer, place: Place, challenge: str) -> None:
        self._signer = signer
        self._place = place
        self._role = Role.WRITER if place.may_type else Role.VIEWER
        self._challenge = challenge

    def authorize(self, channel: str, socket_id: str) -> Authorization:
        """Raises AuthError."""
        place = self._place
        asked = ChannelRequest(socket_id, channel, self._role.value, place.name, "1", self._challenge)
        try:
            said = self._signer.channel(place.user, self._role, asked, place.expires_at)
        except Refusal as refusal:
            raise AuthError("this server", refusal.message, refusal.status) from refusal
        secret, grant = said.get("shared_secret"), None
        if "input_key" in said:
            grant = Grant(base64.b64decode(str(said["input_key"])), str(said["writer"]), int(said["input_until"]))
        data = said.get("channel_data")
        return Authorization(
            str(said["auth"]),
            None if data is None else str(data),
            None if secret is None else base64.b64decode(str(secret)),
            grant,
        )

    def sign_in(self, socket_id: str) -> tuple[str, str] | None:
        """As their user."""
        said = self._signer.user(self._place.user, socket_id)
        return said["auth"], said["user_data"]


@dataclass(slots=True, eq=False)
class _Held:
    """A viewer, how many use it, and until when it is kept when nobody does.

    ``joined``: it has shown something; ``spoiled``: it is not to be used again.
    """

    remote: Remote
    place: Place
    users: int = 0
    until_s: float = 0.0
    joined: bool = False
    spoiled: bool = False


class _Pool:
    """Viewers that are in use, or were a moment ago. Any thread's; what is over is closed by a thread of its own."""

    def __init__(self, begin: Callable[[Place], Remote], linger_s: float) -> None:
        self._begin = begin
        self._linger_s = linger_s
        self._changed = threading.Condition()
        self._held: list[_Held] = []
        self._closer: threading.Thread | None = None
        self._closed = False

    @contextlib.contextmanager
    def taken(self, place: Place, *, shared: bool) -> Iterator[_Held]:
        """One for ``place``, with others who share theirs; after an error it is not used again. Raises NotAttached."""
        held = self._take(place, shared=shared)
        try:
            yield held
        except BaseException:
            held.spoiled = True
            raise
        finally:
            self._give_back(held)

    def close(self) -> None:
        """Leave everywhere; returns when that is done."""
        with self._changed:
            self._closed = True
            held, self._held = self._held, []
            self._changed.notify_all()
        for each in held:
            each.remote.close()

    def _take(self, place: Place, *, shared: bool) -> _Held:
        with self._changed:
            if self._closed:
                raise NotAttached(place.session, "this server ends")
            found = next((held for held in self._held if self._fits(held, place, shared=shared)), None)
            if found is None:
                found = _Held(self._begin(place), place)
                self._held.append(found)
            found.users += 1
            return found

    def _fits(self, held: _Held, place: Place, *, shared: bool) -> bool:
        if held.spoiled or held.place != place or (held.users and not shared):
            return False
        return held.remote.is_live or not held.joined

    def _give_back(self, held: _Held) -> None:
        with self._changed:
            held.users -= 1
            held.until_s = time.monotonic() + self._linger_s
            idle = [each for each in self._held if not each.users]
            for each in idle[: max(0, len(idle) - MOST_IDLE)]:
                each.spoiled = True
            if self._closer is None and not self._closed:
                self._closer = threading.Thread(target=self._close_idle, name="codewrap-looks", daemon=True)
                self._closer.start()
            self._changed.notify_all()

    def _close_idle(self) -> None:
        while over := self._wait_for_over():
            for held in over:
                held.remote.close()

    def _wait_for_over(self) -> list[_Held]:
        """Those that nobody wants any more; none: there is nothing left to wait for."""
        with self._changed:
            while self._held and not self._closed:
                now_s = time.monotonic()
                over = [held for held in self._held if not held.users and (held.spoiled or held.until_s <= now_s)]
                if over:
                    self._held = [held for held in self._held if held not in over]
                    return over
                waits = [held.until_s - now_s for held in self._held if not held.users]
                self._changed.wait(min(waits, default=None))
            self._closer = None
            return []
