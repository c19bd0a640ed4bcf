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
from sayso.stack.probes import listens
from sayso.stack.process import Layer, Probe, ProcessSpec
from sayso.stack.sidecar import SidecarPorts, worker_connected

PARTNERS_PORT = 8090
WORKER_ROLE = "worker"
LOOPBACK = "127.0.0.1,localhost"


def app_processes(
    app: App, at: SidecarPorts, environment: Mapping[str, str], after: tuple[str, ...], named: Callable[[str], str]
) -> list[ProcessSpec]:
    """One process a role of this app."""
    return [
        ProcessSpec(
            name=named(name),
            command=command,
            directory=app.directory,
            environment={**no_proxy(), **app.env, **at.environment(), **environment, "PYTHONUNBUFFERED": "1"},
            address="" if name == WORKER_ROLE else f"{HOST}:{at.app}",
            probe=_probe(name, at),
            layer=Layer.APP,
            after=after,
        )
        for name, command in app.processes().items()
    ]


def local_services(
    project: Path, config_dir: Path, data: Path, ports: Ports, dapr_port: int
) -> tuple[list[ProcessSpec], dict[str, str]]:
    """The services with a `local_command`, and each one's URL by its name. They may publish through the sidecar at `dapr_port`."""
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
            specs.append(_service(name, service.local_command, port, project, data / name, dapr_port))
    return specs, urls


def no_proxy() -> dict[str, str]:
    """Variables without which gRPC and others would send calls to 127.0.0.1 through the proxy that HTTP_PROXY names."""
    names = ("NO_PROXY", "no_proxy", "no_grpc_proxy")
    return {name: ",".join(filter(None, (os.environ.get(name), LOOPBACK))) for name in names}


def _probe(name: str, at: SidecarPorts) -> Probe:
    return worker_connected(at.http) if name == WORKER_ROLE else listens(at.app)


def _service(name: str, command: tuple[str, ...], port: int, project: Path, data: Path, dapr_port: int) -> ProcessSpec:
    data.mkdir(parents=True, exist_ok=True)
    return ProcessSpec(
        name=name,
        command=(*with_this_python(command), "--port", str(port), "--data", str(data)),
        directory=project,
        environment={"PYTHONUNBUFFERED": "1", "DAPR_HTTP_ENDPOINT": f"http://{HOST}:{dapr_port}"},
        address=f"{HOST}:{port}",
        probe=listens(port),
        layer=Layer.CONTROL_PLANE,
    )
