"""The state in Redis, for several copies. What must not be torn apart is a script, which Redis runs alone.

Times in it are those that callers gave, as text (Lua's own numbers would lose digits on the way); Redis's clock only removes
what is long over. Redis forgets what its own settings let it forget: `docs/decisions/0020-shared-state.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from codewrap.server.state import ANSWERS_WITHIN_S, HostedSession, Revocation, StateUnavailable, TokenRecord

PREFIX = "codewrap:"
CONNECTIONS = 16
SOCKET_TIMEOUT_S = 1.5
KEPT_LONGER_S = 300  # than until its end: copies' clocks differ, and so does Redis's
_CLOSES_WITHIN_S = 1.0

VERSION, REVOCATIONS, TOKENS = f"{PREFIX}version", f"{PREFIX}revocations", f"{PREFIX}tokens"
SESSIONS, SEEN = f"{PREFIX}sessions", f"{PREFIX}seen"

# Values are "UNTIL AT". The version follows the time, so that one that was lost is not reached again by another count.
_REVOKE = """
local at, till = ARGV[2], ARGV[3]
local was = redis.call('HGET', KEYS[2], ARGV[1])
if was then
  local was_till, was_at = string.match(was, '^(%S+) (%S+)$')
  if tonumber(was_till) > tonumber(till) then till = was_till end
  if tonumber(was_at) > tonumber(at) then at = was_at end
end
redis.call('HSET', KEYS[2], ARGV[1], till .. ' ' .. at)
local version = tonumber(redis.call('GET', KEYS[1]) or '0') + 1
local now = math.floor(tonumber(ARGV[2]))
if now > version then version = now end
redis.call('SET', KEYS[1], string.format('%.0f', version))
return 1
"""
# What is in a hash of "UNTIL ..." values and not over yet; the rest goes.
_LIVE = """
local live = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^%S+')) > tonumber(ARGV[1]) then
    live[#live + 1] = all[i]
    live[#live + 1] = all[i + 1]
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return live
"""
_CLAIM = """
local till = redis.call('GET', KEYS[1])
if till and tonumber(till) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
_OPEN = """
local name, owner, since, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local was = redis.call('HGET', KEYS[1], name)
if was and cjson.decode(was).owner ~= owner and tonumber(redis.call('HGET', KEYS[2], name)) > since then return 'taken' end
local all = redis.call('HGETALL', KEYS[1])
local others = 0
for i = 1, #all, 2 do
  if all[i] ~= name and cjson.decode(all[i + 1]).owner == owner and tonumber(redis.call('HGET', KEYS[2], all[i])) > since then
    others = others + 1
  end
end
if others >= most then return 'too_many' end
redis.call('HSET', KEYS[1], name, ARGV[5])
redis.call('HSET', KEYS[2], name, ARGV[6])
return 'opened'
"""
_SEE = """
local was = redis.call('HGET', KEYS[1], ARGV[1])
if not was or cjson.decode(was).grant ~= ARGV[2] then return 0 end
if tonumber(redis.call('HGET', KEYS[2], ARGV[1])) < tonumber(ARGV[3]) then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
return 1
"""
_END = """
local was = redis.call('HGET', KEYS[1], ARGV[1])
if not was or (ARGV[2] ~= '' and cjson.decode(was).grant ~= ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
"""
# Session and time, for one name or for all; with all of them, stale ones go.
_SESSION = """
return {redis.call('HGET', KEYS[1], ARGV[1]), redis.call('HGET', KEYS[2], ARGV[1])}
"""
_SESSIONS = """
local live = {}
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  if tonumber(all[i + 1]) > tonumber(ARGV[1]) then
    live[#live + 1] = redis.call('HGET', KEYS[1], all[i])
    live[#live + 1] = all[i + 1]
  else
    redis.call('HDEL', KEYS[1], all[i])
    redis.call('HDEL', KEYS[2], all[i])
  end
end
return live
"""
_COUNT = """
local was = redis.call('HMGET', KEYS[1], 'value', 'until')
if was[1] and tonumber(was[2]) > tonumber(ARGV[1]) then
  return {redis.call('HINCRBY', KEYS[1], 'value', ARGV[2]), was[2]}
end
redis.call('HSET', KEYS[1], 'value', ARGV[2], 'until', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return {tonumber(ARGV[2]), ARGV[3]}
"""

Script = Callable[[list[str], list[str]], Awaitable[Any]]


class RedisStore:
    """A `StateStore` at ``url``; ``where`` is what may be shown of it, ``hidden`` never is. Connects at first use.

    Raises ValueError or TypeError for a wrong URL.
    """

    def __init__(self, url: str, where: str, hidden: tuple[str, ...] = ()) -> None:
        self.where = where
        self._hidden = hidden
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=SOCKET_TIMEOUT_S,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # a claim that is asked for twice would be refused to whom it was given
            decode_responses=True,
            protocol=2,  # with 3, redis-py 8 takes a kept connection whose end has come for one that has a notification to read
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # connects to nothing; but an option of the URL that there is not is seen now
        self._client = Redis.from_pool(pool)
        self._revoke, self._live, self._claim = self._script(_REVOKE), self._script(_LIVE), self._script(_CLAIM)
        self._open, self._see, self._end = self._script(_OPEN), self._script(_SEE), self._script(_END)
        self._session, self._sessions = self._script(_SESSION), self._script(_SESSIONS)
        self._count = self._script(_COUNT)

    async def version(self) -> int:
        return int(await self._asked(self._client.get(VERSION)) or 0)

    async def revoke(self, revocation: Revocation) -> None:
        arguments = [revocation.subject, repr(revocation.at_s), repr(revocation.until_s)]
        await self._asked(self._revoke([VERSION, REVOCATIONS], arguments))

    async def revocations(self, now_s: float) -> list[Revocation]:
        found = []
        for subject, value in _pairs(await self._asked(self._live([REVOCATIONS], [repr(now_s)]))):
            until, at = value.split(" ")
            found.append(Revocation(subject, float(at), float(until)))
        return sorted(found, key=lambda revocation: revocation.at_s)

    async def add_token(self, record: TokenRecord) -> None:
        value = f"{record.expires_at!r} {json.dumps(asdict(record))}"
        await self._asked(self._client.hset(TOKENS, record.token_id, value))

    async def tokens(self, now_s: float) -> list[TokenRecord]:
        found = []
        for _, value in _pairs(await self._asked(self._live([TOKENS], [repr(now_s)]))):
            fields = json.loads(value.split(" ", 1)[1])
            found.append(TokenRecord(**{**fields, "sessions": tuple(fields["sessions"])}))
        return sorted(found, key=lambda record: (record.issued_at, record.token_id))

    async def claim(self, key: str, now_s: float, until_s: float) -> bool:
        arguments = [repr(now_s), repr(until_s), _kept_s(until_s - now_s)]
        return bool(await self._asked(self._claim([f"{PREFIX}claim:{key}"], arguments)))

    async def open_session(self, session: HostedSession, *, stale_s: float, most: int) -> str:
        value = json.dumps(
            {"name": session.name, "owner": session.owner, "grant": session.grant, "opened_at": repr(session.opened_at)}
        )
        since = repr(session.opened_at - stale_s)
        arguments = [session.name, session.owner, since, str(most), value, repr(session.seen_at)]
        return str(await self._asked(self._open([SESSIONS, SEEN], arguments)))

    async def seen(self, name: str, grant: str, now_s: float) -> bool:
        return bool(await self._asked(self._see([SESSIONS, SEEN], [name, grant, repr(now_s)])))

    async def end_session(self, name: str, grant: str | None) -> bool:
        return bool(await self._asked(self._end([SESSIONS, SEEN], [name, grant or ""])))

    async def session(self, name: str, now_s: float, *, stale_s: float) -> HostedSession | None:
        value, seen_at = await self._asked(self._session([SESSIONS, SEEN], [name]))
        if value is None or float(seen_at) <= now_s - stale_s:
            return None
        return _hosted(value, seen_at)

    async def sessions(self, now_s: float, *, stale_s: float) -> list[HostedSession]:
        found = await self._asked(self._sessions([SESSIONS, SEEN], [repr(now_s - stale_s)]))
        return sorted((_hosted(value, seen_at) for value, seen_at in _pairs(found)), key=lambda session: session.name)

    async def count(self, key: str, window_s: int, amount: int, now_s: float) -> tuple[int, float]:
        arguments = [repr(now_s), str(amount), repr(now_s + window_s), _kept_s(window_s)]
        value, until = await self._asked(self._count([f"{PREFIX}count:{key}"], arguments))
        return int(value), float(until)

    async def counted(self, key: str, now_s: float) -> tuple[int, float]:
        value, until = await self._asked(self._client.hmget(f"{PREFIX}count:{key}", ["value", "until"]))
        if value is None or float(until) <= now_s:
            return 0, now_s
        return int(value), float(until)

    async def forget_count(self, key: str) -> None:
        await self._asked(self._client.delete(f"{PREFIX}count:{key}"))

    async def close(self) -> None:
        with contextlib.suppress(Exception):  # whatever a connection that is gone makes of it
            async with asyncio.timeout(_CLOSES_WITHIN_S):
                await self._client.aclose(close_connection_pool=True)

    def _script(self, text: str) -> Script:
        script = self._client.register_script(text)
        return lambda keys, arguments: script(keys=keys, args=arguments)

    async def _asked(self, answer: Any) -> Any:
        """What Redis says; StateUnavailable where it does not."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                return await answer
        except TimeoutError:
            raise StateUnavailable(self.where, f"nothing came within {ANSWERS_WITHIN_S} s") from None
        except (RedisError, OSError) as error:
            raise StateUnavailable(self.where, self._reason(error)) from error

    def _reason(self, error: Exception) -> str:
        text = "".join(character if character.isprintable() else "?" for character in str(error) or type(error).__name__)
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text[:300]


def _pairs(flat: list[str]) -> list[tuple[str, str]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _hosted(value: str, seen_at: str) -> HostedSession:
    fields = json.loads(value)
    return HostedSession(fields["name"], fields["owner"], fields["grant"], float(fields["opened_at"]), float(seen_at))


def _kept_s(length_s: float) -> str:
    return str(int(max(0.0, length_s)) + KEPT_LONGER_S)
