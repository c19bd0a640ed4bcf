"""daprd: the sidecar of one app.

In: the app, its ports, and where broker, databases and control plane are. Out: the process, and probes that read its metadata.
Invariant: everything it listens on is bound to 127.0.0.1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sayso.errors import ConfigurationError
from sayso.stack.layout import App
from sayso.stack.ports import HOST, Ports
from sayso.stack.probes import get, http_ok
from sayso.stack.process import Layer, Probe, ProcessSpec

MAX_BODY_SIZE = "4Mi"
SHUTDOWN_SECONDS = 3
OUTBOUND_HEALTH = "/v1.0/healthz/outbound"
"""Answered without a token."""
UNAUTHORIZED = 401


@dataclass(frozen=True)
class SidecarPorts:
    """Where the app and its sidecar meet."""

    app: int
    """0 when the sidecar never calls the app."""
    http: int
    grpc: int

    @classmethod
    def of(cls, app: App, ports: Ports) -> SidecarPorts:
        """The ports that dapr.yaml names, or free ones."""
        return cls(ports.take(app.app_port) if app.app_port else 0, ports.take(app.http_port), ports.take(app.grpc_port))

    def environment(self) -> dict[str, str]:
        """What the Dapr SDK and the app read."""
        ports = {"DAPR_HTTP_PORT": str(self.http), "DAPR_GRPC_PORT": str(self.grpc)}
        return ports | ({"APP_PORT": str(self.app)} if self.app else {})


@dataclass(frozen=True)
class ControlPlane:
    """Where placement and scheduler listen."""

    placement_port: int
    scheduler_port: int


def sidecar(
    binary: Path,
    name: str,
    app: App,
    at: SidecarPorts,
    control_plane: ControlPlane,
    ports: Ports,
    environment: Mapping[str, str],
    after: tuple[str, ...],
    topics: frozenset[str],
) -> ProcessSpec:
    """The daprd of this app. Ready when it can be called, the app's subscriptions are live and its actors can run.

    Without an app channel it has no subscriptions, and no placement and scheduler either: it can publish, and run no workflow.
    """
    channel = [("--app-port", str(at.app)), ("--app-protocol", app.app_protocol), ("--app-channel-address", HOST)]
    actors = [
        ("--placement-host-address", f"{HOST}:{control_plane.placement_port}"),
        ("--scheduler-host-address", f"{HOST}:{control_plane.scheduler_port}"),
    ]
    options: list[tuple[str, str]] = [
        ("--app-id", app.app_id),
        *(channel + actors if at.app else []),
        ("--dapr-http-port", str(at.http)),
        ("--dapr-grpc-port", str(at.grpc)),
        ("--dapr-listen-addresses", HOST),
        ("--dapr-internal-grpc-port", str(ports.take())),
        ("--dapr-internal-grpc-listen-address", HOST),
        ("--metrics-port", str(ports.take())),
        ("--metrics-listen-address", HOST),
        ("--max-body-size", MAX_BODY_SIZE),
        ("--dapr-graceful-shutdown-seconds", str(SHUTDOWN_SECONDS)),
        ("--log-level", app.log_level),
        *(("--resources-path", str(path)) for path in app.resources),
        *(("--config", str(path)) for path in app.configurations()),
    ]
    return ProcessSpec(
        name=name,
        command=(str(binary), *(word for option in options for word in option)),
        directory=app.directory,
        # Without DAPR_HOST_IP daprd tells placement the address of the first network card.
        environment={**environment, "DAPR_HOST_IP": HOST},
        address=f"{HOST}:{at.grpc}, http {at.http}",
        probe=sidecar_ready(at.http, topics) if at.app else http_ok(at.http, OUTBOUND_HEALTH),
        layer=Layer.SIDECAR,
        after=after,
        stop_seconds=SHUTDOWN_SECONDS + 5.0,
    )


def sidecar_ready(http_port: int, topics: frozenset[str]) -> Probe:
    """Ready when outbound calls work, every one of `topics` is subscribed, and placement and scheduler are connected."""

    async def probe() -> str:
        status = (await get(http_port, OUTBOUND_HEALTH)).status_code
        if not 200 <= status < 300:
            return f"starting (health answers {status})"
        return missing_in(await _metadata(http_port), topics)

    return probe


def missing_in(metadata: Mapping[str, Any], topics: frozenset[str]) -> str:
    """What keeps a sidecar with this metadata from being ready; empty when nothing does."""
    live = {subscription["topic"] for subscription in metadata.get("subscriptions") or ()}
    if not live:
        return "waits for the app's subscriptions"
    if topics - live:
        return f"not subscribed yet: {', '.join(sorted(topics - live))}"
    if not (metadata.get("scheduler") or {}).get("connected_addresses"):
        return "waits for the scheduler"
    if not (metadata.get("actorRuntime") or {}).get("hostReady"):
        return "waits for placement"
    return ""


def worker_connected(http_port: int) -> Probe:
    """Ready when a workflow worker is connected to the sidecar: until then it starts no workflow."""

    async def probe() -> str:
        workflows = (await _metadata(http_port)).get("workflows") or {}
        return "" if workflows.get("connectedWorkers", 0) >= 1 else "waits for its connection to daprd"

    return probe


async def _metadata(http_port: int) -> dict[str, Any]:
    """What daprd says of itself, to whoever has its token if it wants one (`DAPR_API_TOKEN`)."""
    token = os.environ.get("DAPR_API_TOKEN")
    answer = await get(http_port, "/v1.0/metadata", {"dapr-api-token": token} if token else {})
    if answer.status_code == UNAUTHORIZED:
        raise ConfigurationError("the sidecar wants a token: set DAPR_API_TOKEN to it here too")
    document: dict[str, Any] = answer.json()
    return document
