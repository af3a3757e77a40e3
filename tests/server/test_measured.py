"""What is measured on the way passes unchanged."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from codewrap.errors import TransportError
from codewrap.server.auditing import Auditor
from codewrap.server.guessing import Block
from codewrap.server.measured import CountedBlocks, CountedRevocations, MeasuredPublisher, MeasuredRequests, MeasuredState
from codewrap.server.metrics import Metrics
from codewrap.server.refusals import REFUSAL_IN_SCOPE
from codewrap.server.state import HostedSession, Revocation, StateStore, StateUnavailable, TokenRecord
from codewrap.store.audit import AuditLog
from codewrap.transport.base import Event
from tests.server.test_metrics import samples
from tests.support.asgi import AsgiClient
from tests.support.publishing import RecordingPublisher

EVENT = Event("private-command-build", "output", "{}")
SESSION = HostedSession("build", "alice", "0" * 16, 1.0, 1.0)
RECORD = TokenRecord("0" * 32, "alice", "viewer", (), 1.0, 2.0, "admin", "token")
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "version": ((), {}),
    "revoke": ((Revocation("user:alice", 1.0, 2.0),), {}),
    "revocations": ((1.0,), {}),
    "add_token": ((RECORD,), {}),
    "tokens": ((1.0,), {}),
    "claim": (("key", 1.0, 2.0), {}),
    "open_session": ((SESSION,), {"stale_s": 150.0, "most": 3}),
    "seen": (("build", "0", 1.0), {}),
    "end_session": (("build", None), {}),
    "session": (("build", 1.0), {"stale_s": 150.0}),
    "sessions": ((1.0,), {"stale_s": 150.0}),
    "count": (("key", 60, 2, 1.0), {}),
    "counted": (("key", 1.0), {}),
    "forget_count": (("key",), {}),
}


class Recorder:
    """Notes what a store is asked; answers with it."""

    where = "nowhere"

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        async def asked(*arguments: Any, **named: Any) -> Any:
            if self._failure is not None:
                raise self._failure
            return name, arguments, named

        return asked


def test_every_question_to_the_state_is_passed_on_and_measured() -> None:
    asked = {name for name, _ in inspect.getmembers(StateStore, inspect.isfunction) if not name.startswith("_")}
    assert asked == {*CALLS, "close"}
    metrics = Metrics(process=False)
    state = MeasuredState(Recorder(), metrics)
    assert state.where == "nowhere"
    for name, (arguments, named) in CALLS.items():
        answer = asyncio.run(getattr(state, name)(*arguments, **named))
        assert name in {"revoke", "add_token", "forget_count"} or answer == (name, arguments, named)
        assert samples(metrics)["codewrap_state_seconds_count", (name,)] == 1
    asyncio.run(state.close())


def test_a_store_that_does_not_answer_is_counted_and_the_error_comes_through() -> None:
    metrics = Metrics(process=False)
    state = MeasuredState(Recorder(StateUnavailable("nowhere", "away")), metrics)
    with pytest.raises(StateUnavailable):
        asyncio.run(state.version())
    assert samples(metrics)["codewrap_state_failures_total", ("version",)] == 1


def test_a_publish_is_passed_on_and_measured() -> None:
    metrics = Metrics(process=False)
    recording = RecordingPublisher()
    publisher = MeasuredPublisher(recording.make(), metrics)
    publisher.publish([EVENT])
    publisher.close()
    assert recording.events == [EVENT]
    assert samples(metrics)["codewrap_events_published_total", ("output",)] == 1


def test_a_publish_that_fails_is_counted_by_its_reason_and_the_error_comes_through() -> None:
    class Failing:
        def publish(self, events: object) -> None:
            raise TransportError("broker", "away")

        def close(self) -> None:
            """Nothing."""

    metrics = Metrics(process=False)
    with pytest.raises(TransportError):
        MeasuredPublisher(Failing(), metrics).publish([EVENT])
    found = samples(metrics)
    assert found["codewrap_publish_failures_total", ("TransportError",)] == 1
    assert ("codewrap_events_published_total", ("output",)) not in found


def test_requests_count_by_the_template_of_their_route_whatever_paths_are_asked() -> None:
    async def end(request: Request) -> PlainTextResponse:
        request.scope[REFUSAL_IN_SCOPE] = "forbidden"
        return PlainTextResponse("no", 403)

    async def fail(_request: Request) -> PlainTextResponse:
        raise ValueError

    async def failed(_request: Request, _error: Exception) -> PlainTextResponse:
        return PlainTextResponse("failed", 500)

    metrics = Metrics(process=False)
    app = Starlette(
        routes=[Route("/api/sessions/{name}/end", end, methods=["POST"]), Route("/fail", fail)],
        middleware=[Middleware(MeasuredRequests, metrics=metrics)],
        exception_handlers={ValueError: failed},
    )
    client = AsgiClient(app)

    async def scenario() -> None:
        for number in range(50):
            await client.post_json(f"/api/sessions/build-{number}/end", {})
            await client.get(f"/guess/{number}")
        await client.get("/fail")

    asyncio.run(scenario())
    found = samples(metrics)
    assert found["codewrap_http_request_seconds_count", ("POST", "/api/sessions/{name}/end")] == 50
    assert found["codewrap_http_refusals_total", ("forbidden", "403")] == 50
    assert found["codewrap_http_responses_total", ("none", "404")] == 50
    assert found["codewrap_http_responses_total", ("/fail", "500")] == 1
    assert {labels for name, labels in found if name == "codewrap_http_request_seconds_count"} == {
        ("POST", "/api/sessions/{name}/end"),
        ("GET", "none"),
        ("GET", "/fail"),
    }


def test_revocations_and_blocks_are_counted_and_passed_on(tmp_path: Path) -> None:
    done: list[tuple[Revocation, str | None]] = []

    async def revoked(revocation: Revocation, user: str | None) -> None:
        done.append((revocation, user))

    metrics = Metrics(process=False)
    revocation = Revocation("token:0f", 1.0, 2.0)
    asyncio.run(CountedRevocations(revoked, metrics)(revocation, "alice"))
    assert done == [(revocation, "alice")]
    auditor = Auditor(AuditLog(tmp_path / "audit"))
    CountedBlocks(metrics, auditor)(Block("192.0.2.1", 60, 1))
    asyncio.run(auditor.close())
    assert "192.0.2.1" in "".join(path.read_text() for path in (tmp_path / "audit").iterdir())
    found = samples(metrics)
    assert found["codewrap_revocations_carried_out_total", ("token",)] == 1
    assert found["codewrap_blocks_total", ()] == 1
