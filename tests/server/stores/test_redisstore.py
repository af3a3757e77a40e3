"""What is particular to Redis; what it shares with the others is in `test_contract.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis

from codewrap.server.state import HostedSession, Revocation, StateUnavailable, TokenRecord
from codewrap.server.stores.redisstore import PREFIX, RedisStore
from tests.support.redisserver import RedisServer

pytestmark = pytest.mark.debian
NOW = 1_700_000_000.5


def play(server: RedisServer, use: Callable[[RedisStore], Awaitable[None]]) -> None:
    async def opened() -> None:
        store = RedisStore(server.fresh(), server.where)
        try:
            await use(store)
        finally:
            await store.close()

    asyncio.run(opened())


def test_every_key_is_recognizable_as_ours_and_claims_and_counters_go_by_themselves(redis_server: RedisServer) -> None:
    async def use(store: RedisStore) -> None:
        await store.revoke(Revocation("user:a", NOW, NOW + 60))
        await store.add_token(TokenRecord("jti", "a", "viewer", (), NOW, NOW + 60, "admin", "token"))
        await store.open_session(HostedSession("build", "a", "grant", NOW, NOW), stale_s=30, most=1)
        await store.claim("share", NOW, NOW + 3600)
        await store.count("hits", 60, 1, NOW)

    play(redis_server, use)
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        keys = {key: client.ttl(key) for key in client.scan_iter()}  # type: ignore[union-attr]
    assert all(key.startswith(PREFIX) for key in keys)
    going = {key: left for key, left in keys.items() if left != -1}
    assert set(going) == {f"{PREFIX}claim:share", f"{PREFIX}count:hits"}
    assert 3600 < going[f"{PREFIX}claim:share"] < 4000  # later than it ends: clocks differ
    assert 60 < going[f"{PREFIX}count:hits"] < 400


def test_the_version_grows_also_over_the_loss_of_all_data(redis_server: RedisServer) -> None:
    async def use(store: RedisStore) -> None:
        await store.revoke(Revocation("user:a", NOW, NOW + 60))
        before = await store.version()
        redis_server.fresh()
        assert await store.version() == 0
        await store.revoke(Revocation("user:b", NOW + 2, NOW + 60))
        assert await store.version() > before

    play(redis_server, use)


def test_a_redis_that_refuses_to_write_is_told(redis_server: RedisServer) -> None:
    async def use(store: RedisStore) -> None:
        with redis.Redis.from_url(redis_server.url) as client:
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(StateUnavailable, match="maxmemory"):
                    await store.claim("share", NOW, NOW + 60)
            finally:
                client.config_set("maxmemory", 0)
        assert await store.claim("share", NOW, NOW + 60)

    play(redis_server, use)


def test_more_may_ask_at_once_than_there_are_connections(redis_server: RedisServer) -> None:
    async def use(store: RedisStore) -> None:
        assert await asyncio.gather(*(store.version() for _ in range(200))) == [0] * 200
        with redis.Redis.from_url(redis_server.url) as client:
            assert len(client.client_list()) <= 17  # type: ignore[arg-type]

    play(redis_server, use)
