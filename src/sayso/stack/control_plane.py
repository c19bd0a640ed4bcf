"""Dapr's control plane on one machine: placement (which sidecar holds which actor) and scheduler (timers, wake-ups).

Invariant: the scheduler's etcd data is kept, because every waiting workflow's wake-up is in it.
The health servers of 1.18 ignore --healthz-listen-address and listen on every interface unless the binary was patched when it
was built (`sayso runtime install` does); the flag is passed for the version that will know it.
"""

from __future__ import annotations

import os
from pathlib import Path

from sayso.stack.ports import HOST, Ports
from sayso.stack.probes import http_ok
from sayso.stack.process import Layer, Probe, ProcessSpec

PLACEMENT_PORT = 50005
SCHEDULER_PORT = 50006
WATCH_HOSTS = "/dapr.proto.scheduler.v1.Scheduler/WatchHosts"
ANSWER_SECONDS = 1.0
LEASE_SECONDS = 25


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
        probe=_leads(health, port),
        layer=Layer.CONTROL_PLANE,
    )


def _leads(health_port: int, port: int) -> Probe:
    """Ready when the scheduler names its hosts, which is what sidecars wait for.

    Its health answers sooner: a scheduler that follows a killed one waits until that one's lease ends.
    """

    async def probe() -> str:
        unhealthy = await http_ok(health_port, "/healthz")()
        if unhealthy:
            return unhealthy
        # The supervisor forks to start processes; without this gRPC writes a warning at each fork.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        from grpc import aio  # noqa: PLC0415 - it takes a moment to load, while the processes start

        async with aio.insecure_channel(f"{HOST}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            try:
                async for _ in channel.unary_stream(WATCH_HOSTS)(b"", timeout=ANSWER_SECONDS):
                    return ""
            except aio.AioRpcError:
                pass
        return f"waits for the lease of the scheduler before it, which was killed (at most {LEASE_SECONDS} s)"

    return probe
