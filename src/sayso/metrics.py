"""`/metrics`: what a process says of itself to Prometheus.

In: an address, a port, collectors. Out: a small HTTP server on a thread of its own. Invariant: nothing is counted on the way of an
event; numbers are read when they are asked for. A port that is taken costs the numbers, never the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Info, ProcessCollector, start_http_server

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

log = structlog.get_logger()


def serve_metrics(role: str, address: str, port: int, collectors: Iterable[Collector] = ()) -> Callable[[], None]:
    """Begin to serve; what is returned ends it."""
    if port == 0:
        return lambda: None
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Info("sayso", "Which process this is.", registry=registry).info({"role": role, "version": version("sayso")})
    for collector in collectors:
        registry.register(collector)
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        log.warning("no metrics: the port cannot be had", address=address, port=port, error=str(error))
        return lambda: None
    log.info("metrics", url=f"http://{address}:{port}/metrics")

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
