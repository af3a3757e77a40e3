"""Whether the command works, has nothing to do, or waits for somebody: decided from evidence. Pure, the clock is passed in.

`judge` is the rule: evidence in, a state with its reasons out. `Attention` says when to gather evidence, and tells one prompt
from the next. The states:

- *working*: it writes, or what stands in the terminal's foreground waits for something else than the terminal;
- *awaiting input*: it cannot go on without somebody: it reads a line (a password, y/N, `read`, `input()`), or waits for a key
  behind a question, or has called (bell, OSC 9, 99, 777) and waits since;
- *idle*: nothing is to be done and nothing was asked: a shell's or interpreter's prompt, an editor, a pager.

In doubt it works: nobody is to be called in vain.
"""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass

from codewrap.protocol.calls import Call
from codewrap.terminal.foreground import Blocked

# Output has paused.
PAUSE_S = 0.3
# Output that goes on so long without a pause is work, and no echo of somebody who types.
BUSY_S = 1.0
# After a look that changed nothing the next waits twice as long.
LOOK_FIRST_S, LOOK_MOST_S = 2.0, 30.0
# So many pauses in a row are looked at at once, then one in LOOK_FIRST_S: what trickles is not looked at all the time.
QUICK_LOOKS = 3
# Weaker evidence counts after such a silence.
SOON_S, LATER_S, SILENT_S = 1.0, 3.0, 10.0
# A bell right after a key is the line editor's.
KEY_S = 1.0
PROMPT_CHARACTERS = 200

SHELLS = frozenset(
    ("ash", "bash", "csh", "dash", "elvish", "fish", "ksh", "mksh", "nu", "pwsh", "sh", "tcsh", "xonsh", "yash", "zsh")
)
_SECRET = re.compile(
    r"(pass ?(word|phrase|code)|\bpin\b|secret|verification code|one-time|\botp\b|\btoken\b|contraseña|passwort|mot de passe)"
    r"[^:?]{0,80}[:?：]\s*\Z",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"\[y(es)?/no?\b|\(y(es)?/no?\b|\by/n\b|\byes/no\b|[?？][\s>❯›:]*\Z|\A\s*\?\s\S"
    r"|\b(press|hit)\b.{0,30}\b(key|enter|return|space)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"\S[:：]\s*\Z")
_SIGNS = "$#>❯»λ➜"
# "$ ", "user@host:~# ", ">>> ", "(gdb) ", "In [3]: ", "irb(main):001:0> "; a bar of progress ends in "> " too, but not so.
_PROMPT = re.compile(
    rf"\A.{{0,120}}?(?<![=\-])[{_SIGNS}]\s*\Z|\A\S{{0,80}}(?<!\d)%\s*\Z|\A\.\.\. ?\Z|\A\(\w[\w.-]*\)\s*\Z|\AIn \[\d+\]:\s*\Z"
)
# The same with something typed behind it: where the program reads keys.
_TYPED_AT = re.compile(
    rf"\A(\S+\s){{0,3}}\S*(?<![=\-])[{_SIGNS}]\s\S|\A\S{{1,80}}(?<!\d)%\s\S|\A\.\.\. |\A\(\w[\w.-]*\)\s\S|\AIn \[\d+\]:\s\S"
)


class State(enum.Enum):
    """What the command does."""

    WORKING = "working"
    IDLE = "idle"
    AWAITING = "awaiting input"


class Line(enum.Enum):
    """What stands on the cursor's line, up to the cursor."""

    EMPTY = "empty"
    SECRET = "secret"  # noqa: S105 - a kind of line
    QUESTION = "question"
    PROMPT = "prompt"
    LABEL = "label"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known when output has paused. ``line`` is the cursor's up to it, ``above`` the last one that is not blank."""

    quiet_s: float = PAUSE_S
    blocked: Blocked = Blocked.UNKNOWN
    program: str = ""
    canonical: bool = True
    echo: bool = True
    alternate: bool = False
    line: str = ""
    above: str = ""
    at_prompt: bool = False
    """A shell has marked this line as its prompt (OSC 133)."""
    call: Call | None = None
    """Somebody was called, and nothing was typed since."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``evidence`` are words for people, the strongest first; ``prompt`` is what it asks."""

    state: State
    evidence: tuple[str, ...]
    prompt: str = ""


def kind_of(line: str) -> Line:
    """What a line looks like, to somebody who is asked."""
    text = line[-PROMPT_CHARACTERS:]
    if not text.strip():
        return Line.EMPTY
    for kind, pattern in ((Line.SECRET, _SECRET), (Line.QUESTION, _QUESTION), (Line.PROMPT, _PROMPT), (Line.LABEL, _LABEL)):
        if pattern.search(text):
            return kind
    return Line.OTHER


def judge(seen: Evidence) -> Verdict:
    """The state that ``seen`` speaks for."""
    kind = kind_of(seen.line)
    if seen.canonical and not seen.echo and seen.blocked is not Blocked.BUSY:
        return _awaits(seen, "echo is off", _reading(seen))
    if seen.blocked is Blocked.BUSY:
        return Verdict(State.WORKING, (f"{seen.program or 'the command'} does not wait for the terminal",))
    if seen.call is not None and (seen.blocked is not Blocked.UNKNOWN or seen.quiet_s >= SOON_S):
        return _awaits(seen, f"it called: {seen.call.text}" if seen.call.text else "it rang the bell")
    if seen.at_prompt and kind not in (Line.SECRET, Line.QUESTION):
        return Verdict(State.IDLE, ("the shell marks its prompt",))
    if not seen.canonical:
        return _reads_keys(seen, kind)
    if seen.blocked is Blocked.READS:
        if kind is Line.PROMPT:
            return Verdict(State.IDLE, ("it reads the terminal", "at a prompt"))
        return _awaits(seen, "it reads the terminal", _asking(kind))
    return _may_read_lines(seen, kind)


def _reads_keys(seen: Evidence, kind: Line) -> Verdict:
    """A line editor, a full-screen program, one that asks for a key, or a connection to such a one."""
    if kind in (Line.SECRET, Line.QUESTION) and not seen.alternate:
        return _awaits(seen, _asking(kind), "it reads keys")
    if kind is Line.PROMPT or (_TYPED_AT.search(seen.line) and not seen.alternate):
        return Verdict(State.IDLE, ("at a prompt", "it reads keys"))
    if seen.alternate:
        return Verdict(State.IDLE, ("a full-screen program", "silence"))
    if kind is Line.LABEL and (seen.blocked is Blocked.READS or seen.quiet_s >= SOON_S):
        return _awaits(seen, _asking(kind), "it reads keys")
    if seen.program.lstrip("-") in SHELLS and seen.blocked is not Blocked.UNKNOWN:
        return Verdict(State.IDLE, (f"{seen.program} edits a line",))
    if seen.blocked is Blocked.READS:
        return Verdict(State.IDLE, ("it reads keys",))
    if seen.quiet_s >= SILENT_S:
        return Verdict(State.IDLE, ("it reads keys", "silence"))
    return Verdict(State.WORKING, ("it wrote just now",))


def _may_read_lines(seen: Evidence, kind: Line) -> Verdict:
    """It polls, or what it does cannot be known: only what stands on the screen speaks."""
    unknown = seen.blocked is Blocked.UNKNOWN
    if seen.quiet_s >= SOON_S:
        if kind is Line.QUESTION or (kind is Line.SECRET and unknown):
            return _awaits(seen, _asking(kind), "silence")
        if kind is Line.PROMPT and seen.line.endswith(" "):  # markup ends in such a sign too
            return Verdict(State.IDLE, ("at a prompt", "silence"))
    if unknown and kind is Line.LABEL and seen.quiet_s >= LATER_S:
        return _awaits(seen, _asking(kind), "silence")
    return Verdict(State.WORKING, ("nothing says that it waits for the terminal",))


def _awaits(seen: Evidence, *evidence: str) -> Verdict:
    words = (seen.call.text if seen.call else "") or seen.line.strip() or seen.above.strip()
    return Verdict(State.AWAITING, tuple(text for text in evidence if text), words[-PROMPT_CHARACTERS:])


def _reading(seen: Evidence) -> str:
    return "it reads the terminal" if seen.blocked is Blocked.READS else ""


def _asking(kind: Line) -> str:
    said = {Line.SECRET: "it asks for a secret", Line.QUESTION: "it asks a question", Line.LABEL: "a label and nothing behind it"}
    return said.get(kind, "")


class Attention:
    """When to look, and what came of it. Times are of one monotonic clock."""

    def __init__(self, now_s: float) -> None:
        self.verdict = Verdict(State.WORKING, ("it has begun",))
        self.prompts = 0
        """How often it has begun to wait for somebody: a number for each prompt."""
        self.typed_s = -math.inf
        self._call: Call | None = None
        self._called_s = -math.inf
        self._output_s = now_s
        self._burst_s: float | None = None
        self._look_at_s = now_s + PAUSE_S
        self._wait_s = LOOK_FIRST_S
        self._quick, self._quick_s = float(QUICK_LOOKS), now_s
        self._typed_since = self._wrote_since = False

    def resume(self, verdict: Verdict) -> None:
        """As an uplink before this one left it."""
        self.verdict = verdict
        self.prompts = int(verdict.state is State.AWAITING)

    def output(self, now_s: float) -> bool:
        """The command wrote. True when that alone changed the state: it works."""
        if self._burst_s is None or now_s - self._output_s >= PAUSE_S:
            self._burst_s = now_s
        self._output_s = now_s
        self._wrote_since = True
        self._hurry(now_s)
        if now_s - self._burst_s < BUSY_S or self.verdict.state is State.WORKING:
            return False
        self.verdict = Verdict(State.WORKING, ("it writes",))
        return True

    def called(self, call: Call, now_s: float) -> None:
        """Somebody was called, by what the command wrote."""
        if call.text or now_s - self.typed_s >= KEY_S:
            self._call, self._called_s = call, now_s

    def typed(self, now_s: float) -> None:
        """Somebody typed, then: it may have been an answer."""
        if now_s <= self.typed_s:
            return
        self.typed_s = now_s
        self._typed_since = True
        # A text may come with the echo of the key that led to it, a bell is that key's own.
        if self._call is not None and now_s > self._called_s - (0.0 if self._call.text else KEY_S):
            self._call = None
        self._hurry(now_s)

    @property
    def call(self) -> Call | None:
        """The call that nobody answered yet."""
        return self._call

    def quiet_s(self, now_s: float) -> float:
        """Since the last output."""
        return now_s - self._output_s

    def due_s(self) -> float:
        """When to gather evidence next."""
        return self._look_at_s

    def looking(self, now_s: float) -> None:
        """Evidence is being gathered."""
        self._refill(now_s)
        self._quick = max(0.0, self._quick - 1)
        self._look_at_s = now_s + self._wait_s
        self._wait_s = min(self._wait_s * 2, LOOK_MOST_S)

    def judged(self, seen: Evidence) -> bool:
        """Take evidence up; true when the state, its prompt or its reasons are others than before."""
        before, verdict = self.verdict, judge(seen)
        if verdict.state is State.AWAITING and (before.state is not State.AWAITING or self._asks_anew(before, verdict)):
            self.prompts += 1
        self._typed_since = self._wrote_since = False
        self.verdict = verdict
        return verdict != before

    def _asks_anew(self, before: Verdict, verdict: Verdict) -> bool:
        """What is typed behind a prompt does not make it another; an answer and the next question do."""
        answered = self._typed_since and self._wrote_since
        return not verdict.prompt.startswith(before.prompt) or (answered and verdict.prompt == before.prompt)

    def _hurry(self, now_s: float) -> None:
        self._wait_s = LOOK_FIRST_S
        self._refill(now_s)
        self._look_at_s = now_s + (PAUSE_S if self._quick >= 1 else LOOK_FIRST_S)

    def _refill(self, now_s: float) -> None:
        self._quick = min(QUICK_LOOKS, self._quick + (now_s - self._quick_s) / LOOK_FIRST_S)
        self._quick_s = now_s
