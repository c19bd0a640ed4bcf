"""The app: its routes, its limits, its errors, put together.

In: settings, sources, a courier. Out: an ASGI app. One place names every route; nothing here knows the broker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from sayso.correlation.bindings import Bindings
from sayso.settings import Settings
from sayso_gateway.api.cloud_events import event_routes
from sayso_gateway.api.decisions import decision_routes
from sayso_gateway.api.desk import Desk, LedgerReader
from sayso_gateway.api.document import described
from sayso_gateway.api.lists import event_list_routes, list_routes
from sayso_gateway.api.requests import request_routes
from sayso_gateway.api.shapes import Me, problems
from sayso_gateway.api.signing import Signatory
from sayso_gateway.api.status import status_routes
from sayso_gateway.bridge.routes import PREFIX, webhook_routes
from sayso_gateway.bridge.sources import Source
from sayso_gateway.courier import Courier
from sayso_gateway.limits import HEALTH, Limits
from sayso_gateway.problems import add_problem_handlers
from sayso_gateway.who.login import Login

if TYPE_CHECKING:
    from sayso_gateway.who.sessions import Sessions


def origin_of(settings: Settings) -> str:
    """How others reach us; what a request says about that is never believed."""
    gateway = settings.gateway
    host = f"[{gateway.address}]" if ":" in gateway.address else gateway.address
    return gateway.public_origin or f"http://{host}:{gateway.port}"


def _sessions(settings: Settings) -> Sessions | None:
    """Logins with OpenID Connect, where a provider is set."""
    if settings.gateway.oidc.discovery_url is None:
        return None
    from sayso_gateway.who.sessions import Sessions  # noqa: PLC0415 - most installations that have none are spared its libraries

    return Sessions(settings, origin_of(settings))


def create_app(settings: Settings, sources: Mapping[str, Source], bindings: Bindings, courier: Courier) -> FastAPI:
    """The gateway on this courier."""
    reader = LedgerReader(settings.ledger_url)
    sessions = _sessions(settings)
    desk = Desk(settings, bindings, courier, reader, Login(settings, sessions), Signatory(settings, bindings))

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await courier.close()
        reader.close()

    app = FastAPI(
        title="Sayso gateway",
        version=version("sayso"),
        lifespan=living,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    add_problem_handlers(app)
    app.include_router(webhook_routes(sources, courier))
    for routes in (request_routes, decision_routes, status_routes, list_routes, event_list_routes, event_routes):
        app.include_router(routes(desk))
    if sessions is not None:
        sessions.add_to(app)
    app.add_middleware(Limits, settings=settings.gateway, origin=origin_of(settings), unlimited_prefix=PREFIX)

    @app.get("/me", responses=problems())
    async def me(request: Request) -> Me:
        """Say who is logged in."""
        person = await desk.login.person(request)
        return Me(id=person.id, roles=sorted(person.roles), how=person.how)

    @app.get(HEALTH, include_in_schema=False)
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    document = described(app)
    app.openapi = lambda: document  # type: ignore[method-assign] # as FastAPI says how
    return app
