"""What counts as a link, where it leads, and what is said of one that is none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from codewrap.cli import links
from codewrap.cli.links import Link
from codewrap.errors import ConfigError
from tests.support.inplace import standard_streams


@contextmanager
def standard_input(said: bytes) -> Iterator[None]:
    """``said`` is all that stdin has."""
    with tempfile.TemporaryFile() as file:
        file.write(said)
        file.flush()
        file.seek(0)
        with standard_streams(file.fileno(), 1, 2):
            yield


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://c.example/s/build#t", Link("https://c.example", "c.example", "build", "t")),
        ("https://c.example:8443/under/it/s/build/#t", Link("https://c.example:8443/under/it", "c.example:8443", "build", "t")),
        ("https://c.example/s/s/s/fix-1#t.t-_", Link("https://c.example/s/s", "c.example", "fix-1", "t.t-_")),
        ("http://127.0.0.1:80/s/a#t", Link("http://127.0.0.1:80", "127.0.0.1:80", "a", "t")),
        ("http://localhost/s/a#t", Link("http://localhost", "localhost", "a", "t")),
        ("https://[2001:db8::1]:1/s/a#t", Link("https://[2001:db8::1]:1", "[2001:db8::1]:1", "a", "t")),
        ("https://cödewrap.example/s/a#t", Link("https://xn--cdewrap-90a.example", "xn--cdewrap-90a.example", "a", "t")),
    ],
)
def test_a_link_says_where_it_leads(text: str, expected: Link) -> None:
    assert links.is_link(text)
    assert links.read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://c.example#t",
        "https://c.example/build#t",
        "https://c.example/s/#t",
        "https://c.example/s/UPPER#t",
        "https://c.example/s/a/b#t",
        "https://c.example/s/private-a#t",
        "https://c.example/s/a?x=1#t",
        "https://me:pw@c.example/s/a#t",
        "https://c.example:99999/s/a#t",
        "https://\xad.example/s/a#t",
        "https:///s/a#t",
        "ssh://c.example/s/a#t",
        "https://c.example/s/a\x1b[2J#t",
        "https://c.example/s/a#hush hush",
        "https://c.example/s/a#hush\x1b[2J",
        "https://c.example/s/a#fd=0",
        "http://c.example/s/a#hush",
    ],
)
def test_what_is_no_link_is_refused_without_its_token(text: str) -> None:
    with pytest.raises(ConfigError) as failed:
        links.read(text)
    assert str(failed.value).startswith("URL: ")
    assert "hush" not in str(failed.value)


def test_http_to_another_machine_is_for_who_asks_for_it() -> None:
    assert links.read("http://c.example/s/a#t", plain=True).base == "http://c.example"


@pytest.mark.parametrize("name", ["build", "a-b", "build#t", "c.example/s/a"])
def test_a_name_is_no_link(name: str) -> None:
    assert not links.is_link(name)


def test_a_link_can_be_made_again_and_does_not_show_its_token_by_accident() -> None:
    link = links.read("https://c.example/x/s/build#hush")
    assert link.url == "https://c.example/x/s/build#hush"
    assert "hush" not in repr(link)


def test_a_dash_is_the_first_line_of_stdin_and_leaves_the_rest() -> None:
    assert links.is_link("-")
    with standard_input(b"https://c.example/s/build#t\r\nmake\n"):
        assert links.read("-") == Link("https://c.example", "c.example", "build", "t")
        assert os.read(0, 100) == b"make\n"


@pytest.mark.parametrize("said", [b"", b"\n", b"https://c.example/s/build\n", b"a" * 100_000])
def test_without_a_link_or_a_token_on_stdin_nobody_waits(said: bytes) -> None:
    with standard_input(said), pytest.raises(ConfigError):
        links.read("-")


def test_link_to_answer_a_prompt_is_another() -> None:
    assert links.read_answer("https://c.example/under/it/a/build#t") == Link(
        "https://c.example/under/it", "c.example", "build", "t"
    )
    for read, wrong in ((links.read, "https://c.example/a/build#t"), (links.read_answer, "https://c.example/s/build#t")):
        with pytest.raises(ConfigError, match="is not a link"):
            read(wrong)
