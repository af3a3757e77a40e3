"""The rule and its clock: what speaks for work, for a question, for nothing to do; when to look, and one prompt from the next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.protocol.calls import Call
from codewrap.terminal.foreground import Blocked
from codewrap.uplink.attention import (
    BUSY_S,
    KEY_S,
    LATER_S,
    LOOK_FIRST_S,
    LOOK_MOST_S,
    PAUSE_S,
    PROMPT_CHARACTERS,
    SILENT_S,
    SOON_S,
    Attention,
    Evidence,
    Line,
    State,
    judge,
    kind_of,
)

READS, POLLS, BUSY, UNKNOWN = Blocked
WORKING, IDLE, AWAITING = State
# As a line editor or a full-screen program has its terminal.
RAW = {"canonical": False, "echo": False}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("", Line.EMPTY),
        ("   ", Line.EMPTY),
        ("Password: ", Line.SECRET),
        ("[sudo] password for anna: ", Line.SECRET),
        ("Enter passphrase for key '~/.ssh/id': ", Line.SECRET),
        ("Verification code: ", Line.SECRET),
        ("Do you want to continue? [Y/n] ", Line.QUESTION),
        ("Proceed (y/N)? ", Line.QUESTION),
        ("Overwrite a.txt? (yes/no) y", Line.QUESTION),
        ("Are you sure you want to continue connecting (yes/no/[fingerprint])? ", Line.QUESTION),
        ("What is your name? ", Line.QUESTION),
        ("? Project name: › ", Line.QUESTION),
        ("Press any key to continue . . .", Line.QUESTION),
        ("$ ", Line.PROMPT),
        ("anna@host:~/src$ ", Line.PROMPT),
        ("root@host:/# ", Line.PROMPT),
        ("host% ", Line.PROMPT),
        ("~/src main ❯ ", Line.PROMPT),
        (">>> ", Line.PROMPT),
        ("... ", Line.PROMPT),
        ("(gdb) ", Line.PROMPT),
        ("In [12]: ", Line.PROMPT),
        ("irb(main):001:0> ", Line.PROMPT),
        ("Name: ", Line.LABEL),
        ("Enter a value: ", Line.LABEL),
        ("login: ", Line.LABEL),
        ("Compiling 5 of 9", Line.OTHER),
        (" 45%", Line.OTHER),
        ("[=====>", Line.OTHER),
        ("--More--(50%)", Line.OTHER),
    ],
)
def test_line_is_known_for_what_it_is(line: str, kind: Line) -> None:
    assert kind_of(line) is kind


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        # Work.
        (Evidence(blocked=BUSY, quiet_s=100, line="$ sleep 100"), WORKING),
        (Evidence(blocked=BUSY, quiet_s=100, line="Continue? [y/N] "), WORKING),
        (Evidence(blocked=BUSY, quiet_s=100, echo=False), WORKING),
        (Evidence(blocked=BUSY, call=Call("half of it")), WORKING),
        (Evidence(blocked=POLLS, quiet_s=100, line=" 45%"), WORKING),
        (Evidence(blocked=POLLS, quiet_s=100, line="Downloading: "), WORKING),
        (Evidence(blocked=UNKNOWN, quiet_s=1000), WORKING),
        (Evidence(blocked=UNKNOWN, quiet_s=SOON_S, line="Downloading: "), WORKING),
        (Evidence(blocked=POLLS, **RAW, quiet_s=1, line="thinking"), WORKING),
        # Nothing to do.
        (Evidence(blocked=READS, program="sh", line="$ "), IDLE),
        (Evidence(blocked=POLLS, program="bash", **RAW, line="ready$ "), IDLE),
        (Evidence(blocked=POLLS, program="bash", **RAW, line="ready$ make al"), IDLE),
        (Evidence(blocked=POLLS, program="-zsh", **RAW, line="whatever this is"), IDLE),
        (Evidence(blocked=POLLS, program="python3", **RAW, line=">>> "), IDLE),
        (Evidence(blocked=POLLS, program="python3", **RAW, line=">>> print(1)"), IDLE),
        (Evidence(blocked=POLLS, program="ssh", **RAW, line="anna@far:~$ "), IDLE),
        (Evidence(blocked=POLLS, program="vim", **RAW, alternate=True), IDLE),
        (Evidence(blocked=POLLS, program="vim", **RAW, alternate=True, line="is it done?"), IDLE),
        (Evidence(blocked=UNKNOWN, **RAW, alternate=True, line="Password: "), IDLE),
        (Evidence(blocked=POLLS, **RAW, quiet_s=SILENT_S, line="thinking"), IDLE),
        (Evidence(blocked=READS, **RAW, line="--More--(50%)"), IDLE),
        (Evidence(blocked=READS, **RAW, line=":"), IDLE),
        (Evidence(blocked=UNKNOWN, quiet_s=SOON_S, line="$ "), IDLE),
        (Evidence(blocked=POLLS, at_prompt=True, line="whatever this is", **RAW), IDLE),
        (Evidence(blocked=UNKNOWN, at_prompt=True, line="whatever this is"), IDLE),
        # Somebody is waited for.
        (Evidence(blocked=READS, echo=False, line="Password: "), AWAITING),
        (Evidence(blocked=UNKNOWN, echo=False), AWAITING),
        (Evidence(blocked=POLLS, echo=False), AWAITING),
        (Evidence(blocked=READS, line="Continue? [y/N] "), AWAITING),
        (Evidence(blocked=READS, line="Name: "), AWAITING),
        (Evidence(blocked=READS), AWAITING),
        (Evidence(blocked=READS, **RAW, line="Press any key to continue"), AWAITING),
        (Evidence(blocked=POLLS, program="bash", **RAW, line="Name: ", quiet_s=SOON_S), AWAITING),
        (Evidence(blocked=POLLS, program="ssh", **RAW, line="anna@far's password: "), AWAITING),
        (Evidence(blocked=POLLS, **RAW, line="? Project name: › "), AWAITING),
        (Evidence(blocked=POLLS, **RAW, line="> ", call=Call("Approve?")), AWAITING),
        (Evidence(blocked=POLLS, **RAW, alternate=True, call=Call()), AWAITING),
        (Evidence(blocked=POLLS, line="Proceed? [y/N] ", quiet_s=SOON_S), AWAITING),
        (Evidence(blocked=UNKNOWN, line="Proceed? [y/N] ", quiet_s=SOON_S), AWAITING),
        (Evidence(blocked=UNKNOWN, line="Name: ", quiet_s=LATER_S), AWAITING),
        (Evidence(blocked=UNKNOWN, call=Call("Approve?"), quiet_s=SOON_S), AWAITING),
    ],
    ids=repr,
)
def test_evidence_speaks_for_one_state(seen: Evidence, state: State) -> None:
    verdict = judge(seen)
    assert verdict.state is state
    assert verdict.evidence
    assert all(verdict.evidence)


@pytest.mark.parametrize(
    ("seen", "prompt"),
    [
        (Evidence(blocked=READS, line="  Name: "), "Name:"),
        (Evidence(blocked=READS, above="Your name, please"), "Your name, please"),
        (Evidence(blocked=POLLS, **RAW, line="> ", call=Call("Approve?")), "Approve?"),
        (Evidence(blocked=READS, line="x" * 500), "x" * PROMPT_CHARACTERS),
    ],
)
def test_prompt_is_what_is_asked(seen: Evidence, prompt: str) -> None:
    assert judge(seen).prompt == prompt


EVIDENCE = st.builds(
    Evidence,
    quiet_s=st.floats(0, 1e6),
    blocked=st.sampled_from(Blocked),
    program=st.sampled_from(["", "bash", "vim"]),
    canonical=st.booleans(),
    echo=st.booleans(),
    alternate=st.booleans(),
    line=st.text() | st.sampled_from(["$ ", "Password: ", "ok? [y/N] ", "Name: "]),
    above=st.text(),
    at_prompt=st.booleans(),
    call=st.none() | st.builds(Call, st.text()),
)


@given(EVIDENCE)
def test_who_does_not_wait_for_the_terminal_works_whatever_it_shows(seen: Evidence) -> None:
    verdict = judge(seen)
    assert verdict.evidence
    assert len(verdict.prompt) <= max(PROMPT_CHARACTERS, 0)
    if seen.blocked is BUSY:
        assert verdict.state is WORKING
    if verdict.state is not AWAITING:
        assert verdict.prompt == ""


@given(st.lists(st.tuples(st.sampled_from(["output", "typed", "look"]), st.floats(0, 60), EVIDENCE), max_size=60))
def test_looks_are_due_by_and_by_whatever_happens(events: list[tuple[str, float, Evidence]]) -> None:
    attention, now_s, prompts = Attention(0.0), 0.0, 0
    for what, pause_s, seen in events:
        now_s += pause_s
        if what == "output":
            attention.output(now_s)
        elif what == "typed":
            attention.typed(now_s)
        else:
            attention.looking(now_s)
            attention.judged(seen)
        assert now_s < attention.due_s() + 60.0
        assert attention.due_s() <= now_s + LOOK_MOST_S
        assert attention.prompts >= prompts
        prompts = attention.prompts


def looked(attention: Attention, now_s: float, seen: Evidence) -> bool:
    attention.looking(now_s)
    return attention.judged(seen)


def test_first_look_is_when_output_has_paused_and_the_next_ones_ever_rarer() -> None:
    attention = Attention(0.0)
    attention.output(5.0)
    attention.output(5.2)
    assert attention.due_s() == pytest.approx(5.2 + PAUSE_S)
    now_s, pauses = attention.due_s(), []
    for _ in range(8):
        looked(attention, now_s, Evidence(blocked=BUSY))
        pauses.append(attention.due_s() - now_s)
        now_s = attention.due_s()
    assert pauses == pytest.approx([LOOK_FIRST_S, 4, 8, 16, LOOK_MOST_S, LOOK_MOST_S, LOOK_MOST_S, LOOK_MOST_S])


def test_what_trickles_is_looked_at_only_so_often() -> None:
    attention, looks = Attention(0.0), 0
    for tick in range(1, 1001):  # a line every 0.4 s
        now_s = tick * 0.4
        if attention.due_s() <= now_s:
            looks += 1
            attention.looking(now_s)
        attention.output(now_s)
    assert looks <= 400 / LOOK_FIRST_S + 4


def test_output_that_goes_on_is_work_and_an_echo_is_not() -> None:
    attention = Attention(0.0)
    assert looked(attention, 1.0, Evidence(blocked=READS, line="$ "))
    for tick in range(4):
        assert not attention.output(2.0 + tick * 0.2)
    assert attention.verdict.state is IDLE
    said = [attention.output(5.0 + tick * 0.1) for tick in range(12)]
    assert said.count(True) == 1
    assert said[int(BUSY_S / 0.1)]
    assert attention.verdict.state is WORKING


def test_prompt_is_one_while_it_stands_and_while_its_answer_is_typed() -> None:
    attention = Attention(0.0)
    assert looked(attention, 1.0, Evidence(blocked=READS, line="Name: "))
    assert not looked(attention, 3.0, Evidence(blocked=READS, line="Name: ", quiet_s=2.0))
    attention.typed(4.0)
    attention.output(4.0)
    looked(attention, 5.0, Evidence(blocked=READS, line="Name: an"))
    assert attention.prompts == 1


def test_next_question_is_another_prompt_and_so_is_the_same_one_asked_again() -> None:
    attention = Attention(0.0)
    looked(attention, 1.0, Evidence(blocked=READS, line="Name: "))
    looked(attention, 2.0, Evidence(blocked=READS, line="Street: "))
    assert attention.prompts == 2
    attention.typed(3.0)
    attention.output(3.1)
    looked(attention, 4.0, Evidence(blocked=READS, line="Street: "))
    assert attention.prompts == 3
    looked(attention, 5.0, Evidence(blocked=BUSY))
    looked(attention, 6.0, Evidence(blocked=READS, line="Street: "))
    assert attention.prompts == 4


def test_call_stands_until_somebody_types() -> None:
    attention = Attention(0.0)
    attention.called(Call("Approve?"), 10.0)
    assert attention.call == Call("Approve?")
    attention.typed(9.0)
    assert attention.call == Call("Approve?")
    attention.typed(11.0)
    assert attention.call is None


def test_bell_that_answers_a_key_calls_nobody() -> None:
    attention = Attention(0.0)
    attention.typed(10.0)
    attention.called(Call(), 10.1)
    assert attention.call is None
    attention.called(Call(), 10.0 + KEY_S)
    assert attention.call == Call()
    # Who types at the host is known late.
    attention.called(Call(), 20.0)
    attention.typed(19.9)
    assert attention.call is None


def test_old_news_of_typing_changes_nothing() -> None:
    attention = Attention(0.0)
    attention.typed(10.0)
    due_s = attention.due_s()
    attention.typed(10.0)
    attention.typed(8.0)
    assert attention.due_s() == due_s
    assert attention.quiet_s(12.0) == 12.0
