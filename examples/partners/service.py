"""Partners: the service where the effects of the shipped workflows happen. Real HTTP, its own SQLite file, idempotency keys.

    python examples/partners/service.py --port 8090 --data .sayso/data/partners

In: POST /orders, /orders/{order_id}/cancel, … (see resources.py), each with an `Idempotency-Key`. Out: the answer; for a key answered
before, the same answer with `Idempotent-Replayed: true` and no second effect. GET /effects is the witness, GET /books what stands.
A payment that is captured is told to others by itself (announcing.py).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from announcing import Announcer, Channels
from effects import BookFilter, Command, EffectFilter, EffectPage, EffectStore, KeyReusedError
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from problems import add_problem_handlers, explain
from pydantic import ValidationError
from resources import RESOURCES, Body, Resource
from starlette.convertors import Convertor, register_url_convertor

from faults import RULES, Faults, Target

KEY_CHARACTERS_MAX = 2_000
KEEPALIVE_SECONDS = 75


class AnyText(Convertor[str]):
    """A path parameter that may be any text: `path` stops at a line feed, and a business key may contain one."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", AnyText())

Endpoint = Callable[[Request], Coroutine[Any, Any, JSONResponse]]


def create_app(store: EffectStore, faults: Faults, channels: Channels) -> FastAPI:
    """The service on this store: one endpoint, or two, for each row of RESOURCES."""

    @asynccontextmanager
    async def closing(_app: FastAPI) -> AsyncIterator[None]:
        async with Announcer(store.database, channels, faults).running():
            yield
        store.close()

    app = FastAPI(title="Partners", version="1", lifespan=closing)
    add_problem_handlers(app)
    for resource in RESOURCES:
        _add_post(app, f"/{resource.name}", resource.model, _performer(store, faults, resource, undo=False))
        if resource.undo:
            path = f"/{resource.name}/{{subject:text}}/{resource.undo}"
            _add_post(app, path, Body, _performer(store, faults, resource, undo=True))
    _add_witness(app, store)
    _add_faults(app, faults)
    return app


def _add_post(app: FastAPI, path: str, model: type[Body], endpoint: Endpoint) -> None:
    header = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string"}}
    body = {"content": {"application/json": {"schema": model.model_json_schema()}}}
    app.add_api_route(path, endpoint, methods=["POST"], openapi_extra={"parameters": [header], "requestBody": body})


def _performer(store: EffectStore, faults: Faults, resource: Resource, *, undo: bool) -> Endpoint:
    model = Body if undo else resource.model

    async def perform(request: Request) -> JSONResponse:
        key = _key_of(request)
        body = _body_of(await request.body(), model)
        subject = request.path_params["subject"] if undo else body[resource.subject]
        try:
            fault = await faults.strike(request.headers, Target(resource.name, undo, subject))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        if fault.before:
            raise _unavailable(fault.before, resource)
        try:
            answer = await store.perform(Command(key, resource, undo, subject, body.get("case", ""), body))
        except KeyReusedError as error:
            raise HTTPException(422, f"Idempotency-Key {key} was used before, with another request") from error
        if fault.after:
            raise _unavailable(fault.after, resource)
        return JSONResponse(answer.body, headers={"Idempotent-Replayed": "true"} if answer.replayed else None)

    perform.__name__ = f"{resource.undo or 'undo'}_{resource.name}" if undo else f"post_{resource.name}"
    return perform


def _unavailable(status: int, resource: Resource) -> HTTPException:
    return HTTPException(status, f"{resource.name.capitalize()} service unavailable")


def _key_of(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "").strip()
    if not key or len(key) > KEY_CHARACTERS_MAX:
        raise HTTPException(400, f"every POST needs the header Idempotency-Key, 1 to {KEY_CHARACTERS_MAX} characters")
    return key


def _body_of(raw: bytes, model: type[Body]) -> dict[str, Any]:
    """The body as it was sent, once it has passed its model; no body at all is an empty one."""
    try:
        body = json.loads(raw or b"{}", parse_constant=_refuse_constant)
        json.dumps(body, ensure_ascii=False).encode()  # half of a surrogate pair can be neither stored nor sent
        model.model_validate(body)
    except ValidationError as error:
        raise HTTPException(422, explain(error)) from error
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not usable JSON: {error}") from error
    return dict(body)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _add_witness(app: FastAPI, store: EffectStore) -> None:
    @app.get("/effects")
    async def list_effects(wanted: Annotated[EffectPage, Query()]) -> JSONResponse:
        """The effects in order; go on with `after`, the `seq` of the last one."""
        return JSONResponse({"effects": store.list_effects(wanted)})

    @app.get("/effects/count")
    async def count_effects(wanted: Annotated[EffectFilter, Query()]) -> JSONResponse:
        """How many effects there are (`effects`), and how often their keys were sent (`calls`)."""
        return JSONResponse(store.count_effects(wanted))

    @app.get("/books")
    async def show_books(wanted: Annotated[BookFilter, Query()]) -> JSONResponse:
        """What is placed, reserved, charged, booked: one line for each subject of a resource and matter; `stands` unless undone."""
        return JSONResponse({"books": store.books(wanted)})

    @app.get("/announcements")
    async def show_announcements(subject: str | None = None) -> JSONResponse:
        """Which events were told to others, through which channel; what waits says why."""
        return JSONResponse({"announcements": store.announcements(subject)})

    @app.get("/health")
    async def health() -> JSONResponse:
        store.count_effects(EffectFilter(key=""))
        return JSONResponse({"status": "ok"})

    @app.get("/jobs/{job_id}")
    async def show_job(job_id: str) -> JSONResponse:
        """A job that has ended: `failed` when its name says so, else `completed`."""
        return JSONResponse({"job_id": job_id, "status": "failed" if "fail" in job_id else "completed"})


def _add_faults(app: FastAPI, faults: Faults) -> None:
    @app.put("/faults")
    async def set_faults(request: Request) -> JSONResponse:
        """Replace the rules of `faults.py`; only from this machine."""
        if request.client is None or not ip_address(request.client.host).is_loopback:
            raise HTTPException(403, "faults are set from this machine only")
        try:
            faults.set_rules(RULES.validate_json(await request.body()))
        except ValidationError as error:
            raise HTTPException(422, explain(error)) from error
        return JSONResponse({"rules": len(faults.rules)})


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="The service where the effects of the shipped workflows happen.")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1 unless it runs in a container of its own")
    parser.add_argument("--data", type=Path, default=Path(".sayso/data/partners"), help="folder of partners.db")
    options = parser.parse_args()
    channels = Channels.from_environment()
    app = create_app(EffectStore(options.data, channels.names), Faults.from_environment(), channels)
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=KEEPALIVE_SECONDS,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
