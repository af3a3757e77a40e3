"""How `serve-auth` says no: one exception, one JSON form. Owns the form only; who decides raises it."""

from __future__ import annotations

from starlette.responses import JSONResponse

from codewrap.errors import CodewrapError

REFUSAL_IN_SCOPE = "codewrap.refusal"  # where whoever answers with a refusal leaves its code, for the metrics


class Refusal(CodewrapError):
    """The request is answered with ``status`` and ``{"error":{"code","message"}}``.

    ``code`` is a word for programs and stays the same; ``message`` is for people and never holds what was sent.
    ``retry_after_s`` becomes the header `Retry-After`.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def response(self) -> JSONResponse:
        """The answer."""
        headers: dict[str, str] = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="codewrap"'  # RFC 9110, 11.6.1: required with 401
        return JSONResponse({"error": {"code": self.code, "message": self.message}}, self.status, headers)


def bad_request(message: str) -> Refusal:
    """400: what was sent has the wrong form."""
    return Refusal(400, "bad_request", message)


def forbidden(message: str) -> Refusal:
    """403: these credentials do not reach so far."""
    return Refusal(403, "forbidden", message)


def too_large(what: str, limit_bytes: int) -> Refusal:
    """413."""
    return Refusal(413, "too_large", f"{what} is larger than {limit_bytes} bytes")


def too_many(what: str, retry_after_s: int) -> Refusal:
    """429."""
    return Refusal(429, "too_many", what, retry_after_s=retry_after_s)
