"""The command of a chaotic session: draws all sorts of things by a seed, and keeps exactly what it wrote and what it was typed.

Run as a script: SEED DIRECTORY MODE. In DIRECTORY it writes `written` (its output), `heard` (its input) and `played` when all is
drawn, and reads orders from the pipe `orders`, so that all that is typed is free text. It waits for `go`, plays, waits for
`settle ROWS COLS`, plays on in a terminal of that size, and ends with status `status_of(SEED)`: when it is told to `quit`, but
in MODE "ends" at once. In MODE "floods" it writes lines without end until it is told to settle. It is on a terminal, and
makes it raw: each byte that it writes is one byte of output.

What is drawn avoids only that on which terminals are known to disagree: erasing with a style, halves of wide characters, bytes
that are not UTF-8, tab stops, reflow, the first 16 colours by their numbers among 256.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import sys
import threading
import time
import tty
import unicodedata
from pathlib import Path

WORDS = "alpha beta gamma delta grüße größe 漢字 日本語 — naïve ├──┤ 100% $HOME /usr/bin `x` <&>".split()
# About half a megabyte a second: more than a viewer follows line by line, and little enough for what compares it.
FLOOD_LINES, FLOOD_PAUSE_S = 60, 0.01
CLEAR = "\x1b[?1049l\x1b[r\x1b[?6l\x1b[?7h\x1b[m\x1b[2J\x1b[3J\x1b[H\x1b[?25h\x1b[?1;1000;2004l"


def status_of(seed: int) -> int:
    """The exit status of a session."""
    return seed % 97 + 1


def last_words(seed: int) -> str:
    """A row that stands on the screen when a session in mode "ends" has ended."""
    return f"the end of {seed}"


class Program:
    """One run."""

    def __init__(self, seed: int, directory: Path, mode: str) -> None:
        self._seed = seed
        self._mode = mode
        self._directory = directory
        self._random = random.Random(f"program {seed}")
        self._written = (directory / "written").open("wb", buffering=0)
        self._heard = (directory / "heard").open("wb", buffering=0)
        self._lines: queue.Queue[str] = queue.Queue()
        self._orders: queue.Queue[str] = queue.Queue()
        self._answers = self._random.random() < 0.4
        self._size = os.get_terminal_size(0)

    def run(self) -> int:
        for work in (self._listen, self._obey):
            threading.Thread(target=work, daemon=True).start()
        self._write("ready\r\n")
        self._until("go")
        while self._mode == "floods" and self._orders.empty():
            self._lines_of_a_log(FLOOD_LINES)
            time.sleep(FLOOD_PAUSE_S)
        for _ in range(self._random.randint(3, 8)):
            self._step()
        _, rows, cols = self._until("settle").split()
        while tuple(os.get_terminal_size(0)) != (int(cols), int(rows)):
            time.sleep(0.005)
        self._size = os.get_terminal_size(0)
        self._write(CLEAR)
        for _ in range(self._random.randint(3, 10)):
            self._step()
        if self._mode == "ends":
            self._write(f"{CLEAR}{last_words(self._seed)}\r\n")
            return status_of(self._seed)
        (self._directory / "played").touch()
        self._until("quit")
        return status_of(self._seed)

    # -- input ---------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        rest = b""
        while data := os.read(0, 65_536):
            self._heard.write(data)
            *lines, rest = (rest + data).split(b"\r")
            for line in lines:
                self._lines.put(line.decode())

    def _obey(self) -> None:
        with (self._directory / "orders").open() as orders:
            for order in orders:
                self._orders.put(order)

    def _until(self, word: str) -> str:
        """Wait for an order; what is typed meanwhile is answered in some sessions."""
        while True:
            with contextlib.suppress(queue.Empty):
                order = self._orders.get(timeout=0.02)
                assert order.startswith(word), order
                return order
            self._answer_all()

    def _answer_all(self) -> None:
        while not self._lines.empty():
            line = self._lines.get()
            if self._answers:
                self._write(f"{self._bottom()}\x1b[1mheard\x1b[m {line[:20]}\r\n")

    # -- output --------------------------------------------------------------------------------------------------

    def _write(self, text: str) -> None:
        data = text.encode()
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
        self._written.write(data)

    def _step(self) -> None:
        steps = (
            self._text,
            self._colours,
            self._board,
            self._regions,
            self._other_screen,
            self._modes,
            self._burst,
            self._typing,
        )
        self._random.choice(steps)()
        self._answer_all()
        time.sleep(self._random.choice((0.0, 0.01, 0.05, 0.15)))

    def _line(self) -> str:
        return " ".join(self._random.choice(WORDS) for _ in range(self._random.randint(1, 14)))

    def _row(self, text: str) -> str:
        """As much of ``text`` as fits into a row: what scrolls in behind a wrapped line is styled like it by some terminals."""
        while sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text) >= self._size.columns:
            text = text[:-1]
        return text

    def _bottom(self) -> str:
        """Onto a fresh row."""
        return f"\x1b[{self._size.lines};1H\r\n"

    def _text(self) -> None:
        self._write(self._bottom() + "".join(self._line() + "\r\n" for _ in range(self._random.randint(1, 40))))

    def _colours(self) -> None:
        styles = [
            f"{self._random.choice((30, 90)) + self._random.randrange(8)}",
            f"38;5;{self._random.randrange(16, 256)};48;5;{self._random.randrange(16, 256)}",
            f"38;2;{self._random.randrange(256)};9;200",
            "1;4",
            "7;3",
            "2;9;44",
        ]
        count = self._random.randint(1, 20)
        lines = [f"\x1b[{self._random.choice(styles)}m{self._row(self._line())}\x1b[m\r\n" for _ in range(count)]
        self._write(self._bottom() + "".join(lines))

    def _board(self) -> None:
        """Cells here and there, at even columns, each an even number wide."""
        self._write("\x1b[m\x1b[2J")
        for _ in range(self._random.randint(5, 120)):
            row, col = self._random.randint(1, self._size.lines), self._random.randrange(1, self._size.columns - 8, 2)
            word = self._random.choice(("abcd", "漢字", "##", "日本", "..", "─┼"))
            self._write(f"\x1b[{row};{col}H\x1b[3{self._random.randrange(8)}m{word}\x1b[m")

    def _regions(self) -> None:
        top = self._random.randint(1, self._size.lines // 2)
        bottom = self._random.randint(top + 2, self._size.lines)
        move = self._random.choice(("\x1b[L", "\x1b[M", "\x1b[2S", "\x1b[T", "\x1bM"))
        self._write(f"\x1b[{top};{bottom}r\x1b[{bottom};1H\r\n{self._random.randrange(10**6)}\x1b[{top};1H{move}\x1b[r")

    def _other_screen(self) -> None:
        self._write("\x1b[m\x1b[?1049" + self._random.choice("hl") + "\x1b[H\x1b[2J" + self._line()[: self._size.columns - 2])

    def _modes(self) -> None:
        switches = [f"\x1b[?{mode}{self._random.choice('hl')}" for mode in (25, 1, 1000, 2004)]
        self._write("".join(switches) + f"\x1b]2;title {self._random.randrange(1000)} é\x07")

    def _burst(self) -> None:
        self._write(self._bottom())
        self._lines_of_a_log(self._random.choice((200, 1000, 4000)))

    def _lines_of_a_log(self, count: int) -> None:
        for number in range(count):
            self._write(f"{self._seed} {number:06d} {self._random.getrandbits(256):x} grüße\r\n")

    def _typing(self) -> None:
        self._write(self._bottom())
        for word in self._line().split():
            self._write(word + " ")
            time.sleep(self._random.choice((0.0, 0.005, 0.03)))


def main() -> None:
    seed, directory, mode = sys.argv[1:]
    tty.setraw(0)
    sys.exit(Program(int(seed), Path(directory), mode).run())


if __name__ == "__main__":
    main()
