"""A QR code as a terminal shows it: two rows of modules in each line, by half blocks."""

from __future__ import annotations

from collections.abc import Sequence

QUIET_ZONE = 4  # modules of light around it that readers may ask for (ISO/IEC 18004); most get by with one
# Black on bright white, whatever the terminal's own colours are; and how a light module looks where there are none.
_INK, _PLAIN = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def qr_lines(text: str, columns: int, *, coloured: bool) -> list[str] | None:
    """The lines of it; None where it does not fit into ``columns``. Without colours the terminal's ground is taken for dark."""
    import segno

    matrix = [[bool(module) for module in row] for row in segno.make(text, error="l", micro=False).matrix]
    border = min(QUIET_ZONE, (columns - len(matrix)) // 2)
    if border < 1:
        return None
    return [f"{_INK}{line}{_PLAIN}" if coloured else line for line in _lines(_framed(matrix, border), ink=coloured)]


def _framed(matrix: Sequence[Sequence[bool]], border: int) -> list[list[bool]]:
    side, across = [False] * border, [False] * (len(matrix) + 2 * border)
    return [across] * border + [[*side, *row, *side] for row in matrix] + [across] * border


def _lines(rows: list[list[bool]], *, ink: bool) -> list[str]:
    """``ink``: what is drawn are the dark modules; else the light ones."""
    width = len(rows[0])
    rows = rows + [[False] * width] * (len(rows) % 2)
    return [
        "".join(_HALVES[(upper == ink, lower == ink)] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]
