"""Errors as callers see them: RFC 9457 problem documents, one table from our errors to statuses.

Invariant: what went wrong inside is logged, never told; what the caller can do is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sayso.errors import ConfigurationError, MalformedError, RefusedError, SaysoError, TransientError
from sayso_gateway.bridge.signatures import ForgedError

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
TITLES: Mapping[int, str] = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Body too long",
    415: "Unsupported media type",
    421: "Not this host",
    422: "Not understood",
    429: "Too many requests",
    431: "Headers too long",
    500: "Internal error",
    503: "Not available now",
}
STATUSES: Mapping[type[SaysoError], int] = {
    ForgedError: 401,
    RefusedError: 403,
    MalformedError: 422,
    TransientError: 503,
    ConfigurationError: 400,
}


class ProblemError(SaysoError):
    """An answer that is no success. `headers` go with it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.more = more


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    """The document and its headers."""
    told = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail, **more}
    sent = {**({"Retry-After": str(RETRY_SECONDS)} if status in (429, 503) else {}), **(headers or {})}
    return JSONResponse(told, status, sent, MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Every error of this app is answered with a problem document."""

    @app.exception_handler(SaysoError)
    async def ours(request: Request, error: SaysoError) -> JSONResponse:
        if isinstance(error, ProblemError):
            return problem(error.status, str(error), error.headers, **error.more)
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
        if status >= 500:
            log.warning("not taken", path=request.url.path, reason=str(error))
        return problem(status, "the broker does not take events now; send it again" if status == 503 else str(error))

    @app.exception_handler(HTTPException)
    async def of_the_framework(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        complaints = [{"field": ".".join(str(part) for part in each["loc"]), "message": each["msg"]} for each in error.errors()[:20]]
        detail = "; ".join(f"{each['field']}: {each['message']}" for each in complaints)
        return problem(422, detail[:1_000], errors=complaints)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", path=request.url.path, exc_info=error)
        return problem(500, "something went wrong here; it is in the gateway's log")
