"""Who may type: the table, and what no sequence of events can bring about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from codewrap.protocol import admission, grants
from codewrap.protocol.admission import (
    DENIED_S,
    KEY_LIFE_S,
    MAX_REQUESTS,
    MAX_USERS,
    REQUEST_S,
    Admission,
    Decision,
    Request,
    Share,
)

NOW = 1_800_000_000.0


def decided(door: Admission, user: str = "bob", now_s: float = NOW) -> tuple[Decision, str]:
    verdict = door.verdict(user, "123456", now_s)
    return verdict.decision, verdict.reason


@pytest.mark.parametrize(
    ("share", "user", "expected"),
    [
        (Share.VIEW, "bob", (Decision.REFUSED, "view")),
        (Share.VIEW, "anna", (Decision.REFUSED, "view")),
        (Share.WRITE, "bob", (Decision.WRITTEN, "")),
        (Share.WRITE, "anna", (Decision.WRITTEN, "")),
        (Share.ASK, "bob", (Decision.ASKED, "asked")),
        (Share.ASK, "anna", (Decision.WRITTEN, "")),
    ],
)
def test_who_nothing_was_said_of_is_taken_by_the_rule(share: Share, user: str, expected: tuple[Decision, str]) -> None:
    assert decided(Admission(share, "anna"), user) == expected


def test_the_first_frame_makes_a_request_and_the_next_ones_none() -> None:
    door = Admission(Share.ASK, "anna")
    assert door.verdict("bob", "111111", NOW).new
    assert not door.verdict("bob", "222222", NOW + 5).new
    assert door.requests(NOW + 5) == [Request("bob", "111111", NOW)]


def test_to_look_whether_somebody_may_type_is_not_to_ask() -> None:
    door = Admission(Share.ASK, "anna")
    assert (door.admits("anna", NOW), door.admits("bob", NOW)) == (True, False)
    assert door.requests(NOW) == []
    door.approve("bob", NOW)
    assert door.admits("bob", NOW)


def test_who_is_approved_may_type_until_told_otherwise() -> None:
    door = Admission(Share.ASK, "anna")
    decided(door)
    assert door.approve("bob", NOW)
    assert decided(door, now_s=NOW + 1e6) == (Decision.WRITTEN, "")
    assert door.requests(NOW) == []
    door.deny("bob", NOW + 1e6)
    assert decided(door, now_s=NOW + 1e6) == (Decision.REFUSED, "denied")


def test_who_is_denied_may_ask_again_after_a_minute() -> None:
    door = Admission(Share.ASK, "anna")
    door.deny("bob", NOW)
    assert decided(door, now_s=NOW + DENIED_S - 1) == (Decision.REFUSED, "denied")
    assert door.verdict("bob", "1", NOW + DENIED_S).new


def test_where_nobody_has_to_ask_a_denial_stays() -> None:
    door = Admission(Share.WRITE, "anna")
    door.deny("bob", NOW)
    assert decided(door, now_s=NOW + 1e6) == (Decision.REFUSED, "denied")
    door.approve("bob", NOW)
    assert decided(door) == (Decision.WRITTEN, "")


def test_a_request_fades() -> None:
    door = Admission(Share.ASK, "anna")
    decided(door)
    decided(door, now_s=NOW + REQUEST_S - 1)  # asking on does not keep it
    assert door.due_s(NOW) == NOW + REQUEST_S
    assert door.requests(NOW + REQUEST_S) == []
    assert door.due_s(NOW + REQUEST_S) is None
    assert door.verdict("bob", "1", NOW + REQUEST_S).new


def test_what_is_revoked_stays_so_as_long_as_an_old_key_may_open_anything() -> None:
    door = Admission(Share.WRITE, "anna")
    door.revoke("bob", NOW - 100, NOW)
    assert decided(door, now_s=NOW - 100 + KEY_LIFE_S - 1) == (Decision.REFUSED, "revoked")
    assert decided(door, now_s=NOW - 100 + KEY_LIFE_S) == (Decision.WRITTEN, "")


def test_a_later_word_of_an_earlier_revocation_does_not_shorten_it() -> None:
    door = Admission(Share.WRITE, "anna")
    door.revoke("bob", NOW, NOW)
    door.revoke("bob", NOW - 500, NOW)
    assert decided(door, now_s=NOW + KEY_LIFE_S - 1) == (Decision.REFUSED, "revoked")


def test_an_approval_ends_with_what_was_revoked_however_late_that_is_heard() -> None:
    door = Admission(Share.ASK, "anna")
    door.approve("bob", NOW)
    door.revoke("bob", NOW - 2 * KEY_LIFE_S, NOW)
    assert decided(door) == (Decision.ASKED, "asked")


def test_a_revocation_of_the_future_is_one_of_now() -> None:
    door = Admission(Share.WRITE, "anna")
    door.revoke("bob", NOW + 1e9, NOW)
    assert decided(door, now_s=NOW + KEY_LIFE_S) == (Decision.WRITTEN, "")


def test_who_runs_the_session_can_be_revoked_too() -> None:
    door = Admission(Share.ASK, "anna")
    door.revoke("anna", NOW, NOW)
    assert decided(door, "anna") == (Decision.REFUSED, "revoked")


def test_a_denial_does_not_shorten_a_revocation() -> None:
    door = Admission(Share.ASK, "anna")
    door.revoke("bob", NOW, NOW)
    door.deny("bob", NOW)
    assert decided(door, now_s=NOW + DENIED_S) == (Decision.REFUSED, "revoked")


def test_nobody_is_approved_where_nobody_may_type() -> None:
    door = Admission(Share.VIEW, "anna")
    assert not door.approve("bob", NOW)
    assert decided(door) == (Decision.REFUSED, "view")


def test_a_crowd_is_turned_away_and_counted() -> None:
    door = Admission(Share.ASK, "anna")
    for number in range(5000):
        decided(door, f"user{number}")
        decided(door, f"user{number}")
    assert [request.user for request in door.requests(NOW)] == [f"user{number}" for number in range(MAX_REQUESTS)]
    assert decided(door, "user4000") == (Decision.REFUSED, "crowded")
    assert door.turned_away(NOW) == MAX_USERS
    assert door.turned_away(NOW + REQUEST_S) == 0


@pytest.mark.parametrize(("share", "admitted"), [(Share.VIEW, False), (Share.WRITE, True), (Share.ASK, True)])
def test_this_account_on_this_machine_asks_nobody_but_where_nobody_may_type(share: Share, admitted: bool) -> None:
    door = Admission(share)
    assert door.admits(admission.HERE, NOW) == admitted
    assert (door.verdict(admission.HERE, "", NOW).decision is Decision.WRITTEN) == admitted


def test_a_revoked_user_is_not_forgotten_into_typing() -> None:
    door = Admission(Share.WRITE, "anna")
    for number in range(MAX_USERS + 1):
        door.revoke(f"user{number}", NOW, NOW)
    assert decided(door, "user0") == (Decision.REFUSED, "revoked")
    assert decided(door, "user0", NOW + KEY_LIFE_S) == (Decision.WRITTEN, "")


def test_many_denials_forget_no_approval() -> None:
    door = Admission(Share.ASK, "anna")
    door.approve("bob", NOW)
    for number in range(2 * MAX_USERS):
        door.deny(f"user{number}", NOW)
    assert decided(door) == (Decision.WRITTEN, "")


def test_a_revocation_holds_as_long_as_a_grant_may() -> None:
    assert KEY_LIFE_S == grants.LIFE_S + grants.LEEWAY_S


USERS = st.sampled_from([f"user{number}" for number in range(3)])


class Doors(RuleBasedStateMachine):
    """Beside it, a record of what was said last of whom."""

    def __init__(self) -> None:
        super().__init__()
        self.share = Share.ASK
        self.door = Admission(self.share, "user0")
        self.now_s = NOW
        self.approved: set[str] = set()
        self.shut: dict[str, float] = {}

    @rule(for_s=st.sampled_from([0.1, 30.0, 61.0, 301.0, 1000.0]))
    def time_passes(self, for_s: float) -> None:
        self.now_s += for_s

    @rule(user=USERS)
    def types(self, user: str) -> None:
        verdict = self.door.verdict(user, "1", self.now_s)
        assert (verdict.reason == "") == (verdict.decision is Decision.WRITTEN)
        if self.now_s < self.shut.get(user, 0):
            assert verdict.decision is Decision.REFUSED
        elif user in self.approved:
            assert verdict.decision is Decision.WRITTEN
        if verdict.decision is Decision.WRITTEN:
            assert user in self.approved or user == "user0"
        if verdict.decision is Decision.ASKED:
            assert user in {request.user for request in self.door.requests(self.now_s)}

    @rule(user=USERS)
    def approves(self, user: str) -> None:
        self.door.approve(user, self.now_s)
        self.approved.add(user)
        self.shut.pop(user, None)

    @rule(user=USERS)
    def denies(self, user: str) -> None:
        self.door.deny(user, self.now_s)
        self.approved.discard(user)
        self.shut[user] = max(self.shut.get(user, 0), self.now_s + DENIED_S)

    @rule(user=USERS, ago_s=st.sampled_from([0.0, 100.0, 2000.0]))
    def revokes(self, user: str, ago_s: float) -> None:
        self.door.revoke(user, self.now_s - ago_s, self.now_s)
        self.approved.discard(user)
        self.shut[user] = max(self.shut.get(user, 0), self.now_s - ago_s + KEY_LIFE_S)

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.door.requests(self.now_s)) <= admission.MAX_REQUESTS
        assert self.door.turned_away(self.now_s) <= MAX_USERS


TestDoors = Doors.TestCase


@given(
    st.lists(
        st.tuples(st.sampled_from(["type", "approve", "deny", "revoke"]), st.integers(0, 3000), st.integers(0, 400)), max_size=200
    ),
    st.sampled_from(Share),
)
def test_nothing_grows_beyond_its_bounds(events: list[tuple[str, int, int]], share: Share) -> None:
    door, now_s = Admission(share, "u0"), NOW
    for what, first, later_s in events:
        now_s += later_s
        for number in range(first, first + 40):
            match what:
                case "type":
                    assert share is not Share.VIEW or door.verdict(f"u{number}", "1", now_s).reason == "view"
                    door.verdict(f"u{number}", "1", now_s)
                case "approve":
                    door.approve(f"u{number}", now_s)
                case "deny":
                    door.deny(f"u{number}", now_s)
                case _:
                    door.revoke(f"u{number}", now_s, now_s)
    assert len(door.requests(now_s)) <= MAX_REQUESTS
    assert door.turned_away(now_s) <= MAX_USERS
    assert len(door._entries) <= MAX_USERS
