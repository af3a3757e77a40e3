"""`/s/NAME`: what a browser shows that opens a share link: how to attach. No script, and nothing of the session.

The token stands behind the # of the address, which no browser sends: this server never sees it here.
"""

from __future__ import annotations

import base64
import hashlib

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.channels import is_session_name

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}"
    "code{font:1rem ui-monospace,monospace}pre{padding:1rem;border:1px solid;overflow:auto}"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
{body}
</html>
"""
_HOW = """<p>This address is a link to the terminal session <code>{name}</code>. In a terminal, type</p>
<pre><code>codewrap attach -</code></pre>
<p>and paste the whole address of this page, with everything behind the <code>#</code>. Or, where others may see what you type:
<code>codewrap attach 'ADDRESS'</code>, in quotes.</p>
<p>Who has this address can use it: pass it on only to those who are meant to have it.</p>"""
_NO_NAME = "<p>This address is not a link to a session. Ask for it once more.</p>"
_POLICY = "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class PageApi:
    """Its one page, which is the same whether there is such a session or not."""

    def routes(self) -> list[BaseRoute]:
        paths = ("/s/{name}", "/s/{name}/")
        return [Route(path, self.share, methods=["GET"], include_in_schema=False) for path in paths]  # it is for people

    async def share(self, request: Request) -> Response:
        name = request.path_params["name"]
        if is_session_name(name):
            return _page("A codewrap session", _HOW.format(name=name))
        return _page("No such link", _NO_NAME, 404)


def _page(title: str, body: str, status: int = 200) -> Response:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    page = _PAGE.format(title=title, style=_STYLE, body=body)
    return HTMLResponse(page, status, {"Content-Security-Policy": _POLICY.format(digest=digest)})
