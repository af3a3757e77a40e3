"""`codewrap answer`: answers a prompt by the link that its notification had; once, and only while the program waits there."""

from __future__ import annotations

import base64
import json
import os
from typing import Annotated

import typer

from codewrap.cli import console, links
from codewrap.cli.arguments import as_given
from codewrap.cli.links import FROM_STDIN, Link
from codewrap.errors import EXIT_NO_MATCH, EXIT_NOT_ATTACHED, AuthError, ConfigError, TransportError
from codewrap.protocol.channels import printable
from codewrap.protocol.frames import MAX_ANSWER_CHARACTERS

# The server waits for the session's word.
WITHIN_S = 20.0
_NOT_TYPED = 409
PROMPT_CHARACTERS = 200


def answer(
    link: Annotated[str, typer.Argument(metavar="LINK", help="The link, in quotes; - reads it from stdin.")],
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="The answer; left out: a line of stdin.")] = None,
    no_enter: Annotated[bool, typer.Option("--no-enter", help="Do not press Enter behind it.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="CODEWRAP_QUIET", help="No lines of our own.")] = False,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="TLS to the server; on unless it is this machine.")] = None,
) -> None:
    """Answer a prompt by a link from `run --notify`: once, and only if the program still waits where it did.

    Exit status: 0 typed; 1 nothing was typed, since it has gone on, or the link was used; 255 the server is away, or refuses.
    """
    found = links.read_answer(link, plain=tls is False)
    prompt, is_secret = asked_by(found.token)
    if not quiet:
        console.say(f"{found.session} at {found.host} asks: {prompt}")
    given = _line(is_secret=is_secret) if text is None or text == FROM_STDIN else as_given(text)
    if len(given) > MAX_ANSWER_CHARACTERS or (no_enter and not given):
        raise ConfigError("TEXT", f"has more than {MAX_ANSWER_CHARACTERS} characters" if given else "is missing")
    try:
        _send(found, given, enter=not no_enter)
    except (TransportError, AuthError) as error:
        console.fail(error)
        raise typer.Exit(EXIT_NO_MATCH if error.status == _NOT_TYPED else EXIT_NOT_ATTACHED) from error
    if not quiet:
        console.say("sent")


def asked_by(token: str) -> tuple[str, bool]:
    """What the link is about, as it says itself, and whether the answer is not to be shown. The server alone can check it."""
    try:
        part = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        prompt, reads = said["prompt"], said["reads"]
    except (ValueError, LookupError, TypeError):
        raise ConfigError("LINK", "is no link to answer a prompt, or not all of it", "quote the whole link") from None
    return printable(str(prompt), PROMPT_CHARACTERS), reads == "secret"


def _line(*, is_secret: bool) -> str:
    if is_secret or not os.isatty(0):
        return links.line_of_stdin("answer: ")
    try:
        return input("answer: ")
    except EOFError:
        return ""


def _send(link: Link, text: str, *, enter: bool) -> None:
    from codewrap.transport.gateway import GatewayClient

    client = GatewayClient(link.base, link.token, timeout_s=WITHIN_S)
    try:
        client.answer(link.session, text, enter=enter)
    finally:
        client.close()
