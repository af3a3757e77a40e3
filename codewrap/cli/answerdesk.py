"""Links by which a prompt is answered, as the uplink asks `serve-auth` for them: `BASE/a/NAME#TOKEN`."""

from __future__ import annotations

import contextlib
from dataclasses import asdict

from codewrap.config import Gateway
from codewrap.protocol.channels import printable
from codewrap.transport.gateway import GatewayClient
from codewrap.uplink.occurrence import Place

# A notification waits so long for its link, and no longer.
WITHIN_S = 5.0
# The server takes no more: it goes into the link.
PROMPT_CHARACTERS = 200


class AnswerDesk:
    """One run's, at the server that it goes through. As `uplink.answerlinks.LinkServer`. Seldom asked: no connection is kept."""

    def __init__(self, gateway: Gateway, session: str, epoch: str) -> None:
        self._gateway = gateway
        self._session = session
        self._epoch = epoch

    def link(self, prompt: str, place: Place) -> str:
        """The token stands behind the #, which no browser sends to a server."""
        with contextlib.closing(self._client()) as client:
            shown = printable(prompt, PROMPT_CHARACTERS)
            issued = client.answer_link(self._session, self._epoch, shown, asdict(place))
        return f"{self._gateway.url.rstrip('/')}/a/{self._session}#{issued.token}"

    def report(self, link: str, outcome: str) -> None:
        """As the host put it."""
        with contextlib.closing(self._client()) as client:
            client.report_answer(self._session, link, outcome)

    def _client(self) -> GatewayClient:
        return GatewayClient(self._gateway.url, self._gateway.token, timeout_s=WITHIN_S, prepares=False)
