"""One session that is to be mistreated: a command on a terminal, a viewer that types, one that writes a file; and what must hold.

What does not hold is collected, so that a failure tells all that it knows at once. Whoever mistreats it brings the plot.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from codewrap.protocol.geometry import Size
from tests.chaos import program
from tests.chaos.pictures import Pictures, Recorded, differences
from tests.support.chaos import ChaosRelay
from tests.support.chaosplan import SidePlan
from tests.support.ptydriver import POLL_S, Piped, Terminal, eventually
from tests.support.sessions import JOINED, Machine, session_name

# Generous: a connection that was refused several times comes back after up to half a minute.
DEADLINE_S = 60.0
_DROPPED = re.compile(rb"(\d+) typed bytes could not be delivered")
_GAP = re.compile(rb"gap: output bytes (\d+) to (\d+) are lost")
_TYPED_LINE = re.compile(rb"(\d{5})(?:\.(\d{5}) pasted and pasted| \S+)")
_CUT_SHORT = re.compile(rb"its output from byte (\d+) on did not arrive")


@dataclass(frozen=True)
class Broker:
    """Where a relay leads to, and how a machine is told of the relay (or of the broker itself) by a port."""

    kind: str
    address: tuple[str, int]
    settings: Callable[[int], dict[str, str]]


@dataclass(frozen=True)
class Sizes:
    """Of the host's window and the viewer's at the beginning, and of both in the end."""

    host: Size
    viewer: Size
    last: Size


class Stage:
    """The session over ``broker``, through a relay for each side where there are ``plans``."""

    def __init__(
        self, broker: Broker, root: Path, pictures: Pictures, sizes: Sizes, plans: tuple[SidePlan, SidePlan] | None = None
    ) -> None:
        self.wrong: list[str] = []
        self.relays: list[ChaosRelay] = []
        self._broker = broker
        self._pictures = pictures
        self._sizes = sizes
        self._plans = plans
        self._root = root
        self._played = root / "stage"
        self._kept = root / "kept"
        self._late: Piped | None = None
        self._typed = b""
        self._acts: list[str] = []
        self._pause = threading.Event()
        self._owned = contextlib.ExitStack()
        self._played.mkdir(parents=True)
        os.mkfifo(self._played / "orders")

    def start(self, seed: int, mode: str) -> None:
        """Until all three are there, and nothing has been done to them yet. ``mode`` is the program's."""
        self.status = program.status_of(seed)
        own = self._owned.enter_context
        self.relays = [own(ChaosRelay(self._broker.address, plan)) for plan in self._plans or ()]
        ports = [relay.port for relay in self.relays] or [self._broker.address[1]] * 2
        self._here, self._there = (
            own(Machine(self._root / name, self._broker.settings(port)))
            for name, port in zip(("host", "viewer"), ports, strict=True)
        )
        self._orders = own((self._played / "orders").open("r+b", buffering=0))
        name = self._name = session_name()
        command = [sys.executable, program.__file__, str(seed), str(self._played), mode]
        run = self._here.run("--quiet", "--name", name, "--", *command, size=self._sizes.host)
        self.host = Recorded(run, self._sizes.host)
        self.host.terminal.expect(b"ready\r\n")
        [log] = self._here.logs()
        self._log = own((log / "output").open("rb"))
        self.writer = Recorded(self._there.attach(name, size=self._sizes.viewer), self._sizes.viewer)
        self.keeper = self._there.attach_piped(name, stdin=subprocess.DEVNULL, stdout=own(self._kept.open("wb")))
        self.writer.terminal.expect(JOINED, DEADLINE_S)
        eventually(lambda: self._kept.read_bytes() == b"ready\r\n", f"the file has begun; {self._said()}", DEADLINE_S)

    def keep(self, server: contextlib.AbstractContextManager[object]) -> None:
        """Start ``server``, and end it with the session."""
        self._owned.enter_context(server)

    def close(self) -> None:
        """End everything."""
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def story(self) -> str:
        """What was done to the session, and what it said. All that the terminals got is put beside what was written."""
        for name, recorded in (("host", self.host), ("viewer", self.writer)) if self.wrong else ():
            (self._root / f"{name}.terminal").write_bytes(recorded.terminal.output.data)
        names = ("host's", "viewers'")
        relays = [f"{name} relay: {relay.report()}" for name, relay in zip(names, self.relays, strict=False)]
        return "\n".join([*relays, *self._acts, *(f"- {each}" for each in self.wrong)])

    # -- what people do ------------------------------------------------------------------------------------------

    def order(self, text: str) -> None:
        """Tell the command what to do next."""
        self._orders.write(text.encode() + b"\n")

    def settle(self) -> None:
        """From here on both windows have one size, and the command draws all anew."""
        last = self._sizes.last
        for each in (self.host, self.writer):
            each.resize(last)
        self.order(f"settle {last.rows} {last.cols}")

    def join_late(self) -> None:
        """One more who wants everything in a file, in the midst of it."""
        late = self._root / "late"
        self._late = self._there.attach_piped(
            self._name, stdin=subprocess.DEVNULL, stdout=self._owned.enter_context(late.open("wb"))
        )

    def kill_uplink(self) -> None:
        """The host has to start another one, which goes on from where viewers are."""
        for uplink in self._here.uplinks():
            uplink.kill()
            self._acts.append("the uplink is killed")

    def type(self, text: bytes) -> None:
        """At the viewer's terminal."""
        if self.writer.terminal.process.poll() is None:
            self._typed += text
            self.writer.terminal.send(text, DEADLINE_S)

    # -- what must hold ------------------------------------------------------------------------------------------

    @property
    def written(self) -> bytes:
        """What the command wrote."""
        return (self._played / "written").read_bytes()

    @property
    def heard(self) -> bytes:
        """What was typed into the command."""
        return (self._played / "heard").read_bytes()

    @property
    def typed(self) -> bytes:
        """What the viewer's person typed."""
        return self._typed

    def check_rest(self) -> None:
        """While the session goes on, and nothing happens any more."""
        eventually((self._played / "played").exists, f"the command has drawn everything; {self._said()}", DEADLINE_S)
        self._eventually(self._input_is_settled, "all input has arrived or was dropped", self._input_said)
        self._eventually(self._file_is_whole, "the file is whole while the session goes on", self._file_said)
        self._eventually(self._same_picture, "the viewer shows what the host shows", self._pictures_said)

    def check_end(self, *, last_words: str = "") -> None:
        """The command is about to end. ``last_words`` stand on the screens that all leave behind."""
        self._expect(self._status(self.host.terminal) == self.status, f"run ends with the command's status {self.status}")
        viewer = self._status(self.writer.terminal)
        self._expect(viewer == self.status, f"attach on the terminal ends with {viewer}, not {self.status}: {self._said()}")
        kept = self._status(self.keeper)
        said = self.keeper.err.everything() if kept is not None else self.keeper.err.data
        self._expect(kept in (self.status, 254), f"attach > file ends with {kept}, not {self.status}: {said!r}")
        self._expect(kept == self.status or _CUT_SHORT.search(said), f"254, but nobody says what is missing: {said!r}")
        self._expect(self._file_is_whole(), self._file_said())
        self._expect(self._is_in_order(), self._input_said())
        self._check_bytes()
        if self._late is not None:
            self._check_late(self._late)
        if last_words:
            for who, picture in zip(("host", "viewer"), self._pictures.of(self.host, self.writer), strict=True):
                rows = picture["shown"]["rows"]
                what = f"{last_words!r} is not what the {who}'s screen ends with: {rows}; {self._said()}"
                self._expect(last_words in rows, what)

    def _check_late(self, late: Piped) -> None:
        """It has everything as well; or could not attach, and says so."""
        status, kept = self._status(late), (self._root / "late").read_bytes()
        said = late.err.everything() if status is not None else late.err.data
        if status == 255:
            self._expect(
                kept == b"" and said.count(b"\n") == 1 + said.count(b"connecting to") + said.count(b"; detach with"),
                f"255, {said!r}",
            )
            return
        self._expect(status == self.status, f"the late viewer ends with {status}, not {self.status}: {said!r}")
        self._expect(kept == self.written, f"what the late viewer got is {_first(kept, self.written)}; {said!r}")

    def _check_bytes(self) -> None:
        written = self.written
        self._log.seek(0)
        self._expect((recorded := self._log.read()) == written, f"recorded is not what was written: {_first(recorded, written)}")
        # What follows undoes modes, and was not written by the command.
        local = self.host.terminal.output.data[: len(written)]
        self._expect(local == written, f"the host's terminal got something else: {_first(local, written)}")

    def _expect(self, holds: object, what: str) -> None:
        if not holds:
            self.wrong.append(what)

    def _status(self, process: Terminal | Piped) -> int | None:
        try:
            return process.status(DEADLINE_S)
        except AssertionError as error:
            self.wrong.append(str(error)[-1500:])
            return None

    def _eventually(self, condition: Callable[[], object], what: str, detail: Callable[[], str]) -> None:
        try:
            eventually(condition, what, DEADLINE_S)
        except AssertionError as error:
            self.wrong.append(f"{error}: {detail()}; {self._said()}")

    def _said(self) -> str:
        writer = self.writer.terminal
        running = [each.process.poll() for each in (self.host.terminal, writer, self.keeper)]
        screen = writer.output.data[-200:]
        return f"statuses {running}, the writer's screen ends {screen!r}, the keeper said {self.keeper.err.data!r}"

    # -- the picture ---------------------------------------------------------------------------------------------

    def _same_picture(self) -> bool:
        with self.writer.terminal.output.changed:
            likely = self.writer.terminal.screen.text() == self.host.terminal.screen.text()
        if not likely:
            self._pause.wait(10 * POLL_S)  # the other engine is the judge, and a slow one
        return not differences(*self._pictures.of(self.host, self.writer))

    def _pictures_said(self) -> str:
        return "\n    ".join(differences(*self._pictures.of(self.host, self.writer))[:12])

    # -- the file ------------------------------------------------------------------------------------------------

    def _file_is_whole(self) -> bool:
        """Every byte, but for those that are said to be missing."""
        said = self.keeper.err.data
        wanted = self.written
        for start, end in reversed([(int(a), int(b)) for a, b in _GAP.findall(said)]):
            wanted = wanted[:start] + wanted[end:]
        cut = _CUT_SHORT.search(said)
        wanted = wanted[: int(cut[1])] if cut else wanted
        return self._kept.stat().st_size == len(wanted) and self._kept.read_bytes() == wanted

    def _file_said(self) -> str:
        return f"the file is not what was written: {_first(self._kept.read_bytes(), self.written)}; {self.keeper.err.data!r}"

    # -- the input -----------------------------------------------------------------------------------------------

    @property
    def _dropped_bytes(self) -> int:
        """What the viewer said to have dropped: at least what is missing, as the last acknowledgement may be late."""
        return sum(int(found) for found in _DROPPED.findall(self.writer.terminal.output.data))

    def _input_is_settled(self) -> bool:
        return len(self.typed) - len(self.heard) <= self._dropped_bytes and self._is_in_order()

    def _is_in_order(self) -> bool:
        """Each byte at most once, in order."""
        heard = self.heard
        if not self._dropped_bytes:
            return self.typed.startswith(heard)
        rest = iter(self.typed)
        return all(byte in rest for byte in heard) and _numbers_rise(heard)

    def _input_said(self) -> str:
        return f"input is {_first(self.heard, self.typed)}; {self._dropped_bytes} said to be dropped"


def _numbers_rise(heard: bytes) -> bool:
    """No whole line comes twice, or late; what is left of one that lost some of its bytes is anything."""
    lines = filter(None, map(_TYPED_LINE.fullmatch, heard.split(b"\r")))
    numbers = [(line[1], line[2] or b"") for line in lines]
    return numbers == sorted(set(numbers))


def _first(got: bytes, wanted: bytes) -> str:
    """Where two texts part."""
    if got == wanted:
        return f"all {len(wanted)} bytes"
    at = next((at for at, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), min(len(got), len(wanted)))
    return f"{len(got)} of {len(wanted)} bytes; at {at} {got[at : at + 60]!r} instead of {wanted[at : at + 60]!r}"
