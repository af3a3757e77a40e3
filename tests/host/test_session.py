"""The host's loop with real commands on real terminals and pipes. The test is the uplink, the reader and the keyboard."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from codewrap.host.lanes import Lanes
from codewrap.host.link import UplinkLaunch, UplinkLink
from codewrap.host.session import LANE_BYTES, HostSession, Outcome, original_environment
from codewrap.host.typed import TypedRecord
from codewrap.protocol.admission import Admission, Share
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Decoder, Kind, Message, encode
from codewrap.store.sessionlog import LogReader, LogWriter
from codewrap.terminal.child import Child, PtyOptions, start_on_pipes, start_on_pty
from codewrap.terminal.local import RawTerminal
from codewrap.terminal.wakeup import SignalWakeup
from codewrap.transport.lane import connect, listen
from codewrap.uplink.follower import LogFollower
from tests.support.inplace import played, standard_streams
from tests.support.ptydriver import Collected, eventually

WAIT_S = 15.0
SIZE = Size(rows=10, cols=40)
SIGNALS = (signal.SIGCHLD, signal.SIGWINCH, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
# Stands where the uplink's process does, and is only a pipe to the test.
RELAY = """
import os, selectors, socket, sys
host = socket.socket(fileno=int(sys.argv[2]))
test = socket.socket(socket.AF_UNIX)
test.connect(sys.argv[1])
with selectors.PollSelector() as poller:
    poller.register(host, selectors.EVENT_READ, test)
    poller.register(test, selectors.EVENT_READ, host)
    while True:
        for key, _ in poller.select():
            data = key.fileobj.recv(65536)
            if not data:
                os._exit(0)
            key.data.sendall(data)
"""


class Uplink:
    """The test's end of one uplink process."""

    def __init__(self, listener: socket.socket) -> None:
        listener.settimeout(WAIT_S)
        self._socket, _ = listener.accept()
        self._socket.settimeout(WAIT_S)
        self._decoder = Decoder()
        self._heard: list[Message] = []

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def says(self, *messages: Message) -> None:
        self.send(b"".join(map(encode, messages)))

    def hears(self, kind: Kind) -> Message:
        """The next message of ``kind``; others are passed over."""
        while True:
            while self._heard:
                message = self._heard.pop(0)
                if message.kind is kind:
                    return message
            data = self._socket.recv(65_536)
            assert data, f"the host left without {kind.name}"
            self._heard += self._decoder.feed(data)

    def types(self, data: bytes, offset: int = 0, writer: str = "w", user: str = "anna") -> None:
        self.says(
            Message(Kind.INPUT, {"writer": writer, "offset": offset, "user": user, "by": f"{user}.1", "code": "12 34 56"}, data)
        )

    def close(self) -> None:
        self._socket.close()


class Hosted:
    """One run of a command."""

    def __init__(self, directory: Path, command: Sequence[str], *, pty: bool = True, share: Share = Share.ASK) -> None:
        self.command, self.pty, self.share = list(command), pty, share
        self.said: list[str] = []
        self.directory = directory
        self.notices: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / "uplink"))
        self._listener.listen(4)
        self.stdin, self.keyboard = os.pipe()
        out, self.stdout = os.pipe()
        err, self.stderr = os.pipe()
        self._fds = [self.stdin, out, self.stdout, err, self.stderr]
        self.out_fd, self.err = out, Collected(err)
        self.out: Collected | None = None
        self._uplinks: list[Uplink] = []
        self.lane = secrets.token_hex(8)
        self.keeps_input = False

    def run(
        self,
        script: Callable[[Hosted], None],
        *,
        reads: bool = True,
        with_stdin: bool = True,
        terminal: RawTerminal | None = None,
    ) -> Outcome:
        if reads:
            self.reads()
        log = LogWriter(self.directory / "log", 0.0)
        (self.directory / "relay.py").write_text(RELAY)
        relay = [sys.executable, "-I", "-S", str(self.directory / "relay.py"), str(self.directory / "uplink")]
        link = UplinkLink(UplinkLaunch(relay, {}, {"session": "s"}))
        with contextlib.ExitStack() as stack:
            stack.enter_context(standard_streams(self.stdin, self.stdout, self.stderr))
            wakeup = stack.enter_context(SignalWakeup(SIGNALS))
            child = self._start()
            stack.callback(log.close)
            stack.callback(child.close)
            stdin_fd = 0 if with_stdin else -1
            lanes = Lanes(listen(self.lane), "run")
            admission = Admission(self.share, "anna")
            notice, say = self.notices.append, self.said.append
            session = HostSession(child, log, link, terminal, stdin_fd, admission, notice, lanes, say=say, name="build")
            if self.keeps_input:
                session.write = TypedRecord(log).write
            return played(lambda: session.run(wakeup, 0.0), lambda: script(self))

    def _start(self) -> Child:
        environ = {**os.environ, "PS1": "", "TERM": "dumb"}
        if not self.pty:
            return start_on_pipes(self.command, environ)
        return start_on_pty(self.command, environ, PtyOptions(SIZE))

    def uplink(self) -> Uplink:
        """The next uplink that the host starts."""
        self._uplinks.append(Uplink(self._listener))
        return self._uplinks[-1]

    def command_has_ended(self) -> None:
        """Wait until the log says so."""
        eventually(lambda: '"exit"' in (self.directory / "log" / "timeline").read_text(), "the command's end in the log")

    def reads(self) -> Collected:
        """From now on somebody reads our stdout."""
        self.out = Collected(self.out_fd)
        return self.out

    def types(self, data: bytes) -> None:
        os.write(self.keyboard, data)

    def ends_stdin(self) -> None:
        os.close(self.keyboard)
        self.keyboard = -1

    def logged(self) -> dict[str, bytes]:
        """What the session log holds, by stream."""
        reader = LogReader(self.directory / "log")
        follower = LogFollower(reader)
        follower.refresh()
        found = {"stdout": b"", "stderr": b""}
        for piece in follower.pieces(0, follower.end, 1 << 20):
            found[piece.stream] += piece.data
        reader.close()
        return found

    def timeline(self) -> list[tuple[object, ...]]:
        """What it says beside output and sizes."""
        reader = LogReader(self.directory / "log")
        found = [(each.what, *each.values) for each in reader.entries() if each.what not in ("stdout", "stderr", "resize")]
        reader.close()
        return found

    def written(self) -> bytes:
        """Everything that went to stdout, after the run."""
        for fd in (self.stdout, self.stderr):
            os.close(fd)
            self._fds.remove(fd)
        assert self.out is not None
        return self.out.everything()

    def close(self) -> None:
        for fd in self._fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        for collected in (self.out, self.err):
            if collected is not None:
                collected.close()
        if self.keyboard >= 0:
            os.close(self.keyboard)
        for uplink in self._uplinks:
            uplink.close()
        self._listener.close()


Host = Callable[..., Hosted]


@pytest.fixture
def host(tmp_path: Path) -> object:
    made: list[Hosted] = []

    def make(*command: str, pty: bool = True, share: Share = Share.ASK) -> Hosted:
        made.append(Hosted(tmp_path, command, pty=pty, share=share))
        return made[-1]

    yield make
    for hosted in made:
        hosted.close()


def nothing(_: Hosted) -> None:
    """For a run that ends by itself."""


# -- output ----------------------------------------------------------------------------------------------------


def test_output_comes_in_order_to_stdout_and_into_the_log(host: Host) -> None:
    run = host("seq", "1", "20000")
    outcome = run.run(nothing)
    expected = b"".join(b"%d\r\n" % n for n in range(1, 20001))
    assert run.written() == expected
    assert run.logged()["stdout"] == expected
    assert (outcome.exited.code, outcome.output_bytes, outcome.log_broken) == (0, len(expected), "")


def test_on_pipes_stderr_stays_apart(host: Host) -> None:
    run = host("sh", "-c", "echo out; echo err >&2; exit 3", pty=False)
    assert run.run(nothing).exited.status == 3
    run.err.expect(b"err\n")
    assert run.written() == b"out\n"
    assert run.logged() == {"stdout": b"out\n", "stderr": b"err\n"}


def test_a_signal_that_killed_the_command_is_its_status(host: Host) -> None:
    outcome = host("sh", "-c", "kill -9 $$").run(nothing)
    assert (outcome.exited.signal, outcome.exited.status) == (9, 137)


def test_a_reader_that_is_late_gets_everything(host: Host) -> None:
    """What did not fit into its pipe was given one second after the command's end, and dropped then."""
    run = host("seq", "1", "40000", pty=False)

    def script(run: Hosted) -> None:
        run.command_has_ended()  # and nobody has read a byte
        run.reads()

    run.run(script, reads=False)
    assert run.written() == b"".join(b"%d\n" % n for n in range(1, 40001))


def test_a_reader_that_never_reads_is_given_up_by_a_signal(host: Host) -> None:
    run = host("seq", "1", "40000", pty=False)

    def script(run: Hosted) -> None:
        run.command_has_ended()
        os.kill(os.getpid(), signal.SIGTERM)

    assert run.run(script, reads=False).exited.code == 0
    assert len(run.logged()["stdout"]) == sum(len(f"{n}\n") for n in range(1, 40001))


def test_a_reader_that_has_gone_is_felt_by_the_command_as_without_us(host: Host) -> None:
    run = host("seq", "1", "100000", pty=False)
    os.close(run.out_fd)
    assert run.run(nothing, reads=False).exited.signal == signal.SIGPIPE


def test_a_command_that_writes_faster_than_it_is_read_waits_and_can_still_be_typed_into(host: Host) -> None:
    run = host("sh", "-c", "head -c 3000000 /dev/zero; echo; read line; echo got $line", pty=False)

    def script(run: Hosted) -> None:
        uplink = run.uplink()
        uplink.types(b"hello\n")
        assert uplink.hears(Kind.WRITTEN).header == {"acks": {"w": 6}}  # though nobody has read a byte
        written = (run.directory / "log" / "output").stat().st_size
        assert written < 1_500_000, "nothing held the command back"
        run.reads()

    run.run(script, reads=False)
    assert run.written() == bytes(3_000_000) + b"\ngot hello\n"


def test_a_command_that_closes_its_stdout_is_waited_for(host: Host) -> None:
    run = host("sh", "-c", "echo first; exec >&-; read line; echo $line >&2; exit 5", pty=False)

    def script(run: Hosted) -> None:
        assert run.out is not None
        run.out.expect(b"first")
        run.types(b"go on\n")

    assert run.run(script).exited.code == 5
    run.err.expect(b"go on\n")


@pytest.mark.parametrize("pty", [True, False])
def test_a_grandchild_that_keeps_the_output_open_does_not_hold_us_up(host: Host, pty: bool) -> None:
    run = host("sh", "-c", 'trap "" HUP; sleep 60 & echo $! >&2; echo done', pty=pty)
    try:
        assert run.run(nothing).exited.code == 0
    finally:
        text = run.logged()["stdout"] + run.logged()["stderr"]
        os.kill(next(int(word) for word in text.split() if word.isdigit()), signal.SIGKILL)
    assert b"done" in run.logged()["stdout"]


def test_a_grandchild_that_goes_on_writing_does_not_either(host: Host) -> None:
    run = host("sh", "-c", 'trap "" HUP; yes & sleep 0.1; exit 4')
    assert run.run(nothing).exited.code == 4


# -- input -----------------------------------------------------------------------------------------------------


def test_what_is_typed_here_and_elsewhere_reaches_the_command_once(host: Host) -> None:
    run = host("sh", "-c", "stty -echo; echo ready; read a; read b; read c; echo $a-$b-$c")

    def script(run: Hosted) -> None:
        uplink = run.uplink()
        assert uplink.hears(Kind.CONFIGURE).body == b'{"session": "s", "resumed": false, "watched": 0}'
        assert run.out is not None
        run.out.expect(b"ready")
        run.types(b"one\n")
        uplink.types(b"two\n")
        uplink.types(b"two\n")
        assert uplink.hears(Kind.WRITTEN).header == {"acks": {"w": 4}}
        uplink.types(b"three\n", 4)

    run.run(script)
    assert run.written().endswith(b"one-two-three\r\n")


def test_the_end_of_stdin_ends_the_command_s_on_pipes(host: Host) -> None:
    run = host("cat", pty=False)

    def script(run: Hosted) -> None:
        run.types(b"all of it")
        run.ends_stdin()

    assert run.run(script).exited.code == 0
    assert run.written() == b"all of it"


@pytest.mark.parametrize("text", [b"a line\n", b"no end of line"])
def test_the_end_of_stdin_is_typed_on_a_terminal(host: Host, text: bytes) -> None:
    run = host("sh", "-c", "stty -echo; echo ready; cat; echo over")

    def script(run: Hosted) -> None:
        assert run.out is not None
        run.out.expect(b"ready")
        run.types(text)
        run.ends_stdin()

    run.run(script)
    assert run.written().replace(b"\r", b"") == b"ready\n" + text + b"over\n"


def test_an_empty_stdin_does_not_end_a_command_on_a_terminal(host: Host) -> None:
    run = host("sh", "-c", "stty -echo; echo ready; read line; echo got $line")

    def script(run: Hosted) -> None:
        run.ends_stdin()
        uplink = run.uplink()
        assert run.out is not None
        run.out.expect(b"ready")
        uplink.types(b"from afar\n")

    run.run(script)
    assert run.written().endswith(b"got from afar\r\n")


def test_a_read_only_session_takes_input_from_here_alone(host: Host) -> None:
    run = host("sh", "-c", "stty -echo; echo ready; read line; echo got $line", share=Share.VIEW)

    def script(run: Hosted) -> None:
        uplink = run.uplink()
        assert run.out is not None
        run.out.expect(b"ready")
        uplink.types(b"intruder\n")
        uplink.says(Message(Kind.RESIZE, {"rows": 3, "cols": 3, "user": "anna"}), Message(Kind.NOTICE, {"text": "done"}))
        eventually(lambda: run.notices, "the notice behind the input")
        run.types(b"owner\n")

    run.run(script)
    assert run.written().endswith(b"got owner\r\n")


# -- sizes, signals, the uplink --------------------------------------------------------------------------------


def test_a_session_without_a_terminal_of_its_own_follows_the_size_of_its_writers(host: Host) -> None:
    run = host("sh", "-c", 'trap "stty size" WINCH; echo ready; while :; do read line && exit; done')

    def script(run: Hosted) -> None:
        uplink = run.uplink()
        assert run.out is not None
        run.out.expect(b"ready")
        uplink.says(Message(Kind.RESIZE, {"rows": 7, "cols": 70, "user": "bob"}))  # has no leave
        uplink.says(Message(Kind.RESIZE, {"rows": 20, "cols": 90, "user": "anna"}))
        run.out.expect(b"20 90")
        uplink.says(Message(Kind.RESIZE, {"rows": 0, "cols": 100_000, "user": "anna"}))
        run.out.expect(b"1 1000")
        uplink.types(b"end\n")

    run.run(script)
    timeline = (run.directory / "log" / "timeline").read_text()
    assert '"resize",90,20' in timeline
    assert '"resize",1000,1' in timeline


def test_signals_are_passed_on(host: Host) -> None:
    run = host("sh", "-c", 'trap "echo got usr1" USR1; trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done')

    def script(run: Hosted) -> None:
        assert run.out is not None
        run.out.expect(b"ready")
        os.kill(os.getpid(), signal.SIGUSR1)
        run.out.expect(b"got usr1")
        os.kill(os.getpid(), signal.SIGTERM)

    assert run.run(script).exited.code == 9


def test_an_uplink_that_dies_is_replaced_and_the_command_does_not_notice(host: Host) -> None:
    run = host("sh", "-c", "stty -echo; echo ready; read line; echo got $line")

    def script(run: Hosted) -> None:
        first = run.uplink()
        assert run.out is not None
        run.out.expect(b"ready")
        first.types(b"ha")
        first.hears(Kind.WRITTEN)
        first.close()
        second = run.uplink()
        assert b'"resumed": true' in second.hears(Kind.CONFIGURE).body
        second.types(b"half", 0)
        second.types(b"lf\n", 2)

    outcome = run.run(script)
    assert outcome.restarts == 1
    assert run.written().endswith(b"got half\r\n")


def test_an_uplink_that_talks_nonsense_is_replaced(host: Host) -> None:
    run = host("cat", pty=False)

    def script(run: Hosted) -> None:
        run.uplink().send(b"\xff" * 100)
        run.uplink().hears(Kind.CONFIGURE)
        run.ends_stdin()

    assert run.run(script).restarts == 1


def test_news_are_told_once_for_each_time_they_are_asked_for(host: Host) -> None:
    run = host("cat", pty=False)

    def script(run: Hosted) -> None:
        uplink = run.uplink()
        uplink.says(Message(Kind.ARM, {"end": 0}))
        run.types(b"one")
        uplink.hears(Kind.GROWN)
        run.types(b"two")
        assert run.out is not None
        run.out.expect(b"two")
        uplink.says(Message(Kind.ARM, {"end": 3}))
        uplink.hears(Kind.GROWN)
        run.ends_stdin()
        uplink.hears(Kind.FINISH)

    run.run(script)


def test_the_report_of_a_watched_session_is_waited_for_and_of_another_not(host: Host) -> None:
    report = {"events": 7, "bytes": 99, "peak_watchers": 1}

    def script(run: Hosted) -> None:
        uplink = run.uplink()
        uplink.says(Message(Kind.WATCHERS, {"count": 1}), Message(Kind.NOTICE, {"text": "one watches"}))
        eventually(lambda: run.notices, "the notice")
        run.ends_stdin()
        uplink.hears(Kind.FINISH)
        uplink.says(Message(Kind.DONE, report))

    run = host("cat", pty=False)
    outcome = run.run(script)
    assert outcome.uplink == report
    assert run.notices == ["one watches"]


def test_uplink_that_looks_is_told_how_the_terminal_stands_and_once_more_at_the_end(host: Host) -> None:
    def script(run: Hosted) -> None:
        uplink = run.uplink()
        assert run.out is not None
        run.out.expect(b"secret?")
        uplink.says(Message(Kind.LOOK))
        said = uplink.hears(Kind.LOOKED).header
        assert (said["canonical"], said["echo"], said["here"]) == (True, False, False)
        assert said["group"] == said["pid"]
        run.types(b"x\n")
        assert uplink.hears(Kind.LOOKED).header["here"] is False
        uplink.hears(Kind.FINISH)

    host("sh", "-c", "stty -echo; printf 'secret?'; read answer").run(script)


def test_answer_from_afar_is_typed_where_the_prompt_stands_and_never_again(host: Host) -> None:
    def script(run: Hosted) -> None:
        uplink = run.uplink()
        assert run.out is not None
        run.out.expect(b"Name: ")
        uplink.says(Message(Kind.OWN_USER, {"user": "anna"}), Message(Kind.LOOK))
        typed = uplink.hears(Kind.LOOKED).header["typed"]

        def answer(link: str, text: str, offset: int) -> dict[str, str]:
            word = {"do": "answer", "id": link, "user": "", "text": text, "only_at": {"offset": offset, "typed": typed}}
            uplink.says(Message(Kind.CONTROL, word))
            return uplink.hears(Kind.ANSWERED).header

        assert answer("c1", "evil\r", 5) == {"id": "c1", "outcome": "gone"}
        assert answer("c2", "anna\r", 6) == {"id": "c2", "outcome": "typed"}
        run.out.expect(b"hello anna")
        assert answer("c3", "evil\r", 6) == {"id": "c3", "outcome": "gone"}
        run.types(b"x\n")
        uplink.hears(Kind.FINISH)

    host("sh", "-c", "printf 'Name: '; read name; echo hello $name; read more; [ $more = x ]").run(script)


def test_terminal_here_calls_for_the_person_while_the_output_ends_where_the_uplink_says(host: Host) -> None:
    def script(run: Hosted) -> None:
        uplink = run.uplink()
        assert run.out is not None
        run.out.expect(b"Name: ")
        late, now = {"offset": 5, "text": "late"}, {"offset": 6, "text": "build: Name:\x07"}
        uplink.says(Message(Kind.CALL, late), Message(Kind.CALL, now))
        run.out.expect(b"\x1b]9;build: Name:\\x07\x07")
        run.types(b"x\n")
        uplink.hears(Kind.FINISH)

    run = host("sh", "-c", "printf 'Name: '; read answer")
    run.run(script, terminal=RawTerminal(0))
    assert b"late" not in run.written()


def test_an_answer_to_a_question_in_the_output_is_typed(host: Host) -> None:
    run = host("sh", "-c", "stty -echo; echo ready; read line; echo got $line", share=Share.VIEW)

    def script(run: Hosted) -> None:
        assert run.out is not None
        run.out.expect(b"ready")
        run.uplink().says(Message(Kind.ANSWER, body=b"answer\n"))

    run.run(script)
    assert run.written().endswith(b"got answer\r\n")


def test_what_the_uplink_marks_stands_in_the_timeline_and_nonsense_does_not(host: Host) -> None:
    run = host("cat")

    def script(run: Hosted) -> None:
        uplink = run.uplink()
        uplink.says(
            Message(Kind.MARK, {"what": "join", "values": ["anna"]}),
            Message(Kind.MARK, {"what": "exit", "values": [0, None]}),
            Message(Kind.MARK, {"what": "leave", "values": [["anna"]]}),
            Message(Kind.MARK, {}),
            Message(Kind.MARK, {"what": "leave", "values": ["anna"]}),
            Message(Kind.ANSWER, body=b"\x04"),
        )

    run.run(script)
    assert run.timeline() == [("join", "anna"), ("leave", "anna"), ("exit", 0, None)]


def test_input_of_keyboard_and_viewers_is_kept_where_that_was_asked_for(host: Host) -> None:
    run = host("cat")
    run.keeps_input = True

    def script(run: Hosted) -> None:
        uplink = run.uplink()
        run.types(b"here\n")
        assert run.out is not None
        run.out.expect(b"here\r\nhere")
        uplink.types(b"there\n")
        run.out.expect(b"there\r\nthere")
        run.types(b"\x04")

    run.run(script)
    assert run.timeline() == [("input", "here\n"), ("input", "there\n"), ("input", "\x04"), ("exit", 0, None)]


def test_a_command_knows_where_it_runs() -> None:
    environ = original_environment({"A": "1", "CODEWRAP_NAME": "taken"}, "s")
    assert environ == {"A": "1", "CODEWRAP": "1", "CODEWRAP_SESSION": "s"}


# -- viewers on this machine -----------------------------------------------------------------------------------


def test_a_viewer_on_this_machine_types_and_sees_at_the_host_itself(host: Callable[..., Hosted]) -> None:
    def script(hosted: Hosted) -> None:
        viewer = connect(hosted.lane)
        assert viewer is not None
        heard: list[Message] = []

        def hears(text: bytes) -> bool:
            heard.extend(viewer.receive() or [])
            return text in b"".join(message.body for message in heard)

        eventually(lambda: hears(b""), "nothing")
        viewer.send(Message(Kind.INPUT, {"writer": "w", "offset": 0}, b"hello\n"))
        viewer.send(Message(Kind.INPUT, {"writer": "w", "offset": 0}, b"hello\n"))
        eventually(lambda: hears(b"hello\r\nhello\r\n"), "the echo, and what cat makes of it")
        viewer.send(Message(Kind.RESIZE, {"rows": 5, "cols": 5}))  # by the broker only
        viewer.send(Message(Kind.INPUT, {"writer": "w", "offset": 6}, b"\x04"))
        outputs = [message for message in heard if message.kind is Kind.OUTPUT]
        assert (outputs[0].header["offset"], outputs[0].header["acks"]) == (0, {"w": 6})
        viewer.close()

    outcome = host("cat").run(script)
    assert outcome.exited.status == 0
    assert outcome.output_bytes == len("hello\r\nhello\r\n")


def test_a_viewer_on_this_machine_gets_a_flood_by_the_broker_as_all_others(host: Callable[..., Hosted]) -> None:
    """Each block was made a packet for it, while the command waited."""
    heard: list[Message] = []

    def script(hosted: Hosted) -> None:
        viewer = connect(hosted.lane)
        assert viewer is not None
        eventually(lambda: heard.extend(viewer.receive() or []) or heard, "the greeting")
        viewer.send(Message(Kind.INPUT, {"writer": "w", "offset": 0}, b"\n"))
        hosted.command_has_ended()
        while packets := viewer.receive():
            heard.extend(packets)
        viewer.close()

    run = host("sh", "-c", "read go; dd if=/dev/zero bs=60000 count=5 2>/dev/null; echo; echo done", pty=False)
    run.run(script)
    assert run.written() == bytes(300_000) + b"\ndone\n"
    outputs = [message for message in heard if message.kind is Kind.OUTPUT]
    assert all(len(message.body) <= LANE_BYTES for message in outputs)
    assert sum(len(message.body) for message in outputs) < 100_000
