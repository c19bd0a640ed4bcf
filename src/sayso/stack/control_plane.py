"""Dapr's control plane on one machine: placement (which sidecar holds which actor) and scheduler (timers, wake-ups).

Invariant: the scheduler's etcd data is kept, because every waiting workflow's wake-up is in it.
The health servers of 1.18 ignore --healthz-listen-address and listen on every interface unless the binary was patched when it
was built (`sayso runtime install` does); the flag is passed for the version that will know it.
"""

from __future__ import annotations

from pathlib import Path

from sayso.stack.ports import HOST, Ports
from sayso.stack.probes import http_ok
from sayso.stack.process import Layer, ProcessSpec

PLACEMENT_PORT = 50005
SCHEDULER_PORT = 50006


def placement(binary: Path, port: int, ports: Ports, directory: Path) -> ProcessSpec:
    """The placement server."""
    health = ports.take()
    return ProcessSpec(
        name="placement",
        command=(
            str(binary),
            *("--port", str(port), "--listen-address", HOST),
            *("--healthz-port", str(health), "--healthz-listen-address", HOST),
            *("--initial-cluster", f"dapr-placement-0={HOST}:{ports.take()}"),
            "--enable-metrics=false",
        ),
        directory=directory,
        address=f"{HOST}:{port}",
        probe=http_ok(health, "/healthz"),
        layer=Layer.CONTROL_PLANE,
    )


def scheduler(binary: Path, port: int, ports: Ports, data: Path) -> ProcessSpec:
    """The scheduler with its embedded etcd in `data`."""
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)  # etcd warns about anything wider
    health = ports.take()
    return ProcessSpec(
        name="scheduler",
        command=(
            str(binary),
            *("--port", str(port), "--listen-address", HOST),
            *("--healthz-port", str(health), "--healthz-listen-address", HOST),
            *("--etcd-data-dir", str(data)),
            *("--etcd-client-port", str(ports.take()), "--etcd-client-listen-address", HOST),
            *("--etcd-initial-cluster", f"dapr-scheduler-server-0=http://{HOST}:{ports.take()}"),
            *("--override-broadcast-host-port", f"{HOST}:{port}"),
            "--enable-metrics=false",
        ),
        directory=data,
        address=f"{HOST}:{port}",
        probe=http_ok(health, "/healthz"),
        layer=Layer.CONTROL_PLANE,
    )
