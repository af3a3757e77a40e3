"""One of several processes that race over one state store: `python -m tests.support.racing URL NAME ACT`.

Says `ready`, waits for a line, does everything at once, and prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from codewrap.server.state import HostedSession, Revocation, StateStore
from codewrap.server.stores.opening import open_store

ROOT = Path(__file__).resolve().parents[2]
KEYS = 40
MOST = 5


def race(url: str, act: str, names: tuple[str, ...] = ("one", "two")) -> list[list[object]]:
    """What each of the processes ``names`` got, all of them started together."""
    runners = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.racing", url, name, act],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    try:
        for runner in runners:
            assert runner.stdout is not None
            assert runner.stdout.readline() == "ready\n"
        for runner in runners:
            assert runner.stdin is not None
            runner.stdin.write("go\n")
            runner.stdin.flush()
        return [json.loads(runner.communicate(timeout=60)[0]) for runner in runners]
    finally:
        for runner in runners:
            runner.kill()
            runner.communicate()


async def claim(store: StateStore, name: str, number: int) -> object:
    return await store.claim(f"key {number}", 100.0, 200.0)


async def reclaim(store: StateStore, name: str, number: int) -> object:
    return await store.claim(f"key {number}", 300.0, 400.0)


async def take_names(store: StateStore, name: str, number: int) -> object:
    session = HostedSession(f"session-{number}", name, f"{name}-{number}", 100.0, 100.0)
    return await store.open_session(session, stale_s=30.0, most=KEYS)


async def take_too_many(store: StateStore, name: str, number: int) -> object:
    session = HostedSession(f"{name}-{number}", "alice", f"{name}-{number}", 100.0, 100.0)
    return await store.open_session(session, stale_s=30.0, most=MOST)


async def count(store: StateStore, name: str, number: int) -> object:
    return (await store.count("key", 60, 1, 100.0))[0]


async def revoke(store: StateStore, name: str, number: int) -> object:
    """The version that was seen, and how many revocations were there to read then."""
    await store.revoke(Revocation(f"token:{name}-{number}", 1.0, 1000.0))
    version = await store.version()
    return [version, len(await store.revocations(100.0))]


async def expire(store: StateStore, name: str, number: int) -> object:
    """Some remove what is over while others add: what is not over must stay."""
    if number % 2:
        return len(await store.revocations(100.0)) >= 0
    await store.revoke(Revocation(f"user:u{number}", 1.0, 50.0))
    await store.revoke(Revocation(f"user:u{number}", 2.0, 500.0))
    return True


ACTS: dict[str, Callable[[StateStore, str, int], Awaitable[object]]] = {
    function.__name__: function for function in (claim, reclaim, take_names, take_too_many, count, revoke, expire)
}


async def main(url: str, name: str, act: str) -> None:
    store = open_store(url, Path())
    try:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        # Nothing was asked before: the first answers race for making the tables, too.
        done = await asyncio.gather(*(ACTS[act](store, name, number) for number in range(KEYS)))
    finally:
        await store.close()
    print(json.dumps(done))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
