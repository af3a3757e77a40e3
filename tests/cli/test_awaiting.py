"""Waiting for a state and for a text: what counts, and what is said where it does not come to that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from codewrap.cli.awaiting import activity_now, wait_for_match, wait_for_state
from codewrap.errors import EXIT_FAILED, EXIT_LOST, ConfigError
from codewrap.store.activity import Activity, write_activity
from codewrap.store.archive import Fate, Kept, State
from tests.support.kept import lost, of_this_process

HELLO = b"hello\r\n"


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A session that runs, and has said hello."""
    return lost(tmp_path, "build", output=HELLO, **of_this_process())


def says(kept: Kept, state: str, offset: int = len(HELLO)) -> None:
    write_activity(kept.directory, Activity(state, 1.0, offset=offset))


def prints(kept: Kept, data: bytes) -> None:
    with (kept.directory / "output").open("ab") as output:
        output.write(data)


class Running:
    """Runs until the test says otherwise; before each look something may happen."""

    def __init__(self, *happens: Callable[[], object], state: State | None = None) -> None:
        self.happens = list(happens)
        self.state = state

    def __call__(self, _: Kept, deadline_s: float | None) -> State | None:
        assert deadline_s is not None  # never for ever
        if self.happens:
            self.happens.pop(0)()
            return None
        if self.state is None:
            threading.Event().wait(max(0.0, deadline_s - time.monotonic()))
        return self.state


ENDED = State(Fate.ENDED, code=0)


def test_state_that_is_so_is_not_waited_for(kept: Kept) -> None:
    says(kept, "idle")
    assert wait_for_state(kept, None, state="idle", over=Running(state=ENDED)) == 0


def test_state_counts_only_of_all_that_was_written(kept: Kept) -> None:
    says(kept, "idle")
    prints(kept, b"more")
    assert activity_now(kept.directory) is None
    looks = Running(lambda: says(kept, "working", 11), lambda: says(kept, "awaiting input", 11))
    assert wait_for_state(kept, None, state="awaiting input", over=looks) == 0
    assert looks.happens == []


def test_nothing_said_is_waited_for_until_the_deadline(kept: Kept) -> None:
    assert wait_for_state(kept, time.monotonic() + 0.3, state="idle", over=Running()) is None
    says(kept, "working")
    assert wait_for_state(kept, time.monotonic() - 1.0, state="idle", over=Running()) is None


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [(ENDED, EXIT_FAILED, "session build has ended, and"), (State(Fate.LOST), EXIT_LOST, "session build is lost, and")],
)
def test_session_that_is_over_comes_to_nothing_more(
    kept: Kept, capsys: pytest.CaptureFixture[str], state: State, status: int, words: str
) -> None:
    assert wait_for_state(kept, None, state="idle", over=Running(state=state)) == status
    assert words in capsys.readouterr().err


def test_of_pipes_no_state_is_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without a terminal"):
        wait_for_state(lost(tmp_path, "build", pty=False), None, state="idle", over=Running())


@pytest.mark.parametrize("pattern", ["hello", "^he", "l+o$"])
def test_text_that_stands_there_already_is_found(kept: Kept, pattern: str) -> None:
    assert wait_for_match(kept, None, pattern=pattern, over=Running(state=ENDED)) == 0


def test_text_that_comes_in_pieces_and_colours_is_found(kept: Kept) -> None:
    looks = Running(lambda: prints(kept, b"Listening \x1b[3"), lambda: prints(kept, b"1mon\x1b[m port 80"))
    assert wait_for_match(kept, None, pattern=r"Listening on port \d+", over=looks) == 0


def test_what_was_printed_long_ago_does_not_count(tmp_path: Path) -> None:
    kept = lost(tmp_path, "build", output=HELLO + b"line\r\n" * 100, **of_this_process())
    assert wait_for_match(kept, time.monotonic() + 0.3, pattern="hello", over=Running()) is None
    assert wait_for_match(kept, None, pattern="hello", over=Running(lambda: prints(kept, HELLO))) == 0


def test_last_words_of_a_session_count(kept: Kept) -> None:
    assert wait_for_match(kept, None, pattern="bye", over=Running(lambda: prints(kept, b"bye"), state=ENDED)) == 0
    assert wait_for_match(kept, None, pattern="never", over=Running(state=ENDED)) == EXIT_FAILED


def test_pattern_that_is_none_is_refused(kept: Kept) -> None:
    with pytest.raises(ConfigError, match="no regular expression"):
        wait_for_match(kept, None, pattern="(", over=Running())
