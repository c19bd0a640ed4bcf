"""The process: configuration read, the app put together, served until it is told to stop."""

from __future__ import annotations

import structlog
import uvicorn
from dapr.conf import settings as dapr_settings

from sayso.correlation.bindings import load_bindings
from sayso.errors import TransientError
from sayso.extensions import load_extensions
from sayso.publisher import DaprPublisher
from sayso.settings import Settings
from sayso_gateway.app import create_app, origin_of
from sayso_gateway.bridge.sources import load_sources
from sayso_gateway.courier import Courier

log = structlog.get_logger()
KEEPALIVE_SECONDS = 75
STOP_SECONDS = 5
BACKLOG = 1_024


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    load_extensions(settings.config_dir)
    bindings = load_bindings(settings.config_dir / "bindings.yaml")
    sources = load_sources(settings, bindings)
    gateway = settings.gateway
    # Without it a call waits for ever; a little longer than its sender waits, so that a slow answer is still heard.
    setattr(dapr_settings, "DAPR_API_TIMEOUT_SECONDS", gateway.publish_timeout.total_seconds() + 1)  # noqa: B010 - set dynamically there
    publisher = DaprPublisher(settings.pubsub)
    courier = Courier(publisher, gateway.publish_timeout, gateway.waiting_max)
    app = create_app(settings, sources, bindings, courier)
    config = uvicorn.Config(
        app,
        host=gateway.address,
        port=gateway.port,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEPALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = uvicorn.Server(config)
    log.info("listening", origin=origin_of(settings), webhooks=sorted(sources))
    server.run()
    publisher.close()
    if not server.started:
        raise TransientError(f"the gateway could not listen on {gateway.address}:{gateway.port}; is the port taken?")
    log.info("stopped")
