"""Ids of a provider's users: one for each subject, always an id, never somebody else's."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.protocol.roles import is_user
from codewrap.server.userids import PREFIX, is_reserved, of_subject, subject_of

# Mostly of what an id has and what escapes are made of: that is where two subjects could meet.
CLOSE = st.text(st.sampled_from("aA0_@,;-=.|F7C"), max_size=14)
SUBJECTS = st.one_of(st.text(max_size=24), CLOSE)


def tried(subject: str) -> str | None:
    try:
        return of_subject(subject)
    except ValueError:
        return None


@given(SUBJECTS, SUBJECTS)
@example("a=2E", "a.")
@example("=", "=3D")
def test_two_subjects_never_share_an_id(one: str, other: str) -> None:
    ids = tried(one), tried(other)
    if one != other and None not in ids:
        assert ids[0] != ids[1]


@given(st.text())
def test_whatever_the_subject_its_id_is_a_users_id_or_refused(subject: str) -> None:
    user = tried(subject)
    assert user is None or (is_user(user) and is_reserved(user))


@given(SUBJECTS)
def test_subject_can_be_read_from_its_id(subject: str) -> None:
    user = tried(subject)
    if user is not None:
        assert subject_of(user) == subject


@given(st.text(st.sampled_from("aF=09C3@.")))
@example("=c3=A4")
@example("=FF")
@example("=41")
def test_id_that_no_subject_has_is_nobodys(rest: str) -> None:
    subject = subject_of(PREFIX + rest)
    assert subject is None or of_subject(subject) == PREFIX + rest


@pytest.mark.parametrize(
    ("subject", "user"),
    [
        ("alice", "sso@alice"),
        ("auth0|5f7c8ec7", "sso@auth0=7C5f7c8ec7"),
        ("alice@example.com", "sso@alice@example=2Ecom"),
        ("a=b", "sso@a=3Db"),
        ("ä", "sso@=C3=A4"),
        ("x" * 60, "sso@" + "x" * 60),
    ],
)
def test_id_is_readable_where_it_can_be(subject: str, user: str) -> None:
    assert of_subject(subject) == user


@pytest.mark.parametrize("subject", ["", "x" * 61, "." * 21, "\ud800"])
def test_what_does_not_fit_is_refused_and_not_cut(subject: str) -> None:
    with pytest.raises(ValueError, match=r"empty|long|Unicode"):
        of_subject(subject)


@pytest.mark.parametrize("user", ["alice", "admin", "ssoalice", "oidc@alice"])
def test_other_users_are_not_the_providers(user: str) -> None:
    assert subject_of(user) is None
    assert not is_reserved(user)


def test_name_space_is_reserved_in_any_case() -> None:
    assert is_reserved("SSO@alice")
    assert subject_of("SSO@alice") is None
