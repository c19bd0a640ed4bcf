"""Errors as problem documents (RFC 9457): `detail` says in words what is wrong.

In: what was raised. Out: the response. No error leaves this service in another shape.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every refusal of this app with a problem document."""
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(RequestValidationError, _answer)


def explain(error: ValidationError | RequestValidationError) -> str:
    """Which fields are wrong, and how, in one line."""
    complaints = []
    for one in error.errors():
        where = ".".join(str(part) for part in one["loc"])
        said = one["msg"].removeprefix("Value error, ")
        complaints.append(f"{where}: {said}" if where else said)
    return "; ".join(complaints)


async def _answer(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, HTTPException):
        return _problem(error.status_code, error.detail, error.headers)
    if isinstance(error, RequestValidationError):
        return _problem(422, explain(error))
    raise error


def _problem(status: int, detail: str, headers: Any = None) -> JSONResponse:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")
