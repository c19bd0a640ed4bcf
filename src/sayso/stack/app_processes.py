"""The project's own processes: the apps behind the sidecars, and the services that `config/services.yaml` starts locally.

In: dapr.yaml's apps, services.yaml. Out: their processes, with everything in the environment that tells them where the rest is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from sayso.services import load_services
from sayso.stack.layout import App, with_this_python
from sayso.stack.ports import HOST, Ports
from sayso.stack.probes import http_ok, listens
from sayso.stack.process import Layer, Probe, ProcessSpec
from sayso.stack.sidecar import SidecarPorts, worker_connected

PARTNERS_PORT = 8090
GATEWAY_PORT = 8088
WORKER_ROLE = "worker"
GATEWAY_ROLE = "gateway"
LOOPBACK = "127.0.0.1,localhost"


def app_processes(
    app: App, at: SidecarPorts, environment: Mapping[str, str], after: tuple[str, ...], named: Callable[[str], str], gateway_port: int
) -> list[ProcessSpec]:
    """One process a role of this app."""
    served = {WORKER_ROLE: 0, GATEWAY_ROLE: gateway_port}
    return [
        ProcessSpec(
            name=named(name),
            command=command,
            directory=app.directory,
            environment={**no_proxy(), **app.env, **at.environment(), **environment, "PYTHONUNBUFFERED": "1"},
            address=f"{HOST}:{served.get(name, at.app)}" if served.get(name, at.app) else "",
            probe=_probe(name, at, gateway_port),
            layer=Layer.APP,
            after=after,
        )
        for name, command in app.processes().items()
    ]


def local_services(
    project: Path, config_dir: Path, data: Path, ports: Ports, reached: Mapping[str, Mapping[str, str]]
) -> tuple[list[ProcessSpec], dict[str, str]]:
    """The services with a `local_command`, and each one's URL by its name.

    `reached`: what a service is told of where to send, by its `webhook_source`; under the empty name, without one.
    """
    path = config_dir / "services.yaml"
    if not path.exists():
        return [], {}
    specs: list[ProcessSpec] = []
    urls: dict[str, str] = {}
    for name, service in load_services(path).services.items():
        urls[name] = service.url
        if service.local_command:
            port = ports.take(int(service.url.rpartition(":")[2]) if service.url.count(":") > 1 else None)
            urls[name] = f"http://{HOST}:{port}"
            told = reached.get(service.webhook_source or "", {})
            told = {key.format(NAME=name.upper().replace("-", "_")): value for key, value in told.items()}
            specs.append(_service(name, service.local_command, port, project, data / name, told))
    return specs, urls


def no_proxy() -> dict[str, str]:
    """Variables without which gRPC and others would send calls to 127.0.0.1 through the proxy that HTTP_PROXY names."""
    names = ("NO_PROXY", "no_proxy", "no_grpc_proxy")
    return {name: ",".join(filter(None, (os.environ.get(name), LOOPBACK))) for name in names}


def _probe(name: str, at: SidecarPorts, gateway_port: int) -> Probe:
    if name == GATEWAY_ROLE:
        return http_ok(gateway_port, "/health")
    return worker_connected(at.http) if name == WORKER_ROLE else listens(at.app)


def _service(name: str, command: tuple[str, ...], port: int, project: Path, data: Path, environment: Mapping[str, str]) -> ProcessSpec:
    data.mkdir(parents=True, exist_ok=True)
    return ProcessSpec(
        name=name,
        command=(*with_this_python(command), "--port", str(port), "--data", str(data)),
        directory=project,
        environment={"PYTHONUNBUFFERED": "1", **environment},
        address=f"{HOST}:{port}",
        probe=listens(port),
        layer=Layer.CONTROL_PLANE,
    )
