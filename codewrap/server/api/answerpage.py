"""`/a/NAME`: the page behind a link to answer a prompt: what is asked, one field, Send. The same for every session.

The token stands behind the # of the address, which no browser sends: the page's script reads the prompt out of it, and shows it
in `Authorization` when the answer is sent. Nothing is loaded from elsewhere and nothing is kept.
"""

from __future__ import annotations

import base64
import hashlib

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.channels import is_session_name
from codewrap.protocol.frames import MAX_ANSWER_CHARACTERS

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.2rem}code,pre,input{font:1rem/1.5 ui-monospace,monospace}"
    "pre{padding:1rem;border:1px solid;border-radius:.3rem;white-space:pre-wrap;overflow-wrap:anywhere}"
    "input[type=text],input[type=password]{width:100%;box-sizing:border-box;padding:.5rem}"
    "button{font:inherit;padding:.5rem 1.5rem;margin-top:1rem}label{display:block;margin:.8rem 0 .2rem}"
    "[hidden]{display:none}#said{font-weight:600}"
)
_PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>Answer a prompt</title>
<style>{_STYLE}</style>
<h1>A prompt of session <code id="session">NAME</code></h1>
<form id="form" hidden>
<pre id="prompt"></pre>
<label for="text">Your answer</label>
<input id="text" type="text" maxlength="{MAX_ANSWER_CHARACTERS}"
 autocomplete="off" autocapitalize="off" autocorrect="off" spellcheck="false">
<label id="keys" hidden><input id="enter" type="checkbox" checked> press Enter behind it</label>
<button>Send</button>
<p>The answer is typed once, where this was asked, if the program still waits there; otherwise nothing is sent.</p>
</form>
<p id="said" role="status">This page needs JavaScript. In a terminal: codewrap answer -</p>
<script src="answer.js"></script>
</html>
"""
SCRIPT = """"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const say = (text) => { find("said").textContent = text; };
  const token = location.hash.slice(1);
  const read = () => {
    try {
      const part = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
      return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
    } catch {
      return null;
    }
  };
  const claims = read();
  if (claims === null || claims.typ !== "answer" || claims.sub !== find("session").textContent) {
    say("This address is not complete: open the whole link, with everything behind the #.");
    return;
  }
  if (Date.now() / 1000 >= claims.exp) {
    say("This link has expired.");
    return;
  }
  say("");
  find("prompt").textContent = claims.prompt;
  find("keys").hidden = claims.reads !== "keys";
  if (claims.reads === "secret") find("text").type = "password";
  find("form").hidden = false;
  find("text").focus();

  const send = async () => {
    const address = `../api/sessions/${encodeURIComponent(claims.sub)}/answer`;
    const reply = await fetch(address, {
      method: "POST",
      credentials: "omit",
      cache: "no-store",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ text: find("text").value, enter: find("enter").checked }),
    });
    if (reply.ok) return [true, "Sent."];
    const said = await reply.json().catch(() => null);
    const again = [400, 408, 413, 429].includes(reply.status);
    return [!again, said?.error?.message ?? `The server answers with ${reply.status}.`];
  };
  find("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = document.querySelector("button");
    button.disabled = true;
    say("Sending …");
    try {
      const [over, text] = await send();
      say(text);
      if (over) {
        find("text").value = "";
        find("form").hidden = true;
      }
    } catch {
      say("The server cannot be reached. Try again.");
    }
    button.disabled = false;
  });
})();
"""
_NO_NAME = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>No such link</title>
<p>This address is not a link to answer a prompt. Open it once more.</p></html>
"""


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class AnswerPageApi:
    """The page, and its script."""

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/a/answer.js", self.script, methods=["GET"], include_in_schema=False),
            Route("/a/{name}", self.page, methods=["GET"], include_in_schema=False),
        ]

    async def page(self, request: Request) -> Response:
        """The same whether there is such a session or not."""
        name = request.path_params["name"]
        if not is_session_name(name):
            return HTMLResponse(_NO_NAME, 404, {"Content-Security-Policy": _policy()})
        return HTMLResponse(_PAGE.replace("NAME", name), headers={"Content-Security-Policy": _policy()})

    async def script(self, _request: Request) -> Response:
        return Response(SCRIPT, media_type="text/javascript")
