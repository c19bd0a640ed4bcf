"""The app: its routes, its limits, its errors, put together.

In: settings, sources, a courier. Out: an ASGI app. One place names every route; nothing here knows the broker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from sayso.settings import Settings
from sayso_gateway.bridge.routes import PREFIX, webhook_routes
from sayso_gateway.bridge.sources import Source
from sayso_gateway.courier import Courier
from sayso_gateway.limits import HEALTH, Limits
from sayso_gateway.problems import add_problem_handlers


def origin_of(settings: Settings) -> str:
    """How others reach us; what a request says about that is never believed."""
    gateway = settings.gateway
    host = f"[{gateway.address}]" if ":" in gateway.address else gateway.address
    return gateway.public_origin or f"http://{host}:{gateway.port}"


def create_app(settings: Settings, sources: Mapping[str, Source], courier: Courier) -> FastAPI:
    """The gateway on this courier."""

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await courier.close()

    app = FastAPI(
        title="Sayso gateway", version=version("sayso"), lifespan=living, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    add_problem_handlers(app)
    app.include_router(webhook_routes(sources, courier))
    app.add_middleware(Limits, settings=settings.gateway, origin=origin_of(settings), unlimited_prefix=PREFIX)

    @app.get(HEALTH, include_in_schema=False)
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return app
