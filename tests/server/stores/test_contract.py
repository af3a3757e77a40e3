"""What `server/state.py` promises, of each store. Times are made up: no store's own clock may decide anything."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from codewrap.server.state import HostedSession, Revocation, StateStore, StateUnavailable, TokenRecord
from tests.support import racing
from tests.support.stores import Place, opened_store

DAY = 86_400.0
NOW = 1_700_000_000.123456
TOKEN = TokenRecord("jti-1", "alice", "writer", ("build-*", "ü"), NOW, NOW + DAY, "admin", "token")
SESSION = HostedSession("build", "alice", "grant-1", NOW, NOW)
STALE_S = 30.0


async def open_session(store: StateStore, session: HostedSession, most: int = 10) -> str:
    return await store.open_session(session, stale_s=STALE_S, most=most)


# -- revocations -------------------------------------------------------------------------------------------------------


def test_a_revocation_is_read_back_until_it_is_over(place: Place) -> None:
    revocation = Revocation("user:alice", NOW, NOW + DAY)

    async def use(store: StateStore) -> None:
        await store.revoke(revocation)
        assert await store.revocations(NOW + 1) == [revocation]
        assert await store.revocations(NOW + DAY) == []
        assert await store.revocations(NOW + 1) == []  # removed, not hidden

    place.play(use)


def test_the_version_grows_with_each_revocation_and_with_nothing_else(place: Place) -> None:
    async def use(store: StateStore) -> None:
        seen = [await store.version()]
        assert seen == [0]
        for number in range(3):
            await store.revoke(Revocation("user:alice", NOW + number, NOW + DAY))
            seen.append(await store.version())
        assert seen == sorted(set(seen))
        await store.revocations(NOW + 2 * DAY)
        await store.add_token(TOKEN)
        await store.count("key", 60, 1, NOW)
        assert await store.version() == seen[-1]

    place.play(use)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_revocations_of_one_subject_the_later_times_count_in_whatever_order(place: Place, order: tuple[int, int]) -> None:
    both = [Revocation("user:alice", NOW, NOW + 2 * DAY), Revocation("user:alice", NOW + 9, NOW + DAY)]

    async def use(store: StateStore) -> None:
        for index in order:
            await store.revoke(both[index])
        assert await store.revocations(NOW) == [Revocation("user:alice", NOW + 9, NOW + 2 * DAY)]

    place.play(use)


def test_two_copies_that_revoke_at_once_lose_nothing_and_who_sees_a_version_can_read_what_it_counts(place: Place) -> None:
    observations = [pair for got in racing.race(place.url, "revoke") for pair in got]
    assert [pair for pair in observations if pair[1] < pair[0]] == []  # type: ignore[index]

    async def use(store: StateStore) -> tuple[int, int]:
        return await store.version(), len(await store.revocations(100.0))

    assert place.play(use) == (2 * racing.KEYS, 2 * racing.KEYS)


def test_removing_what_is_over_does_not_take_what_was_renewed_meanwhile(place: Place) -> None:
    racing.race(place.url, "expire")

    async def use(store: StateStore) -> list[float]:
        return [revocation.until_s for revocation in await store.revocations(100.0)]

    assert place.play(use) == [500.0] * (racing.KEYS // 2)


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_tokens_are_listed_oldest_first_until_they_expire(place: Place) -> None:
    later = replace(TOKEN, token_id="jti-0", issued_at=NOW + 5, expires_at=NOW + 60, sessions=(), kind="share")

    async def use(store: StateStore) -> None:
        await store.add_token(later)
        await store.add_token(TOKEN)
        assert await store.tokens(NOW + 6) == [TOKEN, later]
        assert await store.tokens(NOW + 60) == [TOKEN]
        assert await store.tokens(NOW + 6) == [TOKEN]

    place.play(use)


# -- claims ------------------------------------------------------------------------------------------------------------


def test_a_claim_is_given_once_until_its_end(place: Place) -> None:
    async def use(store: StateStore) -> None:
        assert await store.claim("share", NOW, NOW + 60)
        assert not await store.claim("share", NOW + 59, NOW + DAY)
        assert await store.claim("other", NOW, NOW + 60)
        assert await store.claim("share", NOW + 60, NOW + DAY)
        assert not await store.claim("share", NOW + 61, NOW + DAY)

    place.play(use)


def test_two_copies_are_never_both_given_a_claim(place: Place) -> None:
    for act in ("claim", "reclaim"):  # the second time over claims that have ended
        one, two = racing.race(place.url, act)
        assert [first != second for first, second in zip(one, two, strict=True)] == [True] * racing.KEYS


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_name_is_its_hosts_while_that_is_seen(place: Place) -> None:
    bobs = HostedSession("build", "bob", "grant-2", NOW + 29, NOW + 29)

    async def use(store: StateStore) -> None:
        assert await open_session(store, SESSION) == "opened"
        assert await open_session(store, bobs) == "taken"
        assert await store.session("build", NOW + 29, stale_s=STALE_S) == SESSION
        assert await store.seen("build", "grant-1", NOW + 25)
        assert await open_session(store, replace(bobs, opened_at=NOW + 54, seen_at=NOW + 54)) == "taken"
        late = replace(bobs, opened_at=NOW + 55, seen_at=NOW + 55)
        assert await open_session(store, late) == "opened"
        assert await store.session("build", NOW + 56, stale_s=STALE_S) == late
        assert not await store.seen("build", "grant-1", NOW + 57)

    place.play(use)


def test_an_owner_takes_a_name_of_their_own_again(place: Place) -> None:
    again = replace(SESSION, grant="grant-2", opened_at=NOW + 1, seen_at=NOW + 1)

    async def use(store: StateStore) -> None:
        assert await open_session(store, SESSION, most=1) == "opened"
        assert await open_session(store, again, most=1) == "opened"
        assert not await store.seen("build", "grant-1", NOW + 2)
        assert await store.seen("build", "grant-2", NOW + 2)

    place.play(use)


def test_being_seen_never_goes_back_in_time(place: Place) -> None:
    async def use(store: StateStore) -> None:
        await open_session(store, SESSION)
        assert await store.seen("build", "grant-1", NOW + 9)
        assert await store.seen("build", "grant-1", NOW + 3)
        assert await store.session("build", NOW + 9, stale_s=STALE_S) == replace(SESSION, seen_at=NOW + 9)

    place.play(use)


def test_an_owner_has_so_many_live_sessions_and_no_more(place: Place) -> None:
    async def use(store: StateStore) -> None:
        for name in ("a", "b"):
            assert await open_session(store, replace(SESSION, name=name), most=2) == "opened"
        assert await open_session(store, replace(SESSION, name="c"), most=2) == "too_many"
        assert await open_session(store, replace(SESSION, name="c", owner="bob"), most=2) == "opened"
        assert await store.seen("a", "grant-1", NOW + 20)
        later = replace(SESSION, name="d", opened_at=NOW + 40, seen_at=NOW + 40)  # b is stale by then
        assert await open_session(store, later, most=2) == "opened"

    place.play(use)


def test_a_session_ends_by_its_own_grant_or_by_none(place: Place) -> None:
    async def use(store: StateStore) -> None:
        await open_session(store, SESSION)
        assert not await store.end_session("build", "grant-0")
        assert await store.end_session("build", "grant-1")
        assert not await store.end_session("build", None)
        assert await store.session("build", NOW, stale_s=STALE_S) is None
        await open_session(store, SESSION)
        assert await store.end_session("build", None)

    place.play(use)


def test_sessions_are_listed_by_name_and_stale_ones_go(place: Place) -> None:
    async def use(store: StateStore) -> None:
        for name in ("zeta", "alpha", "mid"):
            await open_session(store, replace(SESSION, name=name))
        assert await store.seen("mid", "grant-1", NOW + 10)
        assert [session.name for session in await store.sessions(NOW + 29, stale_s=STALE_S)] == ["alpha", "mid", "zeta"]
        assert [session.name for session in await store.sessions(NOW + 30, stale_s=STALE_S)] == ["mid"]
        assert not await store.seen("zeta", "grant-1", NOW + 31)

    place.play(use)


def test_two_users_never_both_take_a_name(place: Place) -> None:
    one, two = racing.race(place.url, "take_names")
    assert {tuple(sorted(pair)) for pair in zip(one, two, strict=True)} == {("opened", "taken")}  # type: ignore[type-var]


def test_two_copies_together_open_no_more_of_a_user_than_allowed(place: Place) -> None:
    got = [outcome for outcomes in racing.race(place.url, "take_too_many") for outcome in outcomes]
    assert (got.count("opened"), got.count("too_many")) == (racing.MOST, 2 * racing.KEYS - racing.MOST)


# -- counters ----------------------------------------------------------------------------------------------------------


def test_a_counter_ends_a_window_after_its_first_count(place: Place) -> None:
    async def use(store: StateStore) -> None:
        assert await store.counted("key", NOW) == (0, NOW)
        assert await store.count("key", 60, 1, NOW) == (1, NOW + 60)
        assert await store.count("key", 60, 5, NOW + 59) == (6, NOW + 60)
        assert await store.count("other", 10, 2, NOW) == (2, NOW + 10)
        assert await store.counted("key", NOW + 59) == (6, NOW + 60)
        assert await store.counted("key", NOW + 60) == (0, NOW + 60)
        assert await store.count("key", 60, 3, NOW + 61) == (3, NOW + 121)

    place.play(use)


def test_a_forgotten_counter_begins_anew(place: Place) -> None:
    async def use(store: StateStore) -> None:
        await store.count("key", 60, 7, NOW)
        await store.forget_count("key")
        assert await store.counted("key", NOW) == (0, NOW)
        assert await store.count("key", 60, 1, NOW + 1) == (1, NOW + 61)

    place.play(use)


def test_two_copies_lose_no_count(place: Place) -> None:
    values = [value for got in racing.race(place.url, "count") for value in got]
    assert sorted(values) == list(range(1, 2 * racing.KEYS + 1))  # type: ignore[type-var]


# -- the store as a whole ----------------------------------------------------------------------------------------------


def test_what_one_copy_did_another_reads_at_once_and_a_later_one_still(place: Place) -> None:
    async def use(store: StateStore) -> None:
        async with opened_store(place) as other:
            await store.revoke(Revocation("token:a", NOW, NOW + DAY))
            assert await other.revocations(NOW) == [Revocation("token:a", NOW, NOW + DAY)]
            assert await other.version() == await store.version()

    place.play(use)

    async def look(store: StateStore) -> list[Revocation]:
        return await store.revocations(NOW)

    assert place.play(look) == [Revocation("token:a", NOW, NOW + DAY)]


def test_it_is_shown_without_its_password(place: Place) -> None:
    async def use(store: StateStore) -> str:
        return store.where

    assert place.play(use) == place.where


def test_many_may_ask_at_once(place: Place) -> None:
    async def use(store: StateStore) -> None:
        got = await asyncio.gather(*(store.count(f"key {number % 7}", 60, 1, NOW) for number in range(140)))
        assert sorted(value for value, _ in got) == sorted(list(range(1, 21)) * 7)

    place.play(use)


def test_names_that_mean_something_to_databases_mean_nothing(place: Place) -> None:
    names = ["'; DROP TABLE codewrap_sessions; --", "%s", ":name", "*", "a b", "ü€😀", '"', "\\", ""]

    async def use(store: StateStore) -> None:
        for name in names:
            assert await open_session(store, HostedSession(name, name, f"g{name}", NOW, NOW)) == "opened"
            assert await store.count(name, 60, 1, NOW) == (1, NOW + 60)
            assert await store.claim(name, NOW, NOW + 1)
        assert {session.name for session in await store.sessions(NOW, stale_s=STALE_S)} == set(names)

    place.play(use)


def test_asking_a_closed_store_is_refused_or_opens_it_again_but_closing_twice_is_nothing(place: Place) -> None:
    async def use(store: StateStore) -> None:
        await store.version()
        await store.close()
        await store.close()
        try:
            assert await store.version() == 0
        except StateUnavailable as error:
            assert error.where == place.where

    place.play(use)


# -- outages -----------------------------------------------------------------------------------------------------------


def test_a_server_that_hangs_is_told_and_used_again_when_it_is_back(server_place: Place) -> None:
    server = server_place.server
    assert server is not None

    async def use(store: StateStore) -> None:
        await store.revoke(Revocation("token:a", NOW, NOW + DAY))
        with server.stopped():
            with pytest.raises(StateUnavailable) as caught:
                await store.version()
            answers = await asyncio.gather(*(store.claim("key", NOW, NOW + 1) for _ in range(20)), return_exceptions=True)
            assert {type(answer) for answer in answers} == {StateUnavailable}
        assert server.password not in str(caught.value)
        assert len(await store.revocations(NOW)) == 1

    server_place.play(use)


def test_a_store_opened_while_its_server_hangs_works_when_that_is_back(server_place: Place) -> None:
    server = server_place.server
    assert server is not None

    async def use(store: StateStore) -> None:
        with server.stopped(), pytest.raises(StateUnavailable):
            await store.version()
        assert await store.version() == 0

    server_place.play(use)


def test_a_store_can_be_closed_while_its_server_hangs(server_place: Place) -> None:
    server = server_place.server
    assert server is not None

    async def use(store: StateStore) -> None:
        await store.version()
        with server.stopped():
            asked = asyncio.create_task(store.version())
            await asyncio.sleep(0)
            await store.close()
            with pytest.raises(StateUnavailable):
                await asked

    server_place.play(use)


def test_a_server_that_was_killed_is_told_and_its_next_life_used_at_once(server_place: Place) -> None:
    server = server_place.server
    assert server is not None

    async def use(store: StateStore) -> None:
        await store.count("key", 60, 1, NOW)
        server.kill()
        try:
            with pytest.raises(StateUnavailable) as caught:
                await store.version()
        finally:
            server.start()
        assert server.password not in str(caught.value)
        assert await store.claim("key", NOW, NOW + 60)
        await store.revoke(Revocation("token:a", NOW, NOW + DAY))

    server_place.play(use)


def test_a_server_that_restarted_between_two_questions_is_not_noticed(server_place: Place) -> None:
    server = server_place.server
    assert server is not None

    async def use(store: StateStore) -> None:
        await asyncio.gather(*(store.version() for _ in range(8)))  # several kept connections
        server.kill()
        server.start()
        for _ in range(3):  # turns of the loop, which a server's has had: it reads there that connections have ended
            await asyncio.sleep(0)
        assert await asyncio.gather(*(store.version() for _ in range(8))) == [0] * 8

    server_place.play(use)


def test_a_wrong_password_is_told_without_it(server_place: Place) -> None:
    server = server_place.server
    assert server is not None
    wrong = replace(server_place, url=server_place.url.replace(server.password.replace("/", "%2F"), "not%2Fthis-one"))

    async def use(store: StateStore) -> str:
        with pytest.raises(StateUnavailable) as caught:
            await store.version()
        return str(caught.value) + repr(caught.value)

    said = wrong.play(use)
    assert "password" in said
    assert "this-one" not in said
