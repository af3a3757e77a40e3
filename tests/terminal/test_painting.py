"""Pages and pictures: colours as terminals have them, and text that stays text whatever it says."""

from __future__ import annotations

import html.parser
import xml.etree.ElementTree as ET

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.terminal.painting import BACKGROUND, FOREGROUND, Look, escaped, html_line, html_page, indexed, look, svg
from tests.support.attacks import Attack, corpus

SIZE = Size(rows=4, cols=60)
MARKUP = (
    "</pre><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]> --> &lt; &#60; &amp;",
    "\"' style=x onload='y' >",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "</title></style></text></svg><script>",
)


def screen(text: str | bytes, size: Size = SIZE) -> Screen:
    drawn = Screen(size)
    drawn.feed(text.encode() if isinstance(text, str) else text)
    return drawn


def page(text: str | bytes, title: str = "t") -> str:
    return "".join(html_page(title, SIZE.cols, (row.cells() for row in screen(text).rows())))


def picture(text: str | bytes, title: str = "t") -> str:
    drawn = screen(text)
    return "".join(svg(title, SIZE, (row.cells() for row in drawn.rows()), drawn.cursor))


class Judge(html.parser.HTMLParser):
    """What a browser would take for elements, and the text in between."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.shown: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in ("meta", "rect"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = "pre" if "pre" in self._open else self._open[-1] if self._open else ""
        self.shown[inside] = self.shown.get(inside, "") + data


PAGE_TAGS = {"html", "head", "meta", "title", "style", "body", "pre", "span"}


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_the_output_stays_text_on_a_page(text: str) -> None:
    judge = Judge(page(f"\x1b[31m{text}\x1b[m", title=text))
    assert judge.tags <= PAGE_TAGS
    assert judge.attributes <= {"lang", "charset", "http-equiv", "content", "name", "style"}
    assert judge.shown["pre"].strip() == text
    assert judge.shown["title"] == text


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_the_output_stays_text_in_a_picture(text: str) -> None:
    root = ET.fromstring(picture(f"\x1b[31m{text}\x1b[m", title=text))
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {"svg", "g", "title", "rect", "text"}
    assert "".join(each.text or "" for each in root.iter() if each.tag.endswith("}text")).replace("\xa0", " ") == text
    assert root.findtext("{*}title") == text
    assert not any(name.startswith("on") or "href" in name for each in root.iter() for name in each.attrib)


@pytest.mark.parametrize("attack", corpus(), ids=lambda attack: attack.name)
def test_attacks_on_terminals_leave_well_formed_pages_and_pictures(attack: Attack) -> None:
    source = page(attack.stream)
    assert Judge(source).tags <= PAGE_TAGS
    assert "\x1b" not in source
    ET.fromstring(picture(attack.stream))


def test_characters_that_mark_up_may_not_hold_or_that_turn_text_round_are_replaced() -> None:
    assert escaped("a\x00b\x1bc\x9bd\u202ee\u2066f\uffffg\ufffeh\ud800i\u200ej") == "a�b�c�d�e�f�g�h�i�j"
    assert escaped("<a href=\"x\" id='y'>&") == "&lt;a href=&quot;x&quot; id=&#x27;y&#x27;&gt;&amp;"


def test_a_page_lets_nothing_run_and_loads_nothing() -> None:
    source = page("x")
    assert "default-src 'none'; style-src 'unsafe-inline'" in source
    assert "<script" not in source
    assert "http://" not in source
    assert "url(" not in source


def test_styles_are_kept_on_the_page() -> None:
    line = html_line(screen("\x1b[1;4;31mA\x1b[0;7mB\x1b[0;2;3;9;38;5;208;48;2;1;2;3mC\x1b[m <d>  ").cells(0))
    assert line == (
        '<span style="color:#e06c75;font-weight:bold;text-decoration:underline">A</span>'
        f'<span style="color:{BACKGROUND};background:{FOREGROUND}">B</span>'
        '<span style="color:#ff8700;opacity:.6;font-style:italic;text-decoration:line-through;background:#010203">C</span>'
        " &lt;d&gt;"
    )


def test_blanks_with_a_background_are_drawn_and_those_without_are_not() -> None:
    assert html_line(screen("a\x1b[41m  \x1b[m   ").cells(0)) == 'a<span style="background:#e06c75">  </span>'
    assert html_line(screen("").cells(0)) == ""


def test_looks_of_every_kind_of_colour() -> None:
    assert look(";97;103") == Look("#ffffff", "#f5d08a")
    assert look(";37;40;7") == Look("#3a4150", "#c8ccd4")
    assert look("") == Look()
    assert [indexed(number) for number in (0, 15, 16, 21, 196, 231, 232, 255)] == [
        "#3a4150",
        "#ffffff",
        "#000000",
        "#0000ff",
        "#ff0000",
        "#ffffff",
        "#080808",
        "#eeeeee",
    ]


def test_wide_characters_take_two_columns_of_a_picture() -> None:
    root = ET.fromstring(picture("你x"))
    texts = [(each.attrib["x"], each.attrib["textLength"], each.text) for each in root.iter() if each.tag.endswith("}text")]
    assert texts == [("12", "18", "你"), ("30", "9", "x")]


def test_wide_characters_take_two_columns_of_a_page_whatever_their_font_says() -> None:
    wide = '<span class="w">{}</span>'.format
    assert html_line(screen("a你<好b").cells(0)) == f"a{wide('你')}&lt;{wide('好')}b"
    assert html_line(screen("\x1b[4m你").cells(0)) == f'<span style="text-decoration:underline">{wide("你")}</span>'
    assert ".w{display:inline-block;width:2ch" in page("你")


def test_a_mark_stands_on_its_character_in_a_picture() -> None:
    root = ET.fromstring(picture("xe\u0301y \u0301"))
    texts = [(each.attrib["x"], each.attrib["textLength"], each.text) for each in root.iter() if each.tag.endswith("}text")]
    assert texts == [("12", "9", "x"), ("21", "9", "e\u0301"), ("39", "9", "y"), ("57", "9", "\u0301")]


def test_blanks_of_a_picture_move_nothing_and_are_underlined_where_they_should_be() -> None:
    root = ET.fromstring(picture("  a  b \x1b[4m c \x1b[m"))
    texts = [(each.attrib["x"], each.attrib["textLength"], each.text) for each in root.iter() if each.tag.endswith("}text")]
    assert texts == [("30", "36", "a\xa0\xa0b"), ("75", "27", "\xa0c\xa0")]


def test_cursor_is_drawn_where_it_shows() -> None:
    shown, hidden = (picture(text).count('opacity=".55"') for text in ("x", "x\x1b[?25l"))
    assert (shown, hidden) == (1, 0)
