"""Sizes are brought within what every part can work with."""

from __future__ import annotations

import pytest

from codewrap.protocol.geometry import MAX_COLS, MAX_ROWS, MIN_COLS, MIN_ROWS, Size


@pytest.mark.parametrize(
    ("size", "clamped"),
    [
        (Size(rows=24, cols=80), Size(rows=24, cols=80)),
        (Size(rows=MIN_ROWS, cols=MIN_COLS), Size(rows=MIN_ROWS, cols=MIN_COLS)),
        (Size(rows=MAX_ROWS, cols=MAX_COLS), Size(rows=MAX_ROWS, cols=MAX_COLS)),
        (Size(rows=0, cols=0), Size(rows=MIN_ROWS, cols=MIN_COLS)),
        (Size(rows=-5, cols=1), Size(rows=MIN_ROWS, cols=MIN_COLS)),
        (Size(rows=MAX_ROWS + 1, cols=65_535), Size(rows=MAX_ROWS, cols=MAX_COLS)),
        (Size(rows=24, cols=1), Size(rows=24, cols=MIN_COLS)),
    ],
)
def test_a_size_is_clamped_to_the_nearest_that_is_allowed(size: Size, clamped: Size) -> None:
    assert size.clamped() == clamped
    assert size.clamped().clamped() == clamped
