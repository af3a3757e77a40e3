from codewrap.server.state import StateUnavailable


def test_an_unavailable_store_is_told_in_one_line() -> None:
    error = StateUnavailable("redis://state.example:6379/0", "connection refused")
    assert str(error) == "the state store redis://state.example:6379/0 does not answer: connection refused"
    assert (error.where, error.reason) == ("redis://state.example:6379/0", "connection refused")
