from codewrap.server.sockets import USERS, AuthorizedSockets


def test_the_sockets_of_a_user_are_closed_and_no_others() -> None:
    closed: list[str] = []
    sockets = AuthorizedSockets(closed.append)
    for socket_id, user in [("1.1", "alice"), ("1.2", "bob"), ("1.3", "alice"), ("1.3", "bob"), ("1.1", "alice")]:
        sockets.note(socket_id, user)
    assert sockets.close_of("alice") == 2
    assert sorted(closed) == ["1.1", "1.3"]
    assert sockets.close_of("alice") == 0
    assert sockets.close_of("bob") == 1


def test_where_the_broker_is_another_one_they_are_only_forgotten() -> None:
    sockets = AuthorizedSockets()
    sockets.note("1.1", "alice")
    assert sockets.close_of("alice") == 1
    assert len(sockets) == 0


def test_what_is_kept_is_bounded() -> None:
    sockets = AuthorizedSockets(tracked=10)
    for number in range(100):
        sockets.note(f"1.{number}", "alice")
        sockets.note("2.2", f"user-{number}")
    assert len(sockets) == 10
    assert sum(sockets.close_of(f"user-{number}") for number in range(100)) == 1
    assert USERS < 100


def test_what_is_open_still_is_asked_of_the_hub_once_there_seem_to_be_too_many() -> None:
    there = {"1.1", "1.2", "1.3"}
    sockets = AuthorizedSockets(is_open=there.__contains__)
    assert sockets.exact
    for number in (1, 2, 3):
        sockets.note(f"1.{number}", "alice")
    assert sockets.open_of("alice", most=3) == 3
    there.remove("1.2")
    assert sockets.open_of("alice", most=4) == 3
    assert sockets.open_of("alice", most=3) == 2
    assert sockets.knows("1.1", "alice")
    assert not sockets.knows("1.2", "alice")
    assert not sockets.knows("1.1", "bob")
    assert sockets.open_of("bob", most=1) == 0


def test_where_the_broker_is_another_one_nobody_knows_what_is_open() -> None:
    sockets = AuthorizedSockets()
    sockets.note("1.1", "alice")
    assert not sockets.exact
    assert sockets.open_of("alice", most=1) == 1
