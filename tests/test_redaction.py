"""No secret passes into a log, however it gets into the record."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from codewrap.redaction import HIDDEN, RedactingFilter, redact_all

SECRET = "correct horse battery staple"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter([SECRET, "short"]))
    logger = logging.Logger("redaction")
    logger.addHandler(handler)
    yield logger, stream
    handler.close()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"the token is {SECRET}.", SECRET),
        (f"got {JWT} from there", JWT),
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ("GET /apps/1/events?auth_key=k&auth_signature=0123456789abcdef0123", "0123456789abcdef0123"),
        ("postgresql://codewrap:hunter22@db.example/state does not answer", "hunter22"),
    ],
)
def test_a_secret_does_not_pass(log: tuple[logging.Logger, io.StringIO], text: str, secret: str) -> None:
    logger, stream = log
    logger.error(text)
    logger.error("%s", text)
    logger.error("%s and %r", 1, {"x": [text]})
    written = stream.getvalue()
    assert secret not in written
    assert written.count(HIDDEN) == 3


def test_neither_in_a_traceback_nor_in_the_stack(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise RuntimeError(f"failed with {SECRET}")
    except RuntimeError:
        logger.exception("it failed", stack_info=True)
    assert SECRET not in stream.getvalue()
    assert "RuntimeError: failed with" in stream.getvalue()
    assert "Stack (most recent call last)" in stream.getvalue()


def test_other_words_pass_as_they_are(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.error("a short word, http://127.0.0.1:8080/app/key and user@example.com")
    assert stream.getvalue() == "a short word, http://127.0.0.1:8080/app/key and user@example.com\n"


def test_a_record_whose_arguments_do_not_fit_is_still_written_and_still_clean(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.error("%d", SECRET)
    assert SECRET not in stream.getvalue()
    assert "%d" in stream.getvalue()


def test_every_handler_of_the_root_logger_gets_it() -> None:
    root = logging.getLogger()
    handler = logging.StreamHandler(io.StringIO())
    root.addHandler(handler)
    try:
        found = redact_all([SECRET])
        assert found in handler.filters
    finally:
        for each in root.handlers:
            each.removeFilter(found)
        root.removeHandler(handler)
