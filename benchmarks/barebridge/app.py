"""A webhook endpoint by hand, as one writes it first: FastAPI, the library verifies, one publish for each request. Nothing else.

In: PORT, SECRET, and the sidecar's DAPR_GRPC_PORT and DAPR_API_TOKEN. Out: 202 when the broker has it. No limits, no rotation, no
mapping, no check of the event, no 503: what the gateway's bridge adds is what the benchmark compares.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from dapr.aio.clients import DaprClient
from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook

hook = Webhook(os.environ["SECRET"])


@asynccontextmanager
async def living(app: FastAPI) -> AsyncIterator[None]:
    async with DaprClient() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=living)


@app.get("/health")
async def health() -> Response:
    return Response()


@app.post("/webhooks/bench")
async def take(request: Request) -> Response:
    body = await request.body()
    hook.verify(body, dict(request.headers), json_parse=False)
    await request.app.state.client.publish_event(
        "pubsub", "payments", body, data_content_type="application/cloudevents+json", publish_metadata={"rawPayload": "true"}
    )
    return Response(status_code=202)


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["PORT"]), http="httptools", loop="uvloop", access_log=False, log_level="error"
    )
