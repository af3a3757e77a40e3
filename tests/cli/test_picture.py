"""QR codes on terminals, read by a program that reads them from pictures."""

from __future__ import annotations

import pytest
import zxingcpp

from codewrap.cli.picture import qr_lines

LINK = "https://codewrap.example.com:8443/s/build-1#" + "eyJhbGciOiJIUzI1NiIs" * 16
INK = "\x1b[38;5;16;48;5;231m"
HALVES = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
SCALE = 4  # pixels of a module


def seen(lines: list[str], *, dark_blocks: bool) -> str:
    """The text that a camera finds in these lines: ``dark_blocks`` are ink, else light."""
    rows: list[bytes] = []
    for line in lines:
        for half in (0, 1):
            row = bytes(0 if bool(HALVES[c][half]) == dark_blocks else 255 for c in line for _ in range(SCALE))
            rows += [row] * SCALE
    image = memoryview(b"".join(rows)).cast("B", (len(rows), len(rows[0])))
    found = zxingcpp.read_barcodes(image, zxingcpp.BarcodeFormat.QRCode, try_invert=False)
    assert len(found) == 1
    return str(found[0].text)


@pytest.mark.parametrize("columns", [73, 74, 80, 200])
def test_it_is_read_as_it_is_drawn_in_colours(columns: int) -> None:
    lines = qr_lines(LINK, columns, coloured=True)
    assert lines is not None
    assert all(line.startswith(INK) and line.endswith("\x1b[0m") for line in lines)
    bare = [line.removeprefix(INK).removesuffix("\x1b[0m") for line in lines]
    assert {len(line) for line in bare} <= set(range(columns + 1))
    assert seen(bare, dark_blocks=True) == LINK


def test_without_colours_light_is_what_is_drawn() -> None:
    lines = qr_lines(LINK, 80, coloured=False)
    assert lines is not None
    assert seen(lines, dark_blocks=False) == LINK
    assert "\x1b" not in "".join(lines)


def test_a_link_of_a_long_name_fits_into_80_columns() -> None:
    longest = f"https://codewrap.example.com/s/{'a' * 48}#{'e' * 400}"
    lines = qr_lines(longest, 80, coloured=False)
    assert lines is not None
    assert seen(lines, dark_blocks=False) == longest


def test_what_does_not_fit_is_not_drawn() -> None:
    assert qr_lines(LINK, 40, coloured=True) is None
