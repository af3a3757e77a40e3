"""What is news: what was printed or drawn since, without what was there and without what we typed ourselves."""

from __future__ import annotations

import re

import pytest

from codewrap.viewer.news import TEXT_LIMIT, News, Printed


def text_of(*pieces: bytes) -> str:
    printed = Printed()
    for piece in pieces:
        printed.feed(piece)
    return printed.text


def finds(news: News, pattern: str, *rows: str) -> str | None:
    found = news.find(re.compile(pattern, re.MULTILINE), list(rows))
    return found[0] if found else None


def since(typed: str, *rows: str, prompt: str = "$ ") -> News:
    news = News()
    news.begin(list(rows), prompt, typed)
    return news


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\r\ntext", "plain\ntext"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;a title\x07and\x1b]8;;http://x\x1b\\link", "red andlink"),
        (b"10%\r20%", "10%\n20%"),
        (b"ab\x08 \x08", "a"),
        (b"\x08\x08x\n\x08y", "x\ny"),
        (b"one\x1b[5;1Htwo\x1b[6;1H\x1b[6;1Hthree", "one\ntwo\nthree"),
        (b"a\x1b[3Cb\x1b[Cc\x1b[20Gd", "a   b c d"),
        (b"bell\x07 and \x00nothing \x1b(B\x1b=\x1b[?2004h", "bell and nothing "),
        ("é\u4e2d".encode(), "é\u4e2d"),
    ],
)
def test_controls_leave_the_text_and_rows_end_lines(data: bytes, text: str) -> None:
    assert text_of(data) == text
    assert text_of(*(data[at : at + 1] for at in range(len(data)))) == text


def test_the_newest_is_kept_of_much() -> None:
    printed = Printed()
    printed.feed(b"the beginning")
    printed.feed(b"x" * TEXT_LIMIT)
    assert (len(printed.text), printed.trimmed) == (TEXT_LIMIT, True)
    printed.keep_from(TEXT_LIMIT - 1)
    assert (printed.text, printed.trimmed) == ("x", False)


def test_what_a_command_prints_is_news_and_its_echo_is_not() -> None:
    news = since("echo hello\n", "$ ")
    news.printed(b"echo hel")
    assert finds(news, "hel", "$ echo hel") is None
    news.printed(b"lo\r\n")
    assert finds(news, "hello", "$ echo hello") is None
    assert finds(news, r"hello\s", "$ echo hello") is None
    news.printed(b"hello\r\n$ ")
    assert finds(news, "hello", "$ echo hello", "hello", "$ ") == "hello"
    assert finds(news, r"^\$ $", "$ echo hello", "hello", "$ ") == "$ "


def test_an_echo_that_wraps_at_the_edge_is_an_echo() -> None:
    news = since("echo some words\n", prompt="$ ")
    news.printed(b"echo some \rwor\rds\r\n")
    assert finds(news, "some") is None
    assert finds(news, "wor") is None


def test_every_line_that_is_typed_is_echoed_behind_its_prompt() -> None:
    news = since("echo one\necho two\n")
    news.printed(b"echo one\r\none\r\n$ echo tw")
    assert finds(news, "tw") is None
    news.printed(b"o\r\n")
    assert finds(news, "two") is None
    news.printed(b"two\r\n$ ")
    assert finds(news, "two") == "two"


def test_an_echo_is_known_behind_a_prompt_that_is_printed_anew() -> None:
    news = since("ls\n")
    news.printed(b"\r\n[1]+  Done    sleep\r\n$ ls\r\n")
    assert finds(news, "ls") is None
    assert finds(news, "Done") == "Done"


def test_without_an_echo_an_answer_counts_from_its_beginning() -> None:
    news = since("secret\n", "Password: ", prompt="Password: ")
    news.printed(b"\r\nsorry: not the secret\r\n")
    assert finds(news, "secret") == "secret"


def test_what_stood_there_before_is_no_news_where_the_screen_scrolls() -> None:
    news = since("ls\n", "an error", "$ ")
    news.printed(b"ls\r\na b c\r\n$ ")
    assert finds(news, "error", "an error", "$ ls", "a b c", "$ ") is None


def test_what_is_drawn_out_of_pieces_is_found_in_the_row_and_only_where_it_changed() -> None:
    news = since("", "done: 1 of 9 files")
    news.printed(b"\x1b[1;7H3")
    assert finds(news, r"done: \d of", "done: 3 of 9 files") == "done: 3 of"
    assert finds(news, "files", "done: 3 of 9 files") is None
    assert finds(news, "done", "done: 3 of 9 files") is None


def test_a_row_that_only_lost_something_shows_nothing_new() -> None:
    news = since("", "some words here")
    assert finds(news, "words", "some words") is None


def test_typing_that_is_drawn_is_no_news() -> None:
    news = since("abc", "> ", prompt="> ")
    news.printed(b"\x1b[2J\x1b[1;1H> a\x1b[1;4Hb\x1b[1;5Hc")
    assert finds(news, "abc", "> abc") is None


def test_what_was_found_is_no_news_any_more_and_what_follows_is() -> None:
    news = since("seq 2\n")
    news.printed(b"seq 2\r\n1\r\n2\r\n$ ")
    found = news.find(re.compile("1"), [])
    assert found is not None
    news.take(found, ["$ seq 2", "1", "2", "$ "])
    assert finds(news, "1", "$ seq 2", "1", "2", "$ ") is None
    assert finds(news, "2", "$ seq 2", "1", "2", "$ ") == "2"


def test_what_was_found_on_the_screen_takes_all_that_was_printed_with_it() -> None:
    news = since("", "1 of 9")
    news.printed(b"\x1b[1;1H2")
    found = news.find(re.compile("2 of"), ["2 of 9"])
    assert found is not None
    news.take(found, ["2 of 9"])
    assert finds(news, "2", "2 of 9") is None


def test_after_a_jump_all_that_is_shown_counts_unless_it_may_have_stayed() -> None:
    for redrawn, found in ((True, "$ "), (False, None)):
        news = since("seq 99999\n", "$ ")
        news.printed(b"seq 99999\r\n1\r\n2")
        news.jumped(redrawn=redrawn)
        assert finds(news, r"^\$ $", "99999", "$ ") == found
        assert finds(news, "^1$", "99999", "$ ") is None


def test_a_new_size_makes_no_news() -> None:
    news = since("", "a long line")
    news.reflowed(["a long", "line"])
    assert finds(news, "long", "a long", "line") is None


def test_before_anything_was_typed_all_that_is_shown_is_news() -> None:
    assert finds(News(), r"\$ $", "hello", "$ ") == "$ "


@pytest.mark.parametrize("pattern", ["", "x*", "$", r"\b"])
def test_a_match_of_nothing_is_none(pattern: str) -> None:
    news = since("")
    news.printed(b"abc def\r\n")
    assert finds(news, pattern, "abc def") is None
