"""The programs under comparison, each behind the same three questions: can it run, start a host, attach a viewer.

A host is the wrapper on a terminal of the harness. A peer whose own terminal is the viewer's (`bare`, `script`, `ssh`)
has no viewer to attach. A peer that cannot run raises Unavailable with a one-line reason.
"""

import contextlib
import getpass
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.terminals import Poll, Terminal, read_until, settle
from benchmarks.workbench import READY, Unavailable, Workbench, free_port

START_WITHIN_S = 20.0
PROBE_EVERY_S = 0.3
PROBE_WITHIN_S = 0.6
PROBES = b"OWj"
NAIVE = Path(__file__).with_name("naive.py")


class Peer:
    """One wrapper. Subclasses say how it is started; `prepare` is called once before anything else."""

    name = ""
    needs: Sequence[str] = ()
    has_viewer = True

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.env = dict(bench.env)

    def prepare(self) -> None:
        """Start what all sessions of this peer share; raises Unavailable."""
        for program in self.needs:
            if find(program) is None:
                raise Unavailable(f"{program} is not installed")

    def host_command(self, session: str, program: Path) -> Sequence[str | Path]:
        """The command line that wraps `program`."""
        raise NotImplementedError

    def viewer_command(self, session: str) -> Sequence[str | Path]:
        """The command line that attaches to `session`."""
        raise NotImplementedError

    def end(self, session: str) -> None:
        """Stop what hanging up the terminals leaves behind."""

    def versions(self) -> dict[str, str]:
        """Names and versions of the programs involved."""
        return {}


class Session:
    """A peer's host, and its viewer when one was attached. `close` it whatever happens."""

    def __init__(self, peer: Peer, program: Path, env: Mapping[str, str] | None = None) -> None:
        self.peer = peer
        self.name = peer.bench.fresh_name()
        self._attached: Terminal | None = None
        self.own = self._open(peer.host_command(self.name, program), env or {})

    def _open(self, command: Sequence[str | Path], env: Mapping[str, str]) -> Terminal:
        return Terminal(command, {**self.peer.env, **env}, self.peer.bench.directory)

    def open_viewer(self, env: Mapping[str, str] | None = None) -> Terminal:
        """Launch a viewer, where the peer has one, and do not wait; one that was there is closed."""
        if self._attached is not None:
            self._attached.close()
        self._attached = self._open(self.peer.viewer_command(self.name), env or {})
        return self._attached

    @property
    def viewer(self) -> Terminal:
        """Where a person watches: the attached terminal, or the wrapper's own."""
        return self._attached or self.own

    @property
    def terminals(self) -> list[Terminal]:
        """The viewer's terminal first."""
        return [self.viewer] if self.viewer is self.own else [self.viewer, self.own]

    def wait_ready(self) -> None:
        """Wait until the wrapped program runs; raises Unavailable."""
        if read_until(self.own, [], READY, START_WITHIN_S) is None:
            raise self.failure(self.own, "the wrapped program did not start")

    def attach(self, env: Mapping[str, str] | None = None) -> None:
        """Attach a viewer where the peer has one, and wait until a key typed there is echoed there."""
        deadline = time.monotonic() + START_WITHIN_S
        if self.peer.has_viewer:
            self.open_viewer(env)
        while time.monotonic() < deadline:
            if self.viewer.ended and self._attached is not None:
                # The host may not have been ready for viewers yet.
                settle([self.own], PROBE_EVERY_S, PROBE_EVERY_S)
                self.open_viewer(env)
            if self._probe():
                settle(self.terminals, PROBE_EVERY_S)
                return
        raise self.failure(self.viewer, "a key typed at the viewer was not echoed")

    def _probe(self) -> bool:
        """Whether each of a few keys shows after it was typed; one alone might be a letter of a greeting."""
        settle(self.terminals, PROBE_EVERY_S, PROBE_EVERY_S * 2)
        return all(self._shows(bytes([key])) for key in PROBES)

    def _shows(self, key: bytes) -> bool:
        if self.viewer.ended:
            return False
        self.viewer.write(key)
        deadline = time.monotonic() + PROBE_WITHIN_S
        poll = Poll(self.terminals)
        while time.monotonic() < deadline and not self.viewer.ended:
            for terminal in poll.wait(PROBE_EVERY_S):
                if key in visible(terminal.read()) and terminal is self.viewer:
                    return True
        return False

    def failure(self, terminal: Terminal, what: str) -> Unavailable:
        """The reason to raise; what `terminal` last showed is for the person here and not for the report."""
        print(f"  {self.peer.name}: {what}; last shown: {terminal.tail!r}", file=sys.stderr)
        if terminal.ended:
            return Unavailable(f"{what} (the program there had ended)")
        return Unavailable(what)

    def close(self) -> None:
        """End viewer, host and what they leave behind."""
        if self._attached is not None:
            self._attached.close()
        self.own.close()
        self.peer.end(self.name)


ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])")


def visible(data: bytes) -> bytes:
    """`data` without escape sequences, so that their letters are not taken for an echo."""
    return ESCAPES.sub(b"", data) if b"\x1b" in data else data


class Bare(Peer):
    """The program straight on the terminal of the harness."""

    name = "bare"
    has_viewer = False

    def host_command(self, session: str, program: Path) -> Sequence[str | Path]:
        return [program]


class Script(Peer):
    """`script` of util-linux, which records to a file as it passes output through."""

    name = "script"
    needs = ("script",)
    has_viewer = False

    def host_command(self, session: str, program: Path) -> Sequence[str | Path]:
        return ["script", "-qefc", str(program), self.bench.directory / "typescript"]

    def versions(self) -> dict[str, str]:
        return {"script": last_word(["script", "--version"])}


class Ssh(Peer):
    """`ssh -tt` to an sshd of the harness on loopback, with keys made for the run."""

    name = "ssh"
    needs = ("ssh", "sshd", "ssh-keygen")
    has_viewer = False

    def prepare(self) -> None:
        super().prepare()
        self.port = free_port()
        self.directory = self.bench.directory / "ssh"
        self.directory.mkdir(mode=0o700)
        for key in ("host", "user"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", self.directory / key]
            subprocess.run(make, check=True)
        public = (self.directory / "host.pub").read_text()
        (self.directory / "known").write_text(f"[127.0.0.1]:{self.port} {public}")
        self._make_privilege_directory()
        self._start_server()

    def _make_privilege_directory(self) -> None:
        """A root sshd refuses to start without this directory, which the system's own service would make."""
        path = Path("/run/sshd")
        if os.geteuid() == 0 and not path.exists():
            path.mkdir(mode=0o755)
            self.bench.on_close(remove_empty, path)

    def _start_server(self) -> None:
        options = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self.directory / "host",
            "AuthorizedKeysFile": self.directory / "user.pub",
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "PrintMotd": "no",
        }
        config = self.directory / "config"
        config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
        # sshd wants to be started by its full name: it executes itself again for each connection.
        command = [str(find("sshd")), "-D", "-q", "-f", str(config)]
        self.server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.bench.on_close(self.server.wait)
        self.bench.on_close(self.server.terminate)
        self._wait_login()

    def _wait_login(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        command = [*self._client(), "true"]
        while time.monotonic() < deadline and self.server.poll() is None:
            trial = subprocess.run(command, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            if trial.returncode == 0:
                return
            time.sleep(0.1)
        raise Unavailable("the harness could not log in to its own sshd")

    def _client(self, *flags: str) -> list[str]:
        options = {
            "IgnoreUnknown": "ObscureKeystrokeTiming",  # newer clients delay keys on purpose; older do not know it
            "ObscureKeystrokeTiming": "no",
            "UserKnownHostsFile": self.directory / "known",
            "IdentityFile": self.directory / "user",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "EscapeChar": "none",
            "LogLevel": "ERROR",
        }
        settings = [f"-o{name}={value}" for name, value in options.items()]
        return ["ssh", "-F", "none", *flags, *settings, f"-p{self.port}", f"{getpass.getuser()}@127.0.0.1"]

    def host_command(self, session: str, program: Path) -> Sequence[str | Path]:
        return [*self._client("-tt"), program]

    def versions(self) -> dict[str, str]:
        return {"ssh": one_line(["ssh", "-V"])}


class Tmux(Peer):
    """A tmux session on the wrapper's terminal and `tmux attach` on the viewer's, on a server of its own each."""

    name = "tmux"
    needs = ("tmux",)

    def prepare(self) -> None:
        super().prepare()
        self.env["TMUX_TMPDIR"] = str(self.bench.directory)
        self.config = self.bench.directory / "tmux.conf"
        self.config.write_text("set -g status off\n")

    def _tmux(self, session: str) -> list[str | Path]:
        return ["tmux", "-L", session, "-f", self.config]

    def host_command(self, session: str, program: Path) -> Sequence[str | Path]:
        return [*self._tmux(session), "new-session", program]

    def viewer_command(self, session: str) -> Sequence[str | Path]:
        return [*self._tmux(session), "attach"]

    def end(self, session: str) -> None:
        command = [*self._tmux(session), "kill-server"]
        subprocess.run(command, env=self.env, capture_output=True, check=False, timeout=10)

    def versions(self) -> dict[str, str]:
        return {"tmux": last_word(["tmux", "-V"])}


class TtyShare(Peer):
    """tty-share with its own local server, and its own client as the viewer."""

    name = "tty-share"
    needs = ("tty-share",)

    def prepare(self) -> None:
        super().prepare()
        self._ports: dict[str, int] = {}

    def host_command(self, session: str, program: Path) -> Sequence[str | Path]:
        port = self._ports[session] = free_port()
        return ["tty-share", "-no-wait", "-listen", f"127.0.0.1:{port}", "-command", program]

    def viewer_command(self, session: str) -> Sequence[str | Path]:
        return ["tty-share", f"http://127.0.0.1:{self._ports[session]}/s/local/"]

    def versions(self) -> dict[str, str]:
        # The Debian build says 0.0.0 of itself.
        return {"tty-share": one_line(["dpkg-query", "-W", "-f", "${Version}", "tty-share"])}


class Naive(Peer):
    """One `trigger` per read over Soketi, with a pysher viewer: naive.py."""

    name = "naive"

    def prepare(self) -> None:
        self.env |= self.bench.soketi_env()

    def _command(self, session: str, *words: str | Path) -> Sequence[str | Path]:
        return ["env", f"NAIVE_CHANNEL=private-{session}", sys.executable, "-P", NAIVE, *words]

    def host_command(self, session: str, program: Path) -> Sequence[str | Path]:
        return self._command(session, "host", program)

    def viewer_command(self, session: str) -> Sequence[str | Path]:
        return self._command(session, "view")

    def versions(self) -> dict[str, str]:
        packages = {name: importlib.metadata.version(name) for name in ("pusher", "pysher")}
        return {**packages, "Soketi": self.bench.soketi_version}


class Codewrap(Peer):
    """`codewrap run` and `codewrap attach` with nothing configured: the embedded hub."""

    name = "codewrap"

    def prepare(self) -> None:
        # What `attach` shows before the host has confirmed it is no echo: it would be measured as one.
        self.env["CODEWRAP_PREDICT"] = "never"
        self.script = Path(sys.executable).with_name("codewrap")
        if not self.script.exists():
            raise Unavailable("codewrap is not installed beside this interpreter")
        trial = subprocess.run([self.script, "--help"], env=self.env, capture_output=True, check=False, timeout=START_WITHIN_S)
        if trial.returncode != 0:
            raise Unavailable("codewrap is installed but `codewrap --help` fails")

    def host_command(self, session: str, program: Path) -> Sequence[str | Path]:
        return [self.script, "run", "--name", session, "--", program]

    def viewer_command(self, session: str) -> Sequence[str | Path]:
        return [self.script, "attach", session]

    def versions(self) -> dict[str, str]:
        return {"codewrap": f"{importlib.metadata.version('codewrap')} ({commit()})"}


class CodewrapSoketi(Codewrap):
    """The same over Soketi, told by SOKETI_* variables, with encryption."""

    name = "codewrap-soketi"

    def prepare(self) -> None:
        super().prepare()
        self.env |= self.bench.soketi_env()

    def versions(self) -> dict[str, str]:
        return {**super().versions(), "Soketi": self.bench.soketi_version}


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Bare, Script, Ssh, Tmux, TtyShare, Naive, Codewrap, CodewrapSoketi)}


def find(program: str) -> str | None:
    """The full name of a program, also where only root's search path reaches."""
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")


def remove_empty(directory: Path) -> None:
    """Remove a directory of ours unless another has begun to use or has removed it."""
    with contextlib.suppress(OSError):
        directory.rmdir()


def one_line(command: Sequence[str]) -> str:
    """The first line that a program prints, or "unknown"."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "unknown"
    lines = (result.stdout or result.stderr).strip().splitlines()
    return lines[0] if lines and result.returncode == 0 else "unknown"


def last_word(command: Sequence[str]) -> str:
    """The last word of that line: the number in most version lines."""
    return one_line(command).split()[-1]


def commit() -> str:
    """The repository's commit, marked when the tree differs from it."""
    return one_line(["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"])


def prepare(names: Sequence[str], bench: Workbench) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can run here, in the order given, and the reason for each that cannot."""
    peers: list[Peer] = []
    skipped: dict[str, str] = {}
    for name in names:
        peer = PEERS[name](bench)
        try:
            peer.prepare()
        except Unavailable as reason:
            skipped[name] = str(reason)
        else:
            peers.append(peer)
    return peers, skipped
